"""Which function explains which class, forward and backward; and what is said of a class that nobody explains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

from .page import Page, named
from .record import Call

__all__ = ["BACKWARD", "FORWARD", "backward", "explain_backward", "explain_forward", "forward"]

Explainer: TypeAlias = Callable[[Page, Call], None]
E = TypeVar("E", bound=Explainer)

FORWARD: dict[type, Explainer] = {}
BACKWARD: dict[type, Explainer] = {}


def forward(*classes: type) -> Callable[[E], E]:
    """This function shows the forward pass of these layers: at least one entry of y, spelled out."""
    return lambda function: _enter(FORWARD, classes, function)


def backward(*classes: type) -> Callable[[E], E]:
    """This function shows the backward pass of these layers."""
    return lambda function: _enter(BACKWARD, classes, function)


def _enter(table: dict[type, Explainer], classes: tuple[type, ...], function: E) -> E:
    table.update(dict.fromkeys(classes, function))
    return function


def explain_forward(page: Page, call: Call) -> None:
    """Shapes, then what is special about the layer, then pictures."""
    page.facts({"x": call.x, **named(call.params), "y": call.y})
    own = FORWARD.get(type(call.layer))
    if own is None:
        for name, a in (_each("x", call.x) | {"y": call.y}).items():
            page.corner(name, a)
    else:
        own(page, call)
    page.maps("y", call.y)


def explain_backward(page: Page, call: Call) -> None:
    """Shapes of all gradients, then what is special about the layer."""
    page.facts({"dy": call.dy, "dx": call.dx, **named(call.grads, "d")})
    missing = [name for name in call.params if name not in call.grads]
    if missing:
        page.line(f"frozen, so without a gradient: {', '.join(missing)}")
    own = BACKWARD.get(type(call.layer))
    if own is None:
        for name, a in (_each("dy", call.dy) | _each("dx", call.dx)).items():
            page.corner(name, a)
        for name, a in call.grads.items():
            page.corner(f"d{name}", a, sample=False)
    else:
        own(page, call)
    page.maps("dx", None if isinstance(call.dx, tuple) else call.dx)


def _each(name: str, value: Any) -> dict[str, Any]:
    if isinstance(value, tuple):
        return {f"{name}_{i}": a for i, a in enumerate(value)}
    return {} if value is None else {name: value}
