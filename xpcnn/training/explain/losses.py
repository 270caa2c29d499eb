"""Losses: from scores to one number, and its gradient at one score."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from xpcnn.layers import (
    MSE,
    BCEWithLogitsLoss,
    FocalLoss,
    HuberLoss,
    L1Loss,
    Loss,
    NLLLoss,
    SigmoidFocalLoss,
    SmoothL1Loss,
    SoftmaxCrossEntropy,
)

from .page import Page, peak

__all__ = ["LossCall", "explain_loss"]


@dataclass
class LossCall:
    """One use of a loss, on the host."""

    loss: Loss
    x: Any
    target: Any
    value: float
    dx: Any


def explain_loss(page: Page, call: LossCall) -> None:
    """Shapes, value and one entry of the gradient."""
    page.facts({"x (scores)": call.x, "t (target)": call.target, "dx": call.dx})
    own = _EXPLAINERS.get(type(call.loss))
    if own is None:
        page.line(f"L = {page.num(call.value)}")
        for name, a in (("x", call.x), ("t", call.target), ("dx", call.dx)):
            page.corner(name, a)
    else:
        own(page, call)


def _value(page: Page, call: LossCall, each: list[float], divide: float, unit: str) -> None:
    """The reduction: a sum or a mean over samples or entries."""
    page.line(f"L is the {call.loss.reduction} over {len(each)} {unit}{'s' * (len(each) != 1)}")
    page.total("L", (), [(None, v) for v in each], call.value, divide=divide)


# Classes.


def _log_softmax(scores: list[float]) -> list[float]:
    top = max(scores)
    log_sum = math.log(math.fsum(math.exp(z - top) for z in scores))
    return [z - top - log_sum for z in scores]


def _targets(call: LossCall) -> tuple[list[list[float]], list[float]]:
    """Rows of probabilities, smoothed, zero where a label is ignored; and what each sample counts in the mean."""
    loss: Any = call.loss
    n, k = call.x.shape
    weight = getattr(loss, "weight", None) or [1.0] * k
    if call.target.ndim == 2:
        rows, counts = call.target.tolist(), [1.0] * n
    else:
        labels = [None if t == loss.ignore_index else int(t) for t in call.target.tolist()]
        rows = [[float(j == t) for j in range(k)] for t in labels]
        counts = [0.0 if t is None else weight[t] for t in labels]
    e = getattr(loss, "label_smoothing", 0.0)
    return [[(1.0 - e) * q + e / k * (c > 0 or any(r)) for q in r] for r, c in zip(rows, counts, strict=True)], counts


def _cross_entropy(page: Page, call: LossCall) -> None:
    loss: Any = call.loss
    rows, counts = _targets(call)
    logp = [_log_softmax(z) for z in call.x.tolist()]
    weight = loss.weight or [1.0] * call.x.shape[1]
    each = [
        -math.fsum(v * q * p for v, q, p in zip(weight, *pair, strict=True)) for pair in zip(rows, logp, strict=True)
    ]
    divide = math.fsum(counts) if loss.reduction == "mean" else 1.0
    n, k = peak(call.dx, page.n)
    p, q = [math.exp(v) for v in logp[n]], rows[n]
    page.grids(("x, the scores", [call.x[n].tolist()]), ("p = exp(x) / sum exp(x)", [p], (0, k)))
    page.grids(("q, the target", [q]), ("dx", [call.dx[n].tolist()], (0, k)))
    label = max(range(len(q)), key=q.__getitem__)
    page.line(
        f"class {label} is right and has the probability {page.num(p[label])}; -log p = {page.num(-logp[n][label])}"
    )
    _value(page, call, each, divide, "sample")
    total = math.fsum(v * r for v, r in zip(weight, q, strict=True))
    said = (p[k] * total - weight[k] * q[k]) / divide if divide else 0.0
    plain = total == 1 and weight[k] == 1
    letters = "p - q" if plain else "p sum(v q) - v q"
    numbers = f"{page.num(p[k])} - {page.arg(q[k])}"
    if not plain:
        numbers = f"{page.num(p[k])} * {page.arg(total)} - {page.arg(weight[k])} * {page.arg(q[k])}"
    if divide != 1:
        letters, numbers = f"({letters}) / D", f"({numbers}) / {page.num(divide)}"
    page.number("dx", (n, k), f"{letters} = {numbers}", said, call.dx[n, k])


def _nll(page: Page, call: LossCall) -> None:
    loss: Any = call.loss
    rows, counts = _targets(call)
    weight = loss.weight or [1.0] * call.x.shape[1]
    each = [
        -math.fsum(v * q * p for v, q, p in zip(weight, *pair, strict=True))
        for pair in zip(rows, call.x.tolist(), strict=True)
    ]
    divide = math.fsum(counts) if loss.reduction == "mean" else 1.0
    n, k = peak(call.dx, page.n)
    page.grids(("x = log p", [call.x[n].tolist()], (0, k)), ("q, the target", [rows[n]]))
    _value(page, call, each, divide, "sample")
    said = -weight[k] * rows[n][k] / divide if divide else 0.0
    text = f"-v q / D = -{page.num(weight[k])} * {page.num(rows[n][k])} / {page.num(divide)}"
    page.number("dx", (n, k), text, said, call.dx[n, k])


def _focal(page: Page, call: LossCall) -> None:
    loss: Any = call.loss
    rows, counts = _targets(call)
    alpha = loss.alpha or [1.0] * call.x.shape[1]
    counted = float(sum(c > 0 for c in counts))
    divide = counted if loss.reduction == "mean" else 1.0
    each, slopes, chances = [], [], []
    for z, q, c in zip(call.x.tolist(), rows, counts, strict=True):
        logp = _log_softmax(z)
        p = [math.exp(v) for v in logp]
        t = max(range(len(q)), key=q.__getitem__)
        u = math.fsum(v for k, v in enumerate(p) if k != t)
        each.append(alpha[t] * u**loss.gamma * -logp[t] if c else 0.0)
        slope = u**loss.gamma + (loss.gamma * u ** (loss.gamma - 1.0) * p[t] * -logp[t] if u and loss.gamma else 0.0)
        slopes.append(alpha[t] * slope if c else 0.0)
        chances.append(p)
    n, k = peak(call.dx, page.n)
    page.grids(("x, the scores", [call.x[n].tolist()]), ("p", [chances[n]], (0, k)))
    _value(page, call, each, divide, "sample")
    said = slopes[n] * (chances[n][k] - rows[n][k]) / divide if divide else 0.0
    text = (
        f"(dFL/dc) (p - q) / D = {page.num(slopes[n])} * ({page.num(chances[n][k])} - {page.num(rows[n][k])}) "
        f"/ {page.num(divide)}"
    )
    page.number("dx", (n, k), text, said, call.dx[n, k])


# One value for each entry.


def _square(e: float, loss: Any) -> tuple[float, float]:
    return e * e, 2.0 * e


def _absolute(e: float, loss: Any) -> tuple[float, float]:
    return abs(e), float((e > 0) - (e < 0))


def _huber(e: float, loss: Any) -> tuple[float, float]:
    m = min(abs(e), loss.delta)
    return m * (abs(e) - m / 2.0), math.copysign(m, e)


def _smooth(e: float, loss: Any) -> tuple[float, float]:
    if not loss.beta:
        return _absolute(e, loss)
    m = min(abs(e) / loss.beta, 1.0)
    return m * (abs(e) - loss.beta * m / 2.0), math.copysign(m, e)


def _error(curve: Callable[[float, Any], tuple[float, float]]) -> Callable[[Page, LossCall], None]:
    """The explainer of a loss that is a curve of the error."""

    def explain(page: Page, call: LossCall) -> None:
        errors = (call.x - call.target).ravel().tolist()
        divide = float(len(errors)) if call.loss.reduction == "mean" else 1.0
        index = peak(call.dx, page.n)
        e = float(call.x[index] - call.target[index])
        page.line(
            f"at {list(index)} the error is e = x - t = {page.num(call.x[index])} - {page.arg(call.target[index])} "
            f"= {page.num(e)}"
        )
        page.line(f"its value is f(e) = {page.num(curve(e, call.loss)[0])}")
        _value(page, call, [curve(error, call.loss)[0] for error in errors], divide, "entry")
        slope = curve(e, call.loss)[1]
        page.number("dx", index, f"f'(e) / D = {page.num(slope)} / {page.num(divide)}", slope / divide, call.dx[index])

    return explain


def _softplus(z: float) -> float:
    return max(z, 0.0) + math.log1p(math.exp(-abs(z)))


def _binary(page: Page, call: LossCall) -> None:
    loss: Any = call.loss
    flat = call.x.astype(bool) * 0.0
    divide = float(call.x.size) if loss.reduction == "mean" else 1.0
    if isinstance(loss, BCEWithLogitsLoss):
        weight, yes = (flat + (1.0 if w is None else w) for w in (loss.weight, loss.pos_weight))

        def curve(z: float, t: float, v: float, u: float) -> tuple[float, float]:
            no, sure = _softplus(z), _softplus(-z)
            return v * (u * t * sure + (1.0 - t) * no), v * ((1.0 - t) * math.exp(-sure) - u * t * math.exp(-no))
    else:
        weight = yes = flat

        def curve(z: float, t: float, v: float, u: float) -> tuple[float, float]:
            sign, a = (-1.0, 1.0) if t > 0.5 else (1.0, 1.0)
            if loss.alpha is not None:
                a = loss.alpha if t > 0.5 else 1.0 - loss.alpha
            c, u = _softplus(sign * z), math.exp(-_softplus(-sign * z))
            power = a * u**loss.gamma
            return power * c, sign * power * (u + loss.gamma * math.exp(-c) * c)

    rows = zip(*(a.ravel().tolist() for a in (call.x, call.target, weight, yes)), strict=True)
    index = peak(call.dx, page.n)
    value, slope = curve(*(float(a[index]) for a in (call.x, call.target, weight, yes)))
    z, t = float(call.x[index]), float(call.target[index])
    chance = math.exp(-_softplus(-z))
    page.line(
        f"at {list(index)} the score {page.num(z)} means yes with s(x) = {page.num(chance)}; "
        f"the target is {page.num(t)}"
    )
    page.line(f"its value is {page.num(value)}")
    _value(page, call, [curve(*row)[0] for row in rows], divide, "entry")
    page.number("dx", index, f"dl/dx / D = {page.num(slope)} / {page.num(divide)}", slope / divide, call.dx[index])


_EXPLAINERS: dict[type, Callable[[Page, LossCall], None]] = {
    SoftmaxCrossEntropy: _cross_entropy,
    NLLLoss: _nll,
    FocalLoss: _focal,
    MSE: _error(_square),
    L1Loss: _error(_absolute),
    HuberLoss: _error(_huber),
    SmoothL1Loss: _error(_smooth),
    BCEWithLogitsLoss: _binary,
    SigmoidFocalLoss: _binary,
}
