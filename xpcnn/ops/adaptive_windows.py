"""Windows that share an image out evenly: how many there are, and where each begins and ends."""

from collections.abc import Sequence
from typing import Any

from xpcnn.errors import ConfigError
from xpcnn.settings import integer

from .checks import check_images
from .geometry import Pair

__all__ = ["OutputSize", "adaptive_shape", "output_pair", "place_bytes", "spans_of"]

OutputSize = int | Sequence[int | None]


def adaptive_shape(who: str, shape: tuple[int, ...], output_size: OutputSize) -> tuple[int, int, int, int]:
    """
    Shape (N, C, OH, OW) of an adaptive pooling layer's output.

    Examples
    --------
    >>> adaptive_shape("AdaptiveAvgPool2d", (2, 3, 9, 8), (7, None))
    (2, 3, 7, 8)
    """
    height, width = output_pair(who, output_size)
    check_images(who, shape)
    n, c, h, w = shape
    return n, c, h if height is None else height, w if width is None else width


def output_pair(who: str, output_size: Any) -> tuple[int | None, int | None]:
    """
    Height and width to pool to, None where the image keeps its own.

    Raises
    ------
    ConfigError
    """
    single = integer(output_size) is not None
    given = (output_size, output_size) if single else output_size
    sizes = [(v, integer(v)) for v in given] if isinstance(given, (list, tuple)) else []
    if len(sizes) == 2 and all(v is None or (plain is not None and plain >= 1) for v, plain in sizes):
        return sizes[0][1], sizes[1][1]
    message = (
        f"{who}: expected output_size to be an integer of at least 1 or a pair (height, width) of these or None, "
        f"got {output_size!r}"
    )
    raise ConfigError(message)


def place_bytes(size: int, count: int) -> int:
    """Bytes of an integer that counts as far as the longest of `count` windows along `size` pixels."""
    return 1 if max(b - a for a, b in spans_of(size, count)) < 256 else 4


def spans_of(size: int, count: int) -> list[Pair]:
    """First entry and end of each window along one axis."""
    return [(i * size // count, -((i + 1) * size // -count)) for i in range(count)]
