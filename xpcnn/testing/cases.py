"""
What the gradient certificate checks: a few settings of each layer and loss, which together use every option with a
value that is not its default.

A new layer is a line in ``_layers``, a new loss one in ``_losses``: the shape of the input with its batch axis, the
class, the constructor's arguments. A test fails while an exported class or one of its options is missing.

Inputs are distinct numbers, spread evenly around zero without it, so that no difference steps over a tie or a kink.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from xpcnn import layers as L
from xpcnn import models as M
from xpcnn.backend import Array, Device, Key, normal, permutation, uniform

__all__ = ["Case", "LayerCase", "LossCase", "cases"]

Shape: TypeAlias = tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """A layer or loss to build."""

    cls: type
    args: tuple[Any, ...]
    options: dict[str, Any]

    @property
    def name(self) -> str:
        return self.cls.__name__

    @property
    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments by name."""
        return dict(inspect.signature(self.cls).bind(*self.args, **self.options).arguments)

    def __str__(self) -> str:
        """As it is written in Python."""
        options = (f"{name}={value!r}" for name, value in self.options.items())
        return f"{self.name}({', '.join([*map(repr, self.args), *options])})"


@dataclass(frozen=True)
class LayerCase(Case):
    """A layer, and what goes in."""

    shape: Any  # a tuple of shapes for a layer that merges
    linear: bool = False  # but for what it gives for zeros
    width: float = 6.0  # inputs are within half of it; larger where a kink is farther off
    frozen: frozenset[str] = field(default=frozenset())

    def __str__(self) -> str:
        frozen = f", frozen {', '.join(sorted(self.frozen))}" if self.frozen else ""
        return f"{super().__str__()} of {self.shape}{frozen}"

    def layer(self, device: Device, key: Key) -> L.Layer:
        """A layer on that device with random numbers in all its arrays: zeros and ones hide errors."""
        layer: L.Layer = self.cls(*self.args, **self.options)
        layer.place(device, "float64", key.child("init"))
        for arrays in (layer.params, layer.buffers):
            for name, a in arrays.items():
                if "float" in str(a.dtype):
                    arrays[name] = device.asarray(_numbers(name, tuple(a.shape), key.child(name)))
        if self.frozen:
            layer.frozen = self.frozen
        return layer

    def x(self, device: Device, key: Key) -> Any:
        """The input: an array, or a tuple of them for a layer that merges."""
        if self.shape and isinstance(self.shape[0], tuple):
            shapes = enumerate(self.shape)
            return tuple(device.asarray(_spread(s, key.child(f"x/{i}"), self.width)) for i, s in shapes)
        return device.asarray(_spread(self.shape, key.child("x"), self.width))


@dataclass(frozen=True)
class LossCase(Case):
    """A loss, the shape of the prediction, and the target: labels, rows of shares, or how numbers are drawn."""

    shape: Shape
    target: Any

    def __str__(self) -> str:
        return f"{super().__str__()} of {self.shape} at {self.target}"

    def loss(self) -> L.Loss:
        """The loss itself."""
        return self.cls(*self.args, **self.options)

    def arrays(self, device: Device, key: Key) -> tuple[Array, Array, Array]:
        """Prediction, target and weights of the samples."""
        x = _spread(self.shape, key.child("prediction"), 6.0)
        t = normal(self.shape, key.child("target"))
        if isinstance(self.target, list):
            kind = "int64" if isinstance(self.target[0], int) else "float64"
            target = device.xp.asarray(self.target, dtype=getattr(device.xp, kind), device=device.native)
        elif self.target == "numbers":
            x, target = x + t, device.asarray(t)  # what is spread evenly is their difference
        elif self.target == "shares":
            target = device.asarray(uniform(self.shape, key.child("target")))
        else:  # yes or no
            target = device.asarray((t > 0.0).astype("float64"))
        weights = 0.5 + uniform(self.shape[:1], key.child("weights"))
        return device.asarray(x), target, device.asarray(weights)


def cases() -> list[LayerCase | LossCase]:
    """All settings, made anew."""
    return [*_layers(), *_losses()]


def _case(shape: Any, cls: type, *args: Any, **options: Any) -> LayerCase:
    return LayerCase(cls, args, options, shape)


def _linear(shape: Any, cls: type, *args: Any, **options: Any) -> LayerCase:
    """A case of a layer that is linear in x, but for a bias: its adjoint is checked, too."""
    return LayerCase(cls, args, options, shape, linear=True)


def _far(width: float, shape: Any, cls: type, *args: Any, **options: Any) -> LayerCase:
    """A case with inputs from ``-width / 2`` to ``width / 2``, to reach what is far from zero."""
    return LayerCase(cls, args, options, shape, width=width)


def _frozen(shape: Any, cls: type, *args: Any, **options: Any) -> LayerCase:
    """A case with running averages that are frozen, and so normalize in training."""
    return LayerCase(cls, args, options, shape, frozen=frozenset({"running_mean", "running_var"}))


def _layers() -> Iterator[LayerCase]:
    xavier = "xavier_uniform"
    yield _linear((3, 5), L.Linear, 5, 4)
    yield _linear((3, 5), L.Linear, 5, 4, bias=False, init=xavier)

    yield _linear((2, 2, 7), L.Conv1d, 2, 3, 3)
    yield _linear((2, 4, 9), L.Conv1d, 4, 6, 2, stride=2, padding=(1, 2), dilation=2, groups=2, bias=False, init=xavier)
    yield _linear((2, 2, 5), L.Conv1d, 2, 3, 4, padding="same")
    yield _linear((2, 2, 5, 6), L.Conv2d, 2, 3, 3)
    yield _linear((2, 4, 7, 6), L.Conv2d, 4, 6, (2, 3), stride=(2, 1), padding=(1, 0, 2, 1), dilation=(1, 2), groups=2)
    yield _linear((2, 3, 6, 5), L.Conv2d, 3, 3, 3, padding="same", groups=3, bias=False, init=xavier)
    yield _linear((2, 2, 7, 8), L.Conv2d, 2, 2, 2, stride=3, padding=1)
    yield _linear((2, 3, 4, 4), L.Conv2d, 3, 5, 1)
    yield _linear((2, 2, 3, 4), L.ConvTranspose2d, 2, 3, 3)
    yield _linear(
        (2, 4, 3, 4), L.ConvTranspose2d, 4, 6, (2, 3), stride=(2, 3), padding=1, output_padding=(1, 2), groups=2,
        bias=False, dilation=(2, 1), init=xavier,
    )  # fmt: skip

    pooled = (2, 2, 7, 8)
    yield _case(pooled, L.MaxPool2d, 2)
    yield _case(pooled, L.MaxPool2d, (3, 2), stride=(2, 3), padding=(0, 1, 1, 0), ceil_mode=True)
    yield _case(pooled, L.MaxPool2d, 2, stride=1, dilation=(2, 3))
    yield _linear(pooled, L.AvgPool2d, 2)
    yield _linear(pooled, L.AvgPool2d, 3, stride=2, padding=1, ceil_mode=True, count_include_pad=False)
    yield _linear(pooled, L.AvgPool2d, (2, 3), stride=(3, 1), padding=(1, 0, 0, 1))
    yield _linear(pooled, L.AdaptiveAvgPool2d, (3, None))
    yield _linear(pooled, L.AdaptiveAvgPool2d, 9)
    yield _case(pooled, L.AdaptiveMaxPool2d, (3, None))
    yield _case(pooled, L.AdaptiveMaxPool2d, 5)
    yield _linear(pooled, L.GlobalAvgPool2d)
    yield _case(pooled, L.GlobalMaxPool2d)

    image = (2, 2, 4, 5)
    yield _linear(image, L.ZeroPad2d, 2)
    yield _linear(image, L.ZeroPad2d, (-1, 2, 3, -2))
    yield _linear(image, L.ReflectionPad2d, 3)
    yield _linear(image, L.ReflectionPad2d, (4, -1, 2, 3))
    yield _linear(image, L.ReplicationPad2d, 2)
    yield _linear(image, L.ReplicationPad2d, (5, -1, -2, 3))
    yield _linear(image, L.Upsample, scale_factor=(2, 1.7))
    yield _linear(image, L.Upsample, size=(3, 9))
    yield _linear(image, L.Upsample, scale_factor=1.5, mode="bilinear")
    yield _linear(image, L.Upsample, size=7, mode="bilinear", align_corners=True)

    yield _case((5, 3), L.BatchNorm1d, 3)
    yield _case((3, 3, 4), L.BatchNorm1d, 3, eps=0.5, momentum=None, affine=False, track_running_stats=False)
    yield _frozen((4, 3), L.BatchNorm1d, 3)
    yield _case((3, 2, 3, 4), L.BatchNorm2d, 2)
    yield _case((3, 2, 3, 4), L.BatchNorm2d, 2, eps=0.5, momentum=0.7, affine=False, track_running_stats=False)
    yield _frozen((3, 2, 3, 4), L.BatchNorm2d, 2)
    yield _case(image, L.InstanceNorm2d, 2)
    yield _case(image, L.InstanceNorm2d, 2, eps=0.5, momentum=0.7, affine=True, track_running_stats=True)
    yield _frozen(image, L.InstanceNorm2d, 2, track_running_stats=True)
    yield _case(image, L.LayerNorm, (2, 4, 5))
    yield _case((3, 6), L.LayerNorm, 6, eps=0.5, bias=False)
    yield _case((3, 4, 5), L.LayerNorm, [4, 5], elementwise_affine=False)
    yield _case((2, 6, 2, 3), L.GroupNorm, 3, 6)
    yield _case((3, 6), L.GroupNorm, 2, 6, eps=0.5, affine=False)
    yield _case((2, 5, 3, 2), L.LocalResponseNorm, 3)
    yield _case((2, 5, 4), L.LocalResponseNorm, 4, alpha=0.5, beta=1.5, k=2.0)

    some = (3, 4, 5)
    for simple in (L.ReLU, L.SELU, L.SiLU, L.Mish, L.Sigmoid, L.Tanh):
        yield _case(some, simple)
    yield _far(12.0, some, L.Hardswish)
    yield _case(some, L.LeakyReLU)
    yield _case(some, L.LeakyReLU, negative_slope=-0.3)
    yield _case(some, L.ELU)
    yield _case(some, L.ELU, alpha=0.3)
    yield _case(some, L.GELU)
    yield _case(some, L.GELU, approximate="tanh")
    yield _case(some, L.Softplus)
    yield _case(some, L.Softplus, beta=3.0, threshold=4.0)
    yield _case(some, L.PReLU)
    yield _case(some, L.PReLU, num_parameters=4, init=-1.5)
    for softmax in (L.Softmax, L.LogSoftmax):
        yield _case((3, 4), softmax)
        yield _case((3, 4, 5), softmax, dim=-1)

    yield _linear(image, L.Flatten)
    yield _linear(some, L.Dropout)
    yield _linear(some, L.Dropout, p=0.2)
    yield _linear((3, 4, 2, 3), L.Dropout2d)
    yield _linear((3, 4, 2, 3), L.Dropout2d, p=0.2)
    yield _linear(((2, 3, 4),) * 3, L.Add)
    yield _case((image, (2, 2, 1, 1), (2, 1, 4, 5)), L.Multiply)
    yield _linear(((2, 3, 4), (2, 1, 4)), L.Concatenate)
    yield _linear(((2, 3, 4), (2, 3, 2)), L.Concatenate, dim=-1)
    yield from _containers()


def _containers() -> Iterator[LayerCase]:
    # smooth inside: there, nobody keeps numbers away from kinks
    images = (2, 2, 4, 3)
    same = L.Conv2d(2, 2, 3, padding=1)
    yield _case(
        images, M.Sequential, L.Conv2d(2, 3, 3, padding=1), L.BatchNorm2d(3), L.Tanh(), ("drop", L.Dropout(0.3)),
        L.Flatten(), L.Linear(36, 2), seed=1, input_shape=(2, 4, 3),
    )  # fmt: skip
    yield _case(images, M.Sequential, same, L.Sigmoid(), same, M.Sequential(L.BatchNorm2d(2), L.Tanh()))
    yield _case(images, M.Residual, M.Sequential(L.Conv2d(2, 2, 3, padding=1), L.Tanh()))
    yield _case(images, M.Residual, L.Conv2d(2, 3, 3, padding=1), shortcut=L.Conv2d(2, 3, 1))
    yield _case(images, M.Concat, L.Conv2d(2, 1, 1), L.Tanh(), L.Conv2d(2, 3, 3, padding=1))
    yield _case((2, 4, 3, 3), M.SqueezeExcite, 4)
    yield _case(
        (2, 4, 3, 3), M.SqueezeExcite, 4, squeeze_channels=3, activation=L.SiLU(), scale_activation=L.Tanh()
    )  # fmt: skip
    yield _case(images, M.Graph, {"a": (L.Tanh(), "input"), "b": (L.Add(), "a", "input"), "c": (L.SiLU(), "b")})
    yield _case(
        (images, (2, 1, 4, 3)), M.Graph,
        {
            "stem": (L.Conv2d(2, 1, 1), "left"),
            "product": (L.Multiply(), "stem", "right"),
            "both": (L.Concatenate(), "product", "stem", "left"),
            "act": (L.Tanh(), "both"),
        },
        output="act", inputs=("left", "right"), seed=1, input_shape=((2, 4, 3), (1, 4, 3)),
    )  # fmt: skip


def _losses() -> Iterator[LossCase]:
    labels, ignored = [0, 2, 1, 2], [0, -100, 1, 2]
    shares = [[0.2, 0.3, 0.5], [0.1, 0.8, 0.1], [0.25, 0.25, 0.5], [1.0, 0.0, 0.0]]
    weights = [0.5, 2.0, 1.25]

    def of(target: Any, cls: type, **options: Any) -> LossCase:
        return LossCase(cls, (), options, (4, 3), target)

    yield of(labels, L.SoftmaxCrossEntropy)
    yield of(labels, L.SoftmaxCrossEntropy, weight=weights, ignore_index=1, label_smoothing=0.1)
    yield of(shares, L.SoftmaxCrossEntropy, weight=weights, label_smoothing=0.1, reduction="sum")
    yield of(ignored, L.SoftmaxCrossEntropy, label_smoothing=0.3, reduction="none")
    yield of(labels, L.NLLLoss)
    yield of(labels, L.NLLLoss, weight=weights, ignore_index=1)
    yield of(ignored, L.NLLLoss, weight=weights, reduction="none")
    yield of(labels, L.FocalLoss)
    yield of(labels, L.FocalLoss, alpha=weights, gamma=0.5, ignore_index=1)
    yield of(ignored, L.FocalLoss, alpha=weights, gamma=3.0, reduction="sum")
    yield of("shares", L.BCEWithLogitsLoss)
    yield of("yes or no", L.BCEWithLogitsLoss, weight=weights, pos_weight=3.0, reduction="sum")
    yield of("shares", L.BCEWithLogitsLoss, weight=0.5, pos_weight=weights, reduction="none")
    yield of("yes or no", L.SigmoidFocalLoss)
    yield of("yes or no", L.SigmoidFocalLoss, alpha=None, gamma=0.5, reduction="sum")
    yield of("yes or no", L.SigmoidFocalLoss, alpha=0.75, gamma=3.0, reduction="none")
    for cls, knee in ((L.HuberLoss, {"delta": 0.7}), (L.SmoothL1Loss, {"beta": 0.7}), (L.MSE, {}), (L.L1Loss, {})):
        yield of("numbers", cls)
        yield of("numbers", cls, reduction="sum", **knee)
        yield of("numbers", cls, reduction="none")


def _spread(shape: Shape, key: Key, width: float) -> Any:
    """Distinct numbers from ``-width / 2`` to ``width / 2``, in any order and without zero, on the host."""
    n = math.prod(shape)
    return ((permutation(n, key) - n // 2 + 0.5) * (width / (n + 1))).reshape(shape)


def _numbers(name: str, shape: Shape, key: Key) -> Any:
    if name.endswith("running_var"):
        return 0.5 + uniform(shape, key)
    return 0.1 + normal(shape, key)
