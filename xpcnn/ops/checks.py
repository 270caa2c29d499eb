"""What every op asks of its arrays before it computes anything."""

from xpcnn.backend import Array, Namespace, array_namespace, device_of, is_array, library
from xpcnn.errors import DeviceMismatchError, DtypeError, NamespaceError, ShapeError

__all__ = ["check_gradient", "check_images", "check_shape", "common", "common_place"]


def common(who: str, **arrays: Array | None) -> Namespace:
    """
    Namespace of all arrays, which must agree in library, device and (real floating) dtype.

    Parameters
    ----------
    who : str
        Who asks, for the error text.
    **arrays : array or None
        By the name that the error text calls them; None is skipped, but for the first.

    Raises
    ------
    NamespaceError, DeviceMismatchError, DtypeError
    """
    given = common_place(who, **arrays)
    (first, x), *others = given.items()
    xp = array_namespace(x)
    if not xp.isdtype(x.dtype, "real floating"):
        message = f"{who}: expected {first} of a real floating dtype, got {x.dtype}: convert it, e.g. to float32"
        if xp.isdtype(x.dtype, "integral"):
            message += " (images of bytes are usually divided by 255)"
        raise DtypeError(message)
    for name, a in others:
        if a.dtype != x.dtype:
            message = f"{who}: expected {name} and {first} of one dtype, got {a.dtype} and {x.dtype}: convert one"
            raise DtypeError(message)
    return xp


def common_place(who: str, **arrays: Array | None) -> dict[str, Array]:
    """The arrays given, which must agree in library and device, whatever their dtypes; see :func:`common`."""
    first, *optional = arrays
    given = {name: arrays[name] for name in (first, *optional) if name == first or arrays[name] is not None}
    for name, a in given.items():
        if not is_array(a):
            kind = f"{type(a).__module__}.{type(a).__qualname__}".removeprefix("builtins.")
            message = f"{who}: expected {name} to be an array, got {kind}: convert it first, e.g. with numpy.asarray"
            raise NamespaceError(message)
    (first, x), *others = given.items()
    for name, a in others:
        if library(a) != library(x):
            message = (
                f"{who}: expected {name} and {first} of one library, got {library(a)} and {library(x)}: "
                "move the data with xp.asarray or the model with model.to"
            )
            raise NamespaceError(message)
    for name, a in others:
        if device_of(a) != device_of(x):
            message = f"{who}: expected {name} and {first} on one device, got {device_of(a)} and {device_of(x)}"
            raise DeviceMismatchError(message)
    return given


def check_shape(who: str, name: str, shape: tuple[int, ...], expected: tuple[int | str, ...], hint: str = "") -> None:
    """Raise `ShapeError` unless `shape` fits `expected`, where a letter stands for any number from 1."""
    fits = len(shape) == len(expected) and all(
        n >= 1 if isinstance(e, str) else n == e for n, e in zip(shape, expected, strict=True)
    )
    if not fits:
        wanted = f"({', '.join(map(str, expected))}{',' if len(expected) == 1 else ''})"
        empty = "" if all(shape) else ": it is empty"
        message = f"{who}: expected {name} of shape {wanted}, got {tuple(shape)}{empty}{hint and ': ' + hint}"
        raise ShapeError(message)


def check_images(who: str, shape: tuple[int, ...], channels: int | str = "C") -> None:
    """Raise `ShapeError` unless `shape` is (N, channels, H, W), with a hint for channels-last images."""
    hint = ""
    if len(shape) == 4 and shape[3] == channels and shape[1] != channels:
        n, h, w, c = shape
        hint = f"channels come first; permute to {(n, c, h, w)}"
    elif len(shape) == 3:
        hint = f"add the batch axis, as in x[None, ...] of shape {(1, *shape)}"
        if shape[0] != channels:
            hint += ", and the channel axis where it is missing"
    check_shape(who, "x", shape, ("N", channels, "H", "W"), hint)


def check_gradient(who: str, dy: Array, shape: tuple[int, ...]) -> None:
    """Raise `ShapeError` unless the gradient has the shape of the output that it belongs to."""
    if tuple(dy.shape) != tuple(shape):
        message = f"{who}: expected dy of the output's shape {tuple(shape)}, got {tuple(dy.shape)}"
        raise ShapeError(message)
