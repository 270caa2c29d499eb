"""
The cases: layers and losses with inputs that are hard in float32.

Long sums (K = 4608 products in a convolution, a million places in a channel), means that are 10,000 times the spread,
scores of several hundred, numbers so small that they are denormal.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.strategies import Case, LossCase
from xpcnn import layers as L
from xpcnn.backend import Key, normal


@dataclass(frozen=True)
class Hard:
    """
    A layer or a loss, and what its float32 inputs are like.

    Parameters
    ----------
    family, name : str
        Row and entry of the table.
    case : Case or LossCase
    x : callable
        Changes standard normal inputs into those of the case.
    """

    family: str
    name: str
    case: Case | LossCase
    x: Callable[[np.ndarray], np.ndarray] = lambda x: x


def layer(family: str, cls: type, shape: tuple[int, ...], note: str = "", change=lambda x: x, **args: Any) -> Hard:
    settings = ", ".join(f"{k}={v}" for k, v in args.items())
    return Hard(family, f"{cls.__name__}({settings}) {shape} {note}".strip(), Case(cls, args, shape), change)


def conv(
    in_channels: int, out_channels: int, kernel: int, n: int, size: int, note="", change=lambda x: x, **args: Any
) -> Hard:
    shape = (n, in_channels, size, size)
    settings = {"in_channels": in_channels, "out_channels": out_channels, "kernel_size": kernel, **args}
    return layer("convolution", L.Conv2d, shape, note, change, **settings)


def spread(x: np.ndarray) -> np.ndarray:
    return x * 10.0 ** np.linspace(-3, 3, x.size).reshape(x.shape)


def convolutions() -> Iterator[Hard]:
    yield conv(3, 16, 3, 8, 32, padding=1)  # K = 27, sums over 8192 places
    yield conv(1, 16, 5, 16, 28, padding=2)
    yield conv(16, 32, 5, 8, 14, padding=2)  # K = 400
    yield conv(64, 64, 1, 4, 14)
    yield conv(64, 64, 3, 4, 14, padding=1)  # K = 576
    yield conv(32, 64, 5, 4, 14, padding=2)  # K = 800
    yield conv(128, 128, 3, 4, 8, padding=1)  # K = 1152
    yield conv(256, 128, 3, 2, 8, padding=1)  # K = 2304
    yield conv(512, 64, 3, 2, 7, padding=1)  # K = 4608
    yield conv(64, 64, 3, 16, 16, padding=1)  # from here on batches for which NumPy arrays go by Winograd's filtering
    yield conv(64, 64, 3, 16, 16, "mean 100", lambda x: x + 100.0, padding=1)
    yield conv(256, 256, 3, 32, 8, padding=1)
    yield conv(512, 512, 3, 64, 4, padding=1)
    yield conv(512, 256, 1, 2, 7)
    yield conv(3, 64, 7, 2, 64, stride=2, padding=3)
    yield conv(32, 32, 3, 2, 28, padding=2, dilation=2)
    yield conv(64, 64, 3, 4, 14, padding=1, groups=4)
    yield conv(32, 32, 3, 4, 28, padding=1, groups=32)
    yield conv(1, 4, 3, 1, 1024, "a million places", padding=1)
    yield conv(16, 16, 3, 4, 16, "mean 100", lambda x: x + 100.0, padding=1)
    yield conv(64, 32, 3, 2, 8, "mean 1e4", lambda x: x + 1e4)
    yield conv(64, 32, 3, 2, 8, "denormal inputs", lambda x: x * 1e-39)
    yield conv(64, 32, 3, 2, 8, "inputs of 1e15", lambda x: x * 1e15)
    yield conv(64, 32, 3, 2, 8, "magnitudes from 1e-3 to 1e3", spread)


    yield layer("convolution", L.Conv1d, (8, 64, 200), in_channels=64, out_channels=32, kernel_size=9, padding=4)
    args = {"in_channels": 64, "out_channels": 32, "kernel_size": 4, "stride": 2, "padding": 1}
    yield layer("convolution", L.ConvTranspose2d, (4, 64, 14, 14), **args)
    yield layer("convolution", L.ConvTranspose2d, (2, 256, 7, 7), **args | {"in_channels": 256})


def linears() -> Iterator[Hard]:
    for n, i, o in ((64, 784, 120), (64, 1568, 120), (256, 4608, 10), (16, 25088, 64), (4096, 32, 10), (1, 4096, 1000)):
        yield layer("linear", L.Linear, (n, i), in_features=i, out_features=o)
    for note, change in (
        ("mean 1e4", lambda x: x + 1e4),
        ("inputs of 1e-20", lambda x: x * 1e-20),
        ("denormal inputs", lambda x: x * 1e-39),
    ):
        yield layer("linear", L.Linear, (64, 1024), note, change, in_features=1024, out_features=32)


def poolings() -> Iterator[Hard]:
    for note, change in (("", lambda x: x), ("mean 1e4", lambda x: x + 1e4), ("denormal", lambda x: x * 1e-39)):
        yield layer("pooling", L.AvgPool2d, (4, 8, 28, 28), note, change, kernel_size=2)
        yield layer("pooling", L.AvgPool2d, (4, 8, 27, 27), note, change, kernel_size=3, stride=2, padding=1)
        yield layer("pooling", L.GlobalAvgPool2d, (4, 64, 7, 7), note, change)
        yield layer("pooling", L.GlobalAvgPool2d, (1, 4, 1000, 1000), f"a million places {note}".strip(), change)
    yield layer("pooling", L.AvgPool2d, (1, 2, 512, 512), kernel_size=64)
    yield layer("pooling", L.AdaptiveAvgPool2d, (4, 16, 28, 28), output_size=5)
    yield layer("pooling", L.Upsample, (4, 8, 14, 14), scale_factor=2, mode="bilinear")
    yield layer("pooling", L.Upsample, (2, 8, 16, 16), size=37, mode="bilinear")
    yield layer("pooling", L.MaxPool2d, (4, 8, 28, 28), kernel_size=3, stride=1)


def norms() -> Iterator[Hard]:
    for mean in (0.0, 100.0, 1e4):
        def change(x: np.ndarray, mean: float = mean) -> np.ndarray:
            return x + mean

        note = f"mean {mean:g}" if mean else ""
        for shape in ((64, 16, 7, 7), (32, 8, 28, 28), (16, 2, 256, 256)):
            yield layer("batch norm", L.BatchNorm2d, shape, note, change, num_features=shape[1])
        yield layer("batch norm", L.BatchNorm1d, (256, 64), note, change, num_features=64)
        yield layer("batch norm", L.BatchNorm2d, (32, 8, 14, 14), f"{note} channels apart".strip(),
                    lambda x, m=mean: x * np.arange(1, 9.0).reshape(1, 8, 1, 1) ** 2 + m, num_features=8)  # fmt: skip
        yield layer("other norms", L.LayerNorm, (64, 256), note, change, normalized_shape=[256])
        yield layer("other norms", L.GroupNorm, (8, 16, 14, 14), note, change, num_groups=4, num_channels=16)
        yield layer("other norms", L.InstanceNorm2d, (8, 8, 28, 28), note, change, num_features=8, affine=True)
    yield layer("other norms", L.LocalResponseNorm, (4, 32, 14, 14), size=5)
    yield layer("batch norm", L.BatchNorm2d, (32, 8, 14, 14), "spread 1e-4", lambda x: x * 1e-4, num_features=8)


def activations() -> Iterator[Hard]:
    ranges = {
        "": lambda x: x,
        "times 10": lambda x: x * 10.0,
        "times 100": lambda x: x * 100.0,
        "times 1e-4": lambda x: x * 1e-4,
        "denormal": lambda x: x * 1e-39,
    }
    for name in ("Sigmoid", "Tanh", "LeakyReLU", "ELU", "SELU", "GELU", "SiLU", "Mish", "Softplus", "Hardswish"):
        for note, change in ranges.items():
            yield layer("activations", getattr(L, name), (64, 500), note, change)
    for note, change in ranges.items():
        yield layer("activations", L.GELU, (64, 500), note, change, approximate="tanh")


def softmaxes() -> Iterator[Hard]:
    for k in (10, 1000):
        for scale in (1.0, 100.0, 1e4):
            for cls in (L.Softmax, L.LogSoftmax):
                yield layer("softmax", cls, (128, k), f"times {scale:g}", lambda x, s=scale: x * s, dim=1)


def losses() -> Iterator[Hard]:
    for n, k in ((128, 10), (64, 1000), (100_000, 10)):
        target = np.arange(n) * 7 % k
        z = normal((n, k), Key(0, "z")).astype("float32").astype("float64")
        for scale in (1.0, 100.0, 1e4):
            for note, args in (("", {}), ("label_smoothing=0.1", {"label_smoothing": 0.1})):
                case = LossCase(L.SoftmaxCrossEntropy, args, z * scale, target)
                yield Hard("cross-entropy", f"{n} of {k} times {scale:g} {note}".strip(), case)
    for n in (1000, 1_000_000):
        x, t = (normal((n, 1), Key(0, name)).astype("float32").astype("float64") for name in "xt")
        for offset in (0.0, 1e4):
            for cls in (L.MSE, L.L1Loss, L.HuberLoss, L.SmoothL1Loss):
                case = LossCase(cls, {}, x + offset, t + offset)
                yield Hard("regression", f"{cls.__name__} of {n}, mean {offset:g}", case)
        for scale in (1.0, 100.0):
            case = LossCase(L.BCEWithLogitsLoss, {}, x * scale, (t > 0.0) * 1.0)
            yield Hard("binary", f"BCEWithLogitsLoss of {n}, times {scale:g}", case)


def all_cases() -> list[Hard]:
    groups = (convolutions, linears, poolings, norms, activations, softmaxes, losses)
    return [hard for group in groups for hard in group()]
