"""Losses that are no numbers: where they come from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from xpcnn.backend import NARROW, Array, Key, array_namespace, is_array, to_numpy
from xpcnn.errors import TrainingDiverged
from xpcnn.models import Container, Model
from xpcnn.models.state import unchanged_on_error

from .samples import Samples

__all__ = ["diverged", "first_nonfinite", "is_finite"]

HINT = "take a smaller learning rate, or clip gradients (clip_norm=1.0)"


def is_finite(a: Array) -> bool:
    """Whether all numbers of an array are; waits for the device."""
    xp = array_namespace(a)
    if str(a.dtype) in NARROW:
        a = xp.astype(a, xp.float32)  # bfloat16 is no dtype of the standard
    return not xp.isdtype(a.dtype, "real floating") or bool(to_numpy(xp.all(xp.isfinite(a))))


def diverged(when: str, value: float, model: Model, batch: Samples, key: Key | None) -> TrainingDiverged:
    """
    The error that says where a loss that is no number comes from.

    Parameters
    ----------
    when : str
        Such as "at step 12".
    value : float
        The loss.
    model : Model
        Not changed; on the CPU as it was before the step, on a GPU perhaps some steps later.
    batch : Samples
    key : Key, optional
        That of the step.
    """
    message, layer = f"training diverged: the loss is {value} {when}", ""
    bad = [name for name, a in batch._asdict().items() if a is not None and not is_finite(a)]
    if bad:
        message += f"; {bad[0]} itself holds NaN or infinity: look for them in the data"
    else:
        layer = first_nonfinite(model, batch.x, key) or ""
        weights = [name for name, p in model.params.items() if not is_finite(p)]
        if layer:
            message += f"; the first layer whose output is not finite is {layer!r}"
        if weights:
            message += f"; weights that are not finite: {', '.join(weights[:3])}{', ...' * (len(weights) > 3)}"
        message += f": {HINT}"
    error = TrainingDiverged(message)
    error.layer = layer
    return error


def first_nonfinite(model: Model, x: Array, key: Key | None = None) -> str | None:
    """
    Path of the first layer that makes NaN or infinity of a batch in training; None where none does.

    The model's buffers and its step stay as they are.
    """
    try:
        with model.home.active(), unchanged_on_error(model), _listening(model):
            model.forward(x, train=True, key=key)
            raise _Found(None)  # so that running statistics go back here, too
    except _Found as found:
        return found.path


class Dropped(Exception):
    """A batch was left out, and nothing was changed; `value` is its loss."""

    def __init__(self, value: Array) -> None:
        super().__init__()
        self.value = value


class _Found(Exception):
    def __init__(self, path: str | None) -> None:
        super().__init__()
        self.path = path


@contextmanager
def _listening(model: Model) -> Iterator[None]:
    """Inside, each layer's output is looked at."""
    tapped: list[Container] = []

    def tap(container: Container, path: str) -> None:
        vars(container)["_forward_child"] = partial(_forward_child, container, path)
        tapped.append(container)
        for name, child in container.children.items():
            if isinstance(child, Container) and "_forward_child" not in vars(child):
                tap(child, f"{path}{name}.")

    try:
        tap(model, "")
        yield
    finally:
        for container in tapped:
            del vars(container)["_forward_child"]


def _forward_child(container: Container, path: str, name: str, *args: Any) -> tuple[Array, Any]:
    y, cache = type(container)._forward_child(container, name, *args)
    if is_array(y) and not is_finite(y):
        raise _Found(path + name)
    return y, cache
