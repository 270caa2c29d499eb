"""What the bits of a run follow from: collected, to be compared with what another run follows from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from xpcnn.errors import ConfigError
from xpcnn.models.registry import describe
from xpcnn.optimizers.settings import Configured

from .fingerprint import said

if TYPE_CHECKING:
    from .callbacks import Callback
    from .run import Run
    from .trainer import Trainer

__all__ = ["BATCHES", "FACTS", "collected", "differences", "kind", "settings", "stateful"]

FACTS = (
    "model", "dtype", "seed", "frozen", "loss", "penalty", "optimizer", "loss_scale", "data", "validation_data",
    "batch_size", "shuffle", "augment", "metrics", "callbacks",
)  # fmt: skip
BATCHES = "seed", "data", "batch_size", "shuffle", "metrics"  # what an epoch that has begun cannot change


def collected(trainer: Trainer, run: Run | None) -> dict[str, Any]:
    """
    The facts, as JSON; some of a trainer alone.

    Raises
    ------
    CheckpointError
        If the model holds layers that are not registered.
    """
    model = trainer.model
    found: dict[str, Any] = {
        "model": describe(model),
        "dtype": model.dtype,
        "seed": str(model.seed),
        "loss": said(trainer.loss),
        "penalty": said(trainer.penalty),
        "optimizer": trainer.settings,
        "loss_scale": None if trainer.loss_scale is None else settings(trainer.loss_scale),
    }
    if run is not None:
        plan = run.plan
        found.update(
            frozen=run.frozen,
            data=run.fingerprints[0],
            validation_data=run.fingerprints[1],
            batch_size=plan.batch_size,
            shuffle=plan.shuffle,
            augment=said(plan.augment),
            metrics=list(plan.metrics),
            callbacks=[type(one).__name__ for one in stateful(run) if not getattr(one, "only_looks", False)],
        )
    return json.loads(json.dumps(found, default=said))  # as they come out of a file


def settings(optimizer: Configured) -> Any:
    """The settings of an optimizer; its class alone where one of them is a function."""
    try:
        return optimizer.config()
    except ConfigError:
        return {"name": type(optimizer).__name__}


def kind(config: Any) -> Any:
    """What settings say of the state that an optimizer has: classes and switches, no rates and no other numbers."""
    if isinstance(config, dict):
        return {name: kind(value) for name, value in config.items() if name != "lr"}
    if isinstance(config, (list, tuple)):
        return [kind(value) for value in config]
    return bool(config) if isinstance(config, (int, float)) else config


def stateful(run: Run) -> list[Callback]:
    """The callbacks of classes that say what state they have."""
    return [one for one in run.call.callbacks if _own(one, "state_dict") and _own(one, "load_state_dict")]


def _own(callback: Any, method: str) -> bool:
    from .callbacks import Callback

    return getattr(type(callback), method, getattr(Callback, method)) is not getattr(Callback, method)


def differences(path: str, there: Any, here: Any) -> Iterator[str]:
    """Where two trees of JSON differ, a line each."""
    if isinstance(there, dict) and isinstance(here, dict):
        for name in dict.fromkeys([*there, *here]):
            yield from differences(f"{path}.{name}", there.get(name), here.get(name))
    elif isinstance(there, list) and isinstance(here, list) and len(there) == len(here):
        for i, (one, other) in enumerate(zip(there, here, strict=True)):
            yield from differences(f"{path}[{i}]", one, other)
    elif there != here:
        one, other = repr(there), repr(here)
        first = next((i for i, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), 0)
        yield f"{path}: {_around(one, first)} in the checkpoint, {_around(other, first)} here"


def _around(text: str, place: int) -> str:
    """A text, or what stands around a place in it."""
    if len(text) < 80:
        return text
    start = max(0, place - 30)
    return f"{'...' if start else ''}{text[start : place + 40]}{'...' if place + 40 < len(text) else ''}"
