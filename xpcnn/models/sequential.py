"""Layers one after the other."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, final

from xpcnn.backend import Array, Device, Key
from xpcnn.errors import ConfigError
from xpcnn.layers import Layer

from . import fused, tiled
from .container import Shape, Step, learns
from .model import Model
from .tiled import Plans, Segment

__all__ = ["Sequential"]


@final
class Sequential(Model):
    """
    Layers one after the other.

    Parameters
    ----------
    *layers : Layer, or (name, Layer)
        A layer without a name is called by its position. Layers are taken as they are, not copied: parameters that
        a layer already has are kept, those not drawn yet are drawn from `seed`.
    device : {"cpu", "cuda", "cuda:N", "auto"}
        Where parameters live and everything is computed.
    dtype : {"float32", "float64", "bfloat16", "float16"}
        What is computed in. With 16 bits, mixed precision: parameters, their gradients, statistics of norms, softmax,
        data and outputs are float32; see docs/precision.md. On a CPU that is slower than float32.
    seed : int, 0 to 2**64 - 1
        Decides initial weights, dropout and the order of samples in `fit`.
    input_shape : tuple of int, optional
        Shape of one input, without the batch axis: checked through all layers at once, and used by `summary`.
    allow_tf32 : bool
        On a GPU: round the factors of float32 products and convolutions to TF32, which has 10 bits behind the point.
        Several times faster there, and off unless asked for. May be set at any time.
    deterministic : bool
        On a GPU: only kernels that give the same bits every time. On a CPU all do. May be set at any time.

    Attributes
    ----------
    params, buffers : dict of str to array
        Flat, with names such as ``"0.weight"``.
    step : int
        Training steps done: which dropout masks come next. A backward pass counts it on.

    Raises
    ------
    ConfigError, ShapeError, DeviceUnavailable

    Examples
    --------
    >>> from xpcnn.layers import Conv2d, Flatten, Linear, ReLU
    >>> model = Sequential(Conv2d(1, 4, 3), ReLU(), Flatten(), Linear(4 * 26 * 26, 10), input_shape=(1, 28, 28))
    >>> list(model.params)
    ['0.weight', '0.bias', '3.weight', '3.bias']
    >>> model.output_shape((1, 28, 28))
    (10,)
    """

    def __init__(
        self,
        *layers: Layer | tuple[str, Layer],
        device: str | Device = "cpu",
        dtype: str = "float32",
        seed: int = 0,
        input_shape: Sequence[int] | None = None,
        allow_tf32: bool = False,
        deterministic: bool = False,
    ) -> None:
        named: dict[str, Layer] = {}
        for i, item in enumerate(layers):
            name, layer = str(i), item
            if isinstance(item, tuple) and len(item) == 2 and not isinstance(item[0], Layer):
                name, layer = item
            if not isinstance(name, str) or name in named:
                message = f"Sequential: expected names that differ, got {name!r} for layer {i}"
                raise ConfigError(message)
            named[name] = layer  # type: ignore[assignment]  # what is no layer is refused below
        super().__init__(
            named,
            device=device,
            dtype=dtype,
            seed=seed,
            input_shape=input_shape,
            allow_tf32=allow_tf32,
            deterministic=deterministic,
        )
        self._plans = Plans(self.children)

    def __getitem__(self, which: int | str) -> Layer:
        """The layer of that position or name."""
        return self.children[which] if isinstance(which, str) else list(self.children.values())[which]

    _adds: fused.Sum | None = None  # what the last layers are to add

    @property
    def last(self) -> Layer | None:
        return next(reversed(self.children.values()), None)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Sequential:
        return cls(*map(tuple, config.pop("layers")), **config)

    def config(self) -> dict[str, Any]:
        return {"layers": list(self.children.items()), "input_shape": self.input_shape}

    def __repr__(self) -> str:
        lines = "".join(f"\n{name}: {child!r}" for name, child in self.children.items())
        return f"Sequential({lines.replace(chr(10), chr(10) + '  ')}\n)"

    def _forward(self, x: Array, train: bool, key: Key) -> tuple[Array, list[tuple[Segment, Any]]]:
        kept = []
        for planned in self._segments(x, train):
            for segment in tiled.as_it_comes(planned, x):
                if segment.run is None:
                    stand_in = () if segment.fused is None else (segment.fused,)
                    x, cache = self._forward_child(segment.names[0], x, train, key, *stand_in)
                else:
                    x, cache = tiled.forward(segment, x, train, key)
                kept.append((segment, cache))
        return x, kept

    def _backward(
        self, dy: Array, kept: list[tuple[Segment, Any]], grads: dict[str, Array], input_grad: bool
    ) -> Array | None:
        # below the first layer that learns nobody asks for a gradient
        lowest = None if input_grad else next((n for n, child in self.children.items() if learns(child)), "")
        for segment, cache in reversed(kept):
            if lowest == "":
                return None
            end = lowest in segment.names
            if segment.run is None:
                stand_in = () if segment.fused is None else (segment.fused,)
                dy = self._backward_child(segment.names[0], dy, cache, grads, not end, *stand_in)
            else:
                dy, own = tiled.backward(segment, dy, cache, lowest if end else None, not end)
                for name in reversed(segment.order):
                    self._collect(name, own[name], grads)
            if end:
                return None
        return dy

    def _segments(self, x: Array, train: bool) -> list[Segment]:
        if "_forward_child" in vars(self):  # somebody listens to each layer
            return [Segment((name,)) for name in self.children]
        if fused.fuses(x):
            return fused.segments(self.children, train, self._adds)
        return self._plans.of(x, train)

    def adding(self, other: Array, relu: bool) -> Sequential | None:
        """
        A copy that adds an array to the output, at inference, and rectifies it where asked for.

        With the same arrays. None where the last layers are not computed with a sum; see :mod:`.fused`.
        """
        last = list(self.children.values())[-2:]
        if "_forward_child" in vars(self) or not fused.fuses(other) or not fused.folds(last):
            return None
        twin = copy.copy(self)
        twin._adds = fused.Sum(other, relu)
        return twin

    def walk(self, shape: Shape, place: object, step: Step) -> tuple[Shape, object]:
        for name, child in self.children.items():
            shape, place = step(name, child, shape, place)
        return shape, place
