"""Activations: a number before and after, and how much of the gradient passes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from xpcnn.layers import (
    ELU,
    GELU,
    SELU,
    Hardswish,
    LeakyReLU,
    Mish,
    PReLU,
    ReLU,
    Sigmoid,
    SiLU,
    Softplus,
    Tanh,
)

from .page import Page, peak
from .record import Call
from .registry import backward, forward

SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805

Curve = Callable[[float, Any, float], tuple[float, float]]  # x, layer, its slope at x's channel -> value and slope


def _logistic(x: float) -> float:
    e = math.exp(-abs(x))
    return 1.0 / (1.0 + e) if x >= 0 else e / (1.0 + e)


def _log1pexp(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def _elu(x: float, alpha: float) -> tuple[float, float]:
    return (x, 1.0) if x > 0 else (alpha * math.expm1(x), alpha * math.exp(x))


def _leaky(x: float, slope: float) -> tuple[float, float]:
    return (x, 1.0) if x > 0 else (slope * x, slope)


def _sigmoid(x: float) -> tuple[float, float]:
    s = _logistic(x)
    return s, s * (1.0 - s)


def _tanh(x: float) -> tuple[float, float]:
    t = math.tanh(x)
    return t, 1.0 - t * t


def _selu(x: float) -> tuple[float, float]:
    value, slope = _elu(x, SELU_ALPHA)
    return SELU_SCALE * value, SELU_SCALE * slope


def _gelu(x: float, approximate: str) -> tuple[float, float]:
    if approximate == "none":
        chance, density = 0.5 * math.erfc(-x / math.sqrt(2.0)), math.exp(-x * x / 2.0) / math.sqrt(2.0 * math.pi)
    else:
        root = math.sqrt(2.0 / math.pi)
        chance = _logistic(2.0 * root * (x + 0.044715 * x * x * x))
        density = 2.0 * root * (1.0 + 3 * 0.044715 * x * x) * chance * (1.0 - chance)
    return x * chance, chance + x * density


def _silu(x: float) -> tuple[float, float]:
    s = _logistic(x)
    return x * s, s * (1.0 + x * (1.0 - s))


def _mish(x: float) -> tuple[float, float]:
    t = math.tanh(_log1pexp(x))
    return x * t, t + x * (1.0 - t * t) * _logistic(x)


def _hardswish(x: float) -> tuple[float, float]:
    slope = 0.0 if x < -3 else 1.0 if x > 3 else (2.0 * x + 3.0) / 6.0
    return x * min(max(x + 3.0, 0.0), 6.0) / 6.0, slope


def _softplus(x: float, beta: float, threshold: float) -> tuple[float, float]:
    if beta * x > threshold:
        return x, 1.0
    return _log1pexp(beta * x) / beta, _logistic(beta * x)


# for each class: the value and the slope, and how the value is written
CURVES: dict[type, tuple[Curve, str]] = {
    ReLU: (lambda x, layer, w: _leaky(x, 0.0), "max({bare}, 0)"),
    LeakyReLU: (lambda x, layer, w: _leaky(x, layer.negative_slope), "{x} (1 if {bare} > 0 else {slope})"),
    PReLU: (lambda x, layer, w: _leaky(x, w), "max({bare}, 0) + {w} min({bare}, 0)"),
    Sigmoid: (lambda x, layer, w: _sigmoid(x), "1 / (1 + exp(-{x}))"),
    Tanh: (lambda x, layer, w: _tanh(x), "tanh {x}"),
    ELU: (lambda x, layer, w: _elu(x, layer.alpha), "({bare} if {bare} > 0 else {alpha} (exp({bare}) - 1))"),
    SELU: (lambda x, layer, w: _selu(x), "1.0507 ({bare} if {bare} > 0 else 1.6733 (exp({bare}) - 1))"),
    GELU: (lambda x, layer, w: _gelu(x, layer.approximate), "{x} Phi({bare})"),
    SiLU: (lambda x, layer, w: _silu(x), "{x} / (1 + exp(-{x}))"),
    Mish: (lambda x, layer, w: _mish(x), "{x} tanh(log(1 + exp({bare})))"),
    Hardswish: (lambda x, layer, w: _hardswish(x), "{x} min(max({bare} + 3, 0), 6) / 6"),
    Softplus: (
        lambda x, layer, w: _softplus(x, layer.beta, layer.threshold),
        "log(1 + exp({beta} * {x})) / {beta}",
    ),
}


def _chosen(call: Call, n: int) -> list[tuple[int, ...]]:
    """The largest and the smallest number that came in."""
    return list(dict.fromkeys(peak(call.x, n, by=by) for by in ("largest", "smallest")))


def _weight(call: Call, index: tuple[int, ...]) -> float:
    w = call.params.get("weight")
    return 0.0 if w is None else float(w[index[1] if w.shape[0] > 1 else 0])


@forward(*CURVES)
def activation(page: Page, call: Call) -> None:
    """Two numbers before and after."""
    curve, text = CURVES[type(call.layer)]
    layer: Any = call.layer
    for index in _chosen(call, page.n):
        x, w = float(call.x[index]), _weight(call, index)
        settings = {"slope": getattr(layer, "negative_slope", 0.0), "alpha": getattr(layer, "alpha", 0.0)}
        settings |= {"beta": getattr(layer, "beta", 0.0), "w": w}
        said = text.format(
            x=page.arg(x), bare=page.num(x), **{name: page.num(value) for name, value in settings.items()}
        )
        page.number("y", index, said, curve(x, layer, w)[0], call.y[index])


@backward(*CURVES)
def activation_backward(page: Page, call: Call) -> None:
    """How much of the gradient passes where most of it does, and where x is negative; and one learned slope."""
    curve, _ = CURVES[type(call.layer)]
    chosen = [peak(call.dx, page.n)]
    if (call.x[page.n] < 0).any():
        chosen.append(peak((abs(call.dy) + 1e-300) * (call.x < 0), page.n))
    for index in dict.fromkeys(chosen):
        x, dy = float(call.x[index]), float(call.dy[index])
        slope = curve(x, call.layer, _weight(call, index))[1]
        passed = ": it is stopped" if slope == 0 else ": it passes" if slope == 1 else ""
        text = f"{page.arg(dy)} * {page.arg(slope)}"
        page.number("dx", index, text, dy * slope, call.dx[index], note=f", as x is {page.num(x)}{passed}")
    if "weight" in call.grads:
        dw = call.grads["weight"]
        (c,) = peak(dw)
        one = dw.shape[0] == 1
        dy, x = (a.ravel() if one else a[:, c].ravel() for a in (call.dy, call.x))
        terms = [(g, v) for g, v in zip(dy.tolist(), x.tolist(), strict=True) if v < 0]
        page.total("dw", (c,), terms, dw[c])
