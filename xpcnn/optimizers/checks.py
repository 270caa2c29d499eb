"""What is checked of parameters and gradients before anything is changed."""

from xpcnn.backend import Array, Device, array_namespace, device_like, is_array, is_writeable
from xpcnn.errors import (
    ConfigError,
    DeviceMismatchError,
    DtypeError,
    NamespaceError,
    ShapeError,
    StateDictError,
    XpcnnError,
)

__all__ = ["check_arrays", "check_fit", "dtype_name", "wrong"]


def wrong(who: object, error: type[XpcnnError], expected: str, got: object, mend: str = "") -> XpcnnError:
    """An error in the house style, to be raised."""
    return error(f"{type(who).__name__}: expected {expected}, got {got}" + (f": {mend}" if mend else ""))


def check_fit(who: object, params: dict[str, Array], grads: dict[str, Array]) -> Device | None:
    """
    Compare names, then array by array.

    Returns
    -------
    device : Device, or None where there are no parameters

    Raises
    ------
    StateDictError, NamespaceError, DeviceMismatchError, DtypeError, ConfigError, ShapeError
        See :meth:`Optimizer.update`.
    """
    check_arrays(who, params=params, grads=grads)
    if params.keys() != grads.keys():
        missing, unexpected = [n for n in params if n not in grads], [n for n in grads if n not in params]
        message = (
            f"{type(who).__name__}: expected one gradient for each parameter, got none for {missing} and unexpected "
            f"{unexpected}: pass the grads of the same model.backward, with model.trainable if some are frozen"
        )
        raise StateDictError(message)
    if not params:
        return None
    device = device_like(next(iter(params.values())))
    for name, p in params.items():
        _check_one(who, name, p, grads[name], device)
    return device


def check_arrays(who: object, **dicts: dict[str, Array]) -> None:
    """That each argument is a dict of arrays."""
    for title, arrays in dicts.items():
        if not isinstance(arrays, dict):
            raise wrong(who, NamespaceError, f"{title} to be a dict of arrays by name", type(arrays).__name__)
    for title, arrays in dicts.items():
        called = {"params": "parameter", "grads": "the gradient of"}.get(title, title)
        for name, array in arrays.items():
            if not is_array(array):
                kind, mend = f"{type(array).__module__}.{type(array).__qualname__}", "convert it with xp.asarray"
                raise wrong(who, NamespaceError, f"{called} {name!r} to be an array", kind, mend)


def _check_one(who: object, name: str, p: Array, g: Array, device: Device) -> None:
    for title, array in ((f"parameter {name!r}", p), (f"the gradient of {name!r}", g)):
        if not device.owns(array):
            elsewhere = device_like(array)
            error = DeviceMismatchError if elsewhere.xp is device.xp else NamespaceError
            mend = "move the model with model.to, and the batch with it"
            raise wrong(who, error, f"{title} on {device.name} like the first parameter", elsewhere.name, mend)
        if dtype_name(array) is None:
            mend = "make the model with dtype='float32' or 'float64'"
            raise wrong(who, DtypeError, f"{title} of dtype float32 or float64", array.dtype, mend)
    if not is_writeable(p):
        raise wrong(who, ConfigError, f"parameter {name!r} to be writable", "a read-only array", "pass a copy")
    if tuple(g.shape) != tuple(p.shape):
        raise wrong(who, ShapeError, f"the gradient of {name!r} of shape {tuple(p.shape)}", tuple(g.shape))
    if g.dtype != p.dtype:
        raise wrong(who, DtypeError, f"the gradient of {name!r} of dtype {p.dtype}", g.dtype)


def dtype_name(x: Array) -> str | None:
    """``"float32"`` or ``"float64"``; None for all others."""
    xp = array_namespace(x)
    return "float32" if x.dtype == xp.float32 else "float64" if x.dtype == xp.float64 else None
