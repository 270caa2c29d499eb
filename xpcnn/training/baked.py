"""What a captured graph follows from beside the numbers in its arrays: settings, and the arrays' places."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from xpcnn.backend import Array, is_array

__all__ = ["arrays_of", "layer_of", "settings"]

_CHANGING = frozenset({"lr", "steps", "state", "step"})


def settings(owner: object) -> list[tuple[str, Any]]:
    """What can be set on something, to be compared: plain values as they are, all else by its number."""
    values = getattr(owner, "__dict__", {}).items()
    return [(name, _plain(v)) for name, v in values if name not in _CHANGING and (name[0] != "_" or _is_plain(v))]


def _is_plain(value: object) -> bool:
    return isinstance(value, (type(None), bool, int, float, str))


def _plain(value: object) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return [(key, _plain(one)) for key, one in value.items()]
    return value if _is_plain(value) else id(value)


def arrays_of(owner: object) -> list[Array]:
    """The arrays that something holds, or what it holds does, such as the weights of a loss."""
    values = list(getattr(owner, "__dict__", {}).values())
    deeper = [one for v in values if not is_array(v) for one in getattr(v, "__dict__", {}).values()]
    return [v for v in (*values, *deeper) if is_array(v)]


def layer_of(trace: TracebackType | None) -> str:
    """Dotted name of the layer in which something was raised; empty outside of all layers."""
    names = []
    while trace is not None:
        frame = trace.tb_frame
        if frame.f_code.co_name in ("_forward_child", "_backward_child"):
            names.append(str(frame.f_locals.get("name", "")))
        trace = trace.tb_next
    return ".".join(names)
