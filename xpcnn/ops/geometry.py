"""Sizes of windows, paddings and outputs: plain integers, no arrays."""

from collections.abc import Sequence
from typing import Any, TypeAlias

from xpcnn.errors import ConfigError, ShapeError
from xpcnn.settings import integer

__all__ = ["Pads", "Pair", "output_size", "pads", "pair", "plain", "sides", "single"]

Pair: TypeAlias = tuple[int, int]
Pads: TypeAlias = tuple[int, int, int, int]  # top, bottom, left, right


def pair(who: str, name: str, value: int | Sequence[int], minimum: int = 1) -> Pair:
    """
    Height and width from one number or two.

    Raises
    ------
    ConfigError
        If `value` is neither, or smaller than `minimum`.

    Examples
    --------
    >>> pair("Conv2d", "stride", 2), pair("Conv2d", "stride", (2, 1))
    ((2, 2), (2, 1))
    """
    given: Any = (value, value) if integer(value) is not None else value
    values = [integer(v) for v in given] if isinstance(given, (tuple, list)) else []
    if len(values) != 2 or None in values:
        message = f"{who}: expected {name} to be an integer or a pair (height, width), got {value!r}"
        raise ConfigError(message)
    height, width = (v for v in values if v is not None)
    if min(height, width) < minimum:
        message = f"{who}: expected {name} of at least {minimum}, got {value!r}"
        raise ConfigError(message)
    return height, width


def single(who: str, name: str, value: int | Sequence[int], minimum: int = 1) -> int:
    """
    One size from a number, or as PyTorch prints it from a tuple of one.

    Raises
    ------
    ConfigError
        If `value` is neither, or smaller than `minimum`.

    Examples
    --------
    >>> single("Conv1d", "stride", 2), single("Conv1d", "stride", (2,))
    (2, 2)
    """
    given: Any = value[0] if isinstance(value, (tuple, list)) and len(value) == 1 else value
    size = integer(given)
    if size is None:
        message = f"{who}: expected {name} to be an integer, got {value!r}"
        raise ConfigError(message)
    if size < minimum:
        message = f"{who}: expected {name} of at least {minimum}, got {value!r}"
        raise ConfigError(message)
    return size


def plain(value: Any) -> Any:
    """
    The same sizes as Python's integers, in tuples; names and None as they are.

    Examples
    --------
    >>> plain([1, 2]), plain("same")
    ((1, 2), 'same')
    """
    if isinstance(value, (list, tuple)):
        return tuple(map(plain, value))
    whole = integer(value)
    return value if whole is None else whole


def pads(
    who: str, padding: int | Sequence[int] | str, kernel: Pair, stride: Pair = (1, 1), dilation: Pair = (1, 1)
) -> Pads:
    """
    Rows and columns to add above, below, left and right.

    Parameters
    ----------
    who : str
        Who asks, for the error text.
    padding : int, pair, four integers, "same" or "valid"
        A pair is (height, width). Four are (left, right, top, bottom), the order of ``torch.nn.functional.pad``.
        ``"same"`` keeps the size: ``d * (k - 1)`` in all, the odd one at the end, stride 1 only, as in PyTorch.

    Raises
    ------
    ConfigError
        If it is none of these, negative, or ``"same"`` with a stride.

    Examples
    --------
    >>> pads("Conv2d", "same", kernel=(3, 4)), pads("Conv2d", (1, 2), kernel=(3, 3))
    ((1, 1, 1, 2), (1, 1, 2, 2))
    """
    if isinstance(padding, str) and padding in ("same", "valid"):
        top, bottom = _named(who, padding, stride, kernel[0], dilation[0])
        return top, bottom, *_named(who, padding, stride, kernel[1], dilation[1])
    given = [integer(p) for p in padding] if isinstance(padding, (tuple, list)) else []
    numbers = [p for p in given if p is not None]
    if len(numbers) == len(given) == 4:
        if min(numbers) < 0:
            message = f"{who}: expected padding of at least 0, got {padding!r}"
            raise ConfigError(message)
        left, right, top, bottom = numbers
        return top, bottom, left, right
    if integer(padding) is None and len(numbers) != 2:
        kinds = "an integer, (height, width), (left, right, top, bottom), 'same' or 'valid'"
        message = f"{who}: expected padding to be {kinds}, got {padding!r}"
        raise ConfigError(message)
    ph, pw = pair(who, "padding", padding, minimum=0)  # type: ignore[arg-type]
    return ph, ph, pw, pw


def sides(who: str, padding: int | Sequence[int] | str, kernel: int, stride: int = 1, dilation: int = 1) -> Pair:
    """
    Entries to add on the left and on the right of a sequence: :func:`pads` along one axis.

    Parameters
    ----------
    who : str
    padding : int, pair (left, right), "same" or "valid"

    Raises
    ------
    ConfigError
        If it is none of these, negative, or ``"same"`` with a stride.

    Examples
    --------
    >>> sides("Conv1d", "same", kernel=4), sides("Conv1d", (2, 0), kernel=3)
    ((1, 2), (2, 0))
    """
    if isinstance(padding, str) and padding in ("same", "valid"):
        return _named(who, padding, stride, kernel, dilation)
    numbers = padding if isinstance(padding, (tuple, list)) else (padding,)
    if len(numbers) not in (1, 2) or any(integer(p) is None for p in numbers):
        message = f"{who}: expected padding to be an integer, (left, right), 'same' or 'valid', got {padding!r}"
        raise ConfigError(message)
    return pair(who, "padding", (numbers[0], numbers[-1]), minimum=0)


def _named(who: str, padding: str, stride: int | Pair, kernel: int, dilation: int) -> Pair:
    """What padding="same" or "valid" adds before and after along one axis."""
    if padding == "valid":
        return 0, 0
    if stride not in (1, (1, 1)):
        message = f"{who}: padding='same' needs stride 1, got stride {stride}: give the padding in numbers"
        raise ConfigError(message)
    total = dilation * (kernel - 1)
    return total // 2, total - total // 2


def output_size(
    who: str, size: Pair, kernel: Pair, stride: Pair, dilation: Pair, padding: Pads, *, ceil_mode: bool = False
) -> Pair:
    """
    Height and width that windows leave: ``floor((size + padding - d * (k - 1) - 1) / stride) + 1``.

    With `ceil_mode` the division rounds up, but the last window must still start inside of the image or its padding
    before it (PyTorch's rule).

    Raises
    ------
    ShapeError
        If the kernel is larger than the padded image.

    Examples
    --------
    >>> output_size("Conv2d", (28, 28), (5, 5), (1, 1), (1, 1), (2, 2, 2, 2))
    (28, 28)
    """
    out = []
    for axis, (n, k, s, d) in enumerate(zip(size, kernel, stride, dilation, strict=True)):
        before, after = padding[2 * axis], padding[2 * axis + 1]
        room = n + before + after - d * (k - 1) - 1
        if room < 0:
            reach = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
            padded = (size[0] + padding[0] + padding[1], size[1] + padding[2] + padding[3])
            message = (
                f"{who}: expected a padded image of at least the kernel's size {reach}, got {padded} "
                f"from an image of {tuple(size)}: use a smaller kernel, more padding or a larger image"
            )
            raise ShapeError(message)
        count = (-(-room // s) if ceil_mode else room // s) + 1
        if ceil_mode and (count - 1) * s >= n + before:
            count -= 1
        out.append(count)
    return out[0], out[1]
