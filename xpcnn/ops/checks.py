"""What every op asks of its arrays before it computes anything."""

from collections.abc import Callable
from typing import Any

from xpcnn.backend import (
    Array,
    Namespace,
    array_namespace,
    cast,
    device_of,
    is_array,
    is_floating,
    is_narrow,
    library,
)
from xpcnn.errors import DeviceMismatchError, DtypeError, NamespaceError, ShapeError
from xpcnn.settings import integer

__all__ = [
    "check_gradient",
    "check_images",
    "check_shape",
    "common",
    "common_beside",
    "common_place",
    "conversion",
    "images_hint",
    "in_float32",
    "said",
]

_STATE = ("weight", "bias", "mean", "var", "running_mean")  # what a layer has, which is of its model's dtype


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
    if not is_floating(xp, x.dtype):
        message = f"{who}: expected {first} of a real floating dtype, got {x.dtype}: convert it, e.g. to float32"
        if xp.isdtype(x.dtype, "integral"):
            message += " (images of bytes are usually divided by 255)"
        raise DtypeError(message)
    for name, a in others:
        if a.dtype != x.dtype:
            message = f"{who}: expected {name} and {first} of one dtype, got {a.dtype} and {x.dtype}: convert "
            if first == "x" and name in _STATE and is_floating(xp, a.dtype):
                message += f"x, as in {conversion(first, x, a.dtype)}"
                if x.dtype in (xp.float32, xp.float64):
                    message += f", or make the model with dtype={_plain(x.dtype)!r}"
            else:
                message += f"{name}, as in {conversion(name, a, x.dtype)}"
            raise DtypeError(message)
    return xp


def common_beside(who: str, x: Array, dy: Array | None = None, **others: Array | None) -> Namespace:
    """
    As :func:`common`, for ops that keep to float32 beside images of 16 bits: there `others` may be float32.

    Raises
    ------
    NamespaceError, DeviceMismatchError, DtypeError
    """
    if not (is_array(x) and is_narrow(x)):
        return common(who, x=x, **others, dy=dy)
    xp = common(who, x=x, dy=dy)
    common_place(who, x=x, **others)
    for name, a in others.items():
        if a is not None and a.dtype not in (xp.float32, x.dtype):
            message = f"{who}: expected {name} of float32 beside x of {x.dtype}, got {a.dtype}: convert it, as in "
            raise DtypeError(message + conversion(name, a, xp.float32))
    return xp


def in_float32(op: Callable[..., Any], *args: Any, **settings: Any) -> Any:
    """
    An op on arrays of 16 bits, computed in float32 and rounded once: where no kernel is for them.

    Parameters
    ----------
    op : callable
    *args : arrays, or whatever else the op takes
        The first one decides which 16 bits these are, and what comes out has them.
    **settings
        Handed on.

    Examples
    --------
    >>> import numpy as np
    >>> in_float32(np.add, np.ones(1, dtype="float16"), np.ones(1, dtype="float16")).dtype
    dtype('float16')
    """
    xp, dtype = array_namespace(args[0]), args[0].dtype
    wide = (cast(a, xp.float32) if is_array(a) and a.dtype == dtype else a for a in args)
    return cast(op(*wide, **settings), dtype)


def conversion(name: str, a: Array, dtype: object) -> str:
    """
    How an array is converted, in the words of its library.

    Examples
    --------
    >>> import numpy as np
    >>> conversion("x", np.zeros(2), "float32")
    "x.astype('float32')"
    """
    if library(a) == "torch":
        return f"{name}.to(torch.{_plain(dtype)})"
    if hasattr(a, "astype"):
        return f"{name}.astype({_plain(dtype)!r})"
    return f"xp.astype({name}, xp.{_plain(dtype)})"


def _plain(dtype: object) -> str:
    """The name of a dtype without that of its library."""
    return str(dtype).rpartition(".")[2]


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
        integer(n) is not None and (n >= 1 if isinstance(e, str) else n == e)
        for n, e in zip(shape, expected, strict=True)
    )
    if not fits:
        empty = "" if all(shape) else ": it is empty"
        message = f"{who}: expected {name} of shape {said(expected)}, got {tuple(shape)}{empty}{hint and ': ' + hint}"
        error = ShapeError(message)
        error.expected, error.got, error.hint = tuple(expected), tuple(shape), hint
        raise error


def said(shape: tuple[int | str, ...]) -> str:
    """
    A shape in an error's text, its letters without quotes.

    Examples
    --------
    >>> said(("N", 3, "H", "W")), said(("O",))
    ('(N, 3, H, W)', '(O,)')
    """
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


def check_images(who: str, shape: tuple[int, ...], channels: int | str = "C") -> None:
    """Raise `ShapeError` unless `shape` is (N, channels, H, W), with a hint for channels-last images."""
    check_shape(who, "x", shape, ("N", channels, "H", "W"), images_hint(shape, channels))


def images_hint(shape: tuple[int, ...], channels: int | str) -> str:
    """
    How to make images (N, channels, H, W) out of an array of that shape, where that can be guessed.

    Examples
    --------
    >>> images_hint((64, 28, 28), 1)
    'add the channel axis, as in x[:, None] of shape (64, 1, 28, 28)'
    """
    if len(shape) == 4 and shape[3] == channels and shape[1] != channels:
        n, h, w, c = shape
        return f"channels come first; permute to {(n, c, h, w)}"
    if len(shape) == 3 and shape[0] == channels:
        return f"add the batch axis, as in x[None] of shape {(1, *shape)}"
    if len(shape) == 3 and channels == 1:
        return f"add the channel axis, as in x[:, None] of shape {(shape[0], 1, *shape[1:])}"
    if len(shape) == 3 and shape[2] == channels:
        return f"channels come first; permute to {(shape[2], *shape[:2])} and add the batch axis, as in x[None]"
    if len(shape) == 3:
        return "add the batch axis, or the channel axis, whichever is missing"
    return ""


def check_gradient(who: str, dy: Array, shape: tuple[int, ...]) -> None:
    """Raise `ShapeError` unless the gradient has the shape of the output that it belongs to."""
    if tuple(dy.shape) != tuple(shape):
        message = f"{who}: expected dy of the output's shape {tuple(shape)}, got {tuple(dy.shape)}"
        raise ShapeError(message)
