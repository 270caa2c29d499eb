"""Branches: a shortcut around layers, and layers side by side."""

from typing import Any, final

from xpcnn.backend import Array, Key
from xpcnn.errors import ConfigError, ShapeError
from xpcnn.layers import Cache, Layer
from xpcnn.ops import relu_backward
from xpcnn.ops.checks import common

from .container import Container, Shape, Step, plus
from .sequential import Sequential

__all__ = ["Concat", "Residual"]


@final
class Residual(Container):
    """
    Sum of a body and a shortcut around it, ``y = body(x) + shortcut(x)``.

    Parameters
    ----------
    body : Layer
    shortcut : Layer, optional
        Default: the input itself. Where the body changes the shape, a 1x1 convolution does it here.

    Raises
    ------
    ConfigError, ShapeError

    Notes
    -----
    The input reaches the output on two ways, so its gradient is the sum over both: ``dx = body'(dy) + shortcut'(dy)``.

    Source: He, Zhang, Ren and Sun (2016), "Deep residual learning for image recognition", equations 1 and 2.

    Examples
    --------
    >>> from xpcnn.layers import Conv2d
    >>> Residual(Conv2d(8, 8, 3, padding=1)).output_shape((8, 5, 5))
    (8, 5, 5)
    """

    spares_input_grad = True
    rectifies = True

    def __init__(self, body: Layer, shortcut: Layer | None = None) -> None:
        super().__init__({"body": body} if shortcut is None else {"body": body, "shortcut": shortcut})
        self.body, self.shortcut = body, shortcut

    def forward(self, x: Array, *, train: bool = False, key: Key | None = None) -> tuple[Array, Cache | None]:
        other, shortcut = x, None
        if self.shortcut is not None:
            other, shortcut = self._forward_child("shortcut", x, train, key)
        adding = None if train else self.adding(other)
        if adding is not None:
            y, _ = self._forward_child("body", x, train, key, adding)
            self._check(tuple(y.shape), tuple(other.shape))
            return y, None
        y, body = self._forward_child("body", x, train, key)
        self._check(tuple(y.shape), tuple(other.shape))
        y = plus(y, other, self.rectified)
        return y, self.keep(y, body, shortcut, y if self.rectified else None) if train else None

    def backward(
        self, dy: Array, cache: Cache | None, *, input_grad: bool = True
    ) -> tuple[Array | None, dict[str, Array]]:
        body, shortcut, y = self.recall(dy, cache)
        grads: dict[str, Array] = {}
        if y is not None:
            dy = relu_backward(dy, y)
        dx, other = self._backward_child("body", dy, body, grads, input_grad), dy
        if self.shortcut is not None:
            other = self._backward_child("shortcut", dy, shortcut, grads, input_grad)
        return plus(dx, other) if input_grad else None, grads

    def adding(self, other: Array) -> Sequential | None:
        """What gives the whole sum in place of the body, at inference; None where its last layers cannot add."""
        if not isinstance(self.body, Sequential) or "_forward_child" in vars(self):
            return None
        return self.body.adding(other, self.rectified)

    def walk(self, shape: Shape, place: object, step: Step) -> tuple[Shape, object]:
        y, _ = step("body", self.body, shape, place)
        other = shape if self.shortcut is None else step("shortcut", self.shortcut, shape, place)[0]
        self._check(y, other)
        return y, object()

    def _check(self, body: Shape, shortcut: Shape) -> None:
        if body != shortcut:
            message = f"Residual: expected body and shortcut to give one shape, got {body} and {shortcut}"
            if self.shortcut is None:
                message += ": give a shortcut that changes the shape too, e.g. a 1x1 convolution"
            raise ShapeError(message)


@final
class Concat(Container):
    """
    Branches side by side, their outputs joined along the channels.

    Parameters
    ----------
    *branches : Layer
        Each gets the same input and must keep the same batch, height and width.

    Raises
    ------
    ConfigError, ShapeError

    Notes
    -----
    ``y = [b_1(x), b_2(x), ...]`` along axis 1. Backward cuts dy into the same parts and sums the branches' gradients.

    Source: Szegedy et al. (2015), "Going deeper with convolutions", section 4.

    Examples
    --------
    >>> from xpcnn.layers import Conv2d
    >>> Concat(Conv2d(3, 4, 1), Conv2d(3, 8, 3, padding=1)).output_shape((3, 5, 5))
    (12, 5, 5)
    """

    spares_input_grad = True

    def __init__(self, *branches: Layer) -> None:
        if not branches:
            message = "Concat: expected at least one branch, got none"
            raise ConfigError(message)
        super().__init__({str(i): branch for i, branch in enumerate(branches)})

    def config(self) -> dict[str, Any]:
        return {"branches": list(self.children.values())}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Concat":
        return cls(*config.pop("branches"), **config)

    def forward(self, x: Array, *, train: bool = False, key: Key | None = None) -> tuple[Array, Cache | None]:
        outputs, caches = zip(*(self._forward_child(name, x, train, key) for name in self.children), strict=True)
        xp = common("Concat", **{f"output_{i}": y for i, y in enumerate(outputs)})
        self._check([tuple(y.shape[1:]) for y in outputs])
        y = xp.concat(outputs, axis=1)
        return y, self.keep(y, caches, [y.shape[1] for y in outputs]) if train else None

    def backward(
        self, dy: Array, cache: Cache | None, *, input_grad: bool = True
    ) -> tuple[Array | None, dict[str, Array]]:
        caches, channels = self.recall(dy, cache)
        grads: dict[str, Array] = {}
        dx, start = None, 0
        for name, own, count in zip(self.children, caches, channels, strict=True):
            part = self._backward_child(name, dy[:, start : start + count, ...], own, grads, input_grad)
            if input_grad:
                dx = part if dx is None else plus(dx, part)
            start += count
        return dx, grads

    def walk(self, shape: Shape, place: object, step: Step) -> tuple[Shape, object]:
        shapes = [step(name, child, shape, place)[0] for name, child in self.children.items()]
        self._check(shapes)
        return (sum(out[0] for out in shapes), *shapes[0][1:]), object()

    def _check(self, shapes: list[Shape]) -> None:
        if any(out[1:] != shapes[0][1:] for out in shapes):
            message = f"Concat: expected branches that differ in channels only, got shapes {shapes} for one sample"
            raise ShapeError(message)
