"""What the optimizer would do to one parameter."""

from __future__ import annotations

import math
from typing import Any

from xpcnn.optimizers import SGD, Adam, Optimizer

from .page import Page, peak
from .record import host

__all__ = ["explain_update"]


def explain_update(page: Page, optimizer: Optimizer, name: str, before: Any, grad: Any, after: Any, lr: float) -> None:
    """
    One entry of one parameter, before and after.

    Parameters
    ----------
    page : Page
    optimizer : Optimizer
        After its step, for its state.
    name : str
        Of the parameter.
    before, grad, after : arrays on the host
    lr : float
        Learning rate of the step.
    """
    page.facts({name: before, f"d({name})": grad, "the change": after - before})
    index = peak(grad)
    p, g, q = float(before[index]), float(grad[index]), float(after[index])
    at = f"{name}[{', '.join(map(str, index))}]"
    page.line(f"{at} is {page.num(p)}, its gradient {page.num(g)}, the learning rate {page.num(lr)}")
    state = {slot: host(value) for slot, value in optimizer.state.get(name, {}).items()}
    plain = not any(
        getattr(optimizer, setting, None)
        for setting in ("weight_decay", "clip_value", "clip_norm", "nesterov", "amsgrad", "maximize")
    )
    if isinstance(optimizer, SGD) and plain:
        v = float(state["momentum_buffer"][index]) if optimizer.momentum else g
        if optimizer.momentum:
            page.line(
                f"the gradients so far, each counting {page.num(optimizer.momentum)} times as much as the next, "
                f"give v = {page.num(v)}"
            )
        page.number(name, index, f"{page.num(p)} - {page.num(lr)} * {page.arg(v)}", p - lr * v, q)
    elif type(optimizer) is Adam and plain:
        steps, (beta1, beta2) = float(state["step"]), optimizer.betas
        m = float(state["exp_avg"][index]) / (1.0 - beta1**steps)
        v = float(state["exp_avg_sq"][index]) / (1.0 - beta2**steps)
        page.line(
            f"step {page.num(steps)}: running mean of the gradient m = {page.num(m)}, of its square v = {page.num(v)}"
        )
        text = f"{page.num(p)} - {page.num(lr)} * {page.arg(m)} / (sqrt({page.num(v)}) + {page.num(optimizer.eps)})"
        page.number(name, index, text, p - lr * m / (math.sqrt(v) + optimizer.eps), q)
    else:
        for slot, value in state.items():
            where = index if value.ndim == before.ndim else ()
            page.line(f"{slot} is now {page.num(value[where])}")
        page.line(f"{at} becomes {page.num(q)}, a change of {page.num(q - p)}")
