"""Accelerated kernels and generic bodies, side by side."""

import math
import os
from contextlib import ExitStack, contextmanager
from unittest import mock

import numpy as np

from tests.namespaces import interesting
from xpcnn.backend import Key, normal
from xpcnn.backend.cpu import tiles, windows, winograd


@contextmanager
def cache_of(size: int, worth: int = 0, way: str = "usual"):
    """
    A processor with so small a cache, for which the least work is worth a second thread: many tiles and strips.

    Its convolutions go by Winograd's filtering or by wide windows wherever that can be, if `way` says so, and then a
    tile may be a single image however large the weights are. "windows" only leaves Winograd's filtering out.
    """
    with ExitStack() as stack:
        if way in ("winograd", "wide"):
            stack.enter_context(mock.patch.object(windows.WindowConvolution, "images", 1))
            stack.enter_context(mock.patch.object(winograd.Winograd, "images", 1))
        if way == "winograd":
            stack.enter_context(mock.patch.object(winograd.Winograd, "cost", 0.0))
            stack.enter_context(mock.patch.object(winograd.Winograd, "cost_of_weights", 0.0))
        elif way in ("wide", "windows"):
            stack.enter_context(mock.patch.object(winograd.Winograd, "cost", math.inf))
        if way == "wide":
            stack.enter_context(mock.patch.object(windows, "PIECE", 1e6))
        for module, name in ((tiles, "working_set"), (windows, "level2"), (winograd, "working_set")):
            stack.enter_context(mock.patch.object(module, name, lambda: size))
        stack.enter_context(mock.patch.object(tiles, "SMALL", worth))
        yield


@contextmanager
def generic():
    """Without the accelerated kernels."""
    with mock.patch.dict(os.environ, {"XPCNN_KERNELS": "generic"}):
        yield


def settled(model, seed: int = 0):
    """The model, with random numbers in all parameters and buffers: zeros and ones hide errors."""
    for arrays in (model.params, model.buffers):
        for name, a in arrays.items():
            a[...] = interesting(name, a.shape, seed).astype(a.dtype)
    return model


def shaken(a: np.ndarray, size: float, seed: int) -> np.ndarray:
    """The array with a relative error of about `size` in each number, in the same layout."""
    noise = 1.0 + size * normal(a.shape, Key(seed, "noise"))
    out = np.empty_like(a)
    out[...] = a * noise
    return out


def everything(model, x, dy, *, steps: int = 1, input_grad: bool = True) -> dict[str, np.ndarray]:
    """All that some training steps and an inference give: outputs, gradients and buffers."""
    found = {}
    for step in range(steps):
        y, cache = model.forward(x, train=True)
        dx, grads = model.backward(dy, cache, input_grad=input_grad)
        found |= {f"{step} y": y, **{f"{step} d{name}": g for name, g in grads.items()}}
        if input_grad:
            found[f"{step} dx"] = dx
        else:
            assert dx is None
    found["y"] = model.forward(x)[0]
    return found | {name: np.asarray(a) for name, a in model.buffers.items()}


def assert_agree(build, x, dy, *, ulps: float = 8.0, **options) -> None:
    """
    Demand that accelerated kernels and generic bodies give the same, but for rounding.

    What rounding may do is measured, not assumed: it is what the generic bodies' own results change by when inputs and
    parameters change by some units in the last place. So a sum that cancels may be less accurate, and where the
    runner-up of a maximum is as near as that, or a number as near to the kink of a rectifier, the gradient may go
    either way.
    """
    eps = float(np.finfo(x.dtype).eps)
    fast = everything(build(), x, dy, **options)
    with generic():
        slow = everything(build(), x, dy, **options)
        others = []
        for seed in range(3):
            model = build()
            for a in model.params.values():
                a[...] = shaken(a, 2 * eps, seed)
            others.append(everything(model, shaken(x, 2 * eps, seed), shaken(dy, 2 * eps, seed), **options))
    assert list(fast) == list(slow)
    # below batch norm a bias has the gradient 0, a sum that is as inexact as what it is made of
    gradients = max(np.max(np.abs(a), initial=0.0) for a in [dy, *(a for name, a in slow.items() if " d" in name)])
    for name, a in slow.items():
        b = fast[name]
        assert (b.shape, b.dtype) == (a.shape, a.dtype), name
        scale = gradients if " d" in name else np.max(np.abs(a), initial=0.0)
        allowed = ulps * eps * scale + 8.0 * max(np.max(np.abs(o[name] - a), initial=0.0) for o in others)
        difference = np.max(np.abs(b - a), initial=0.0)
        assert difference <= allowed, f"{name}: differs by {difference:.3g}, allowed {allowed:.3g} of {scale:.3g}"


def assert_same_bits(a: dict, b: dict) -> None:
    assert list(a) == list(b)
    for name in a:
        assert a[name].tobytes() == b[name].tobytes(), name
