"""Putting a model and an optimizer back to exactly what they were."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from xpcnn.backend import array_namespace, device_like, is_array
from xpcnn.models import Model
from xpcnn.optimizers.settings import Configured

__all__ = ["restored", "restored_on_error"]


@contextmanager
def restored(model: Model, *others: Any) -> Iterator[None]:
    """
    Give a model its parameters, buffers and step back at the end, and each optimizer and average all that it holds.

    Parameters
    ----------
    model : Model
    *others : Configured
        Optimizers, with the schedules and optimizers inside of them; `EMA`, `LossScale`; None is nothing.
    """
    put_back = _noted(model, *others)
    try:
        yield
    finally:
        put_back()


@contextmanager
def restored_on_error(model: Model, *others: Any) -> Iterator[None]:
    """As :func:`restored`, where something is raised inside; else what was changed stays."""
    put_back = _noted(model, *others)
    try:
        yield
    except BaseException:
        put_back()
        raise


def _noted(model: Model, *others: Any) -> Callable[[], None]:
    """Copies of everything, and what puts them back."""
    weights, step = model.state_dict(), model.step
    found: dict[int, tuple[Any, dict[str, Any]]] = {}
    for other in others:
        _copied(other, found)

    def put_back() -> None:
        model.load_state_dict(weights)
        model.step = step
        for owner, attributes in found.values():
            vars(owner).clear()
            vars(owner).update(attributes)

    return put_back


def _copied(value: Any, found: dict[int, tuple[Any, dict[str, Any]]]) -> Any:
    """Arrays and containers as copies; what has settings stays itself, and its attributes are noted."""
    if is_array(value):
        with device_like(value).active():
            return array_namespace(value).asarray(value, copy=True)
    if isinstance(value, dict):
        return {key: _copied(one, found) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_copied(one, found) for one in value)
    if isinstance(value, Configured) and id(value) not in found:
        found[id(value)] = (value, {})
        found[id(value)][1].update({name: _copied(one, found) for name, one in vars(value).items()})
    return value
