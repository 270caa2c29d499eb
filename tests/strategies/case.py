"""What a case is, and the pieces that strategies share."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st

from xpcnn.backend import Key, permutation


@dataclass(frozen=True, eq=False)
class Case:
    """A layer to build and the shape of its input, batch included."""

    cls: type
    args: dict[str, Any]
    shape: tuple[int, ...]
    seed: int = 0
    parts: tuple["Case", ...] = field(default=())

    def layer(self, built: dict[int, Any] | None = None):
        """A fresh layer; a case that stands twice in a container becomes one layer at two places."""
        built = {} if built is None else built
        if id(self) not in built:
            parts = [part.layer(built) for part in self.parts]
            args = {k: v.layer(built) if isinstance(v, Case) else v for k, v in self.args.items()}
            built[id(self)] = self.cls(*parts, **args)
        return built[id(self)]

    @property
    def gap(self) -> float:
        return 6.0 / (np.prod(self.shape) + 1)

    def x(self) -> np.ndarray:
        n = int(np.prod(self.shape))
        places = permutation(n, Key(self.seed, "x")) - n // 2
        return ((places + 0.5) * self.gap).reshape(self.shape)

    def __repr__(self) -> str:
        inner = [*map(repr, self.parts), *(f"{k}={v!r}" for k, v in self.args.items())]
        return f"{self.cls.__name__}({', '.join(inner)}) of {self.shape}, seed {self.seed}"


@dataclass(frozen=True, eq=False)
class LossCase:
    """A loss to build, a prediction and a target."""

    cls: type
    args: dict[str, Any]
    prediction: np.ndarray
    target: np.ndarray

    def loss(self):
        return self.cls(**self.args)

    def __repr__(self) -> str:
        return f"{self.cls.__name__}({self.args}) of {self.prediction.tolist()} at {self.target.tolist()}"


seeds = st.integers(0, 2**20)
few = st.integers(1, 3)


def either(element):
    """A number, or a pair (height, width)."""
    return st.one_of(element, st.tuples(element, element))


def both(value) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)


def borders(padding, reach) -> tuple[int, int]:
    """Rows and columns that a padding adds, for the strategies' own arithmetic."""
    if padding == "valid":
        return 0, 0
    if padding == "same":
        return reach[0] - 1, reach[1] - 1
    if isinstance(padding, tuple) and len(padding) == 4:
        return padding[2] + padding[3], padding[0] + padding[1]
    return 2 * both(padding)[0], 2 * both(padding)[1]


@st.composite
def image_sizes(draw, kernel, dilation, padding):
    """Heights and widths from the smallest that fits the kernel, with rows and columns that no window reaches."""
    reach = [d * (k - 1) + 1 for k, d in zip(both(kernel), both(dilation), strict=True)]
    added = borders(padding, reach)
    return tuple(max(1, r - a) + draw(st.integers(0, 3)) for r, a in zip(reach, added, strict=True))


@st.composite
def images(draw, n=few, c=few):
    return draw(n), draw(c), draw(st.integers(1, 4)), draw(st.integers(1, 4))


@st.composite
def any_rank(draw):
    """Features, sequences or images."""
    return tuple(draw(st.lists(few, min_size=2, max_size=4)))


def plain(cls, shapes):
    return st.builds(lambda shape, seed: Case(cls, {}, shape, seed), shapes, seeds)
