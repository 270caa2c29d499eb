"""Transforms one after the other."""

from collections.abc import Iterable
from typing import final

from xpcnn.backend import Array, array_namespace
from xpcnn.errors import ConfigError

from .base import Batch, Transform
from .move import Move

__all__ = ["Compose"]


@final
class Compose(Transform):
    """
    Transforms one after the other.

    Parameters
    ----------
    transforms : iterable of Transform
        The first is applied first. Each takes its random numbers after those of the ones before it, so a transform
        put at the end does not change what the others do.

    Raises
    ------
    ConfigError

    Notes
    -----
    Flips, crops and shifts next to each other are carried out in one reading of the pixels.

    Examples
    --------
    >>> import numpy as np
    >>> from xpcnn.data.augment import Normalize, RandomCrop
    >>> augment = Compose([RandomCrop(28, padding=2), Normalize(0.5, 0.5)])
    >>> augment(np.ones((2, 1, 28, 28)), index=[0, 1])[0].shape
    (2, 1, 28, 28)
    """

    def __init__(self, transforms: Iterable[Transform]) -> None:
        self.transforms = list(transforms) if isinstance(transforms, Iterable) else [transforms]
        for transform in self.transforms:
            if not isinstance(transform, Transform):
                hint = ": make one, e.g. " + transform.__name__ + "()" if isinstance(transform, type) else ""
                message = f"Compose: expected a list of transforms, got {transform!r} in it{hint}"
                raise ConfigError(message)
        self.draws = sum(transform.draws for transform in self.transforms)
        self.on_device = all(transform.on_device for transform in self.transforms)
        self._parts: list[Transform] = []
        for transform in self.transforms:
            last = self._parts[-1] if self._parts else None
            if isinstance(last, Move) and isinstance(transform, Move) and last.agrees(transform):
                self._parts[-1] = _Moves(last, transform)
            else:
                self._parts.append(transform)

    def check(self, shape: tuple[int, ...], y: Array | None) -> tuple[int, ...]:
        for transform in self.transforms:
            shape = transform.check(shape, y)
        return shape

    def members(self) -> list[Transform]:
        return [self, *(member for transform in self.transforms for member in transform.members())]

    def apply(self, x: Array, y: Array | None, u: Array) -> Batch:
        start = 0
        for part in self._parts:
            x, y = part.apply(x, y, u[:, start : start + part.draws])
            start += part.draws
        return x, y

    def __repr__(self) -> str:
        return f"Compose([{', '.join(map(repr, self.transforms))}])"


class _Moves(Move):
    """Several moves as one: the places of the last among the places of those before it."""

    def __init__(self, first: Move, second: Move) -> None:
        self.first, self.second = first, second
        self.draws = first.draws + second.draws
        self.fill = second.fill if first.fill is None else first.fill

    def places(self, u: Array, h: int, w: int) -> tuple[Array, Array]:
        before = self.first.places(u[:, : self.first.draws], h, w)
        after = self.second.places(u[:, self.first.draws :], *(a.shape[1] for a in before))
        return _through(before[0], after[0]), _through(before[1], after[1])


def _through(a: Array, b: Array) -> Array:
    """``a[n, b[n, j]]``, and -1 where b is outside."""
    xp = array_namespace(a)
    begin = xp.arange(a.shape[0], dtype=xp.int64, device=a.device)[:, None] * a.shape[1]
    place = xp.reshape(begin + xp.maximum(b, 0), (-1,))
    return xp.where(b < 0, -1, xp.reshape(xp.take(xp.reshape(a, (-1,)), place, axis=0), b.shape))
