"""
One hypothesis strategy for each layer and loss, which varies every option of its constructor; a file for each family.

Inputs are distinct numbers, spread evenly around zero without it: no two are closer than `Case.gap` and none is closer
to zero than half of that, so that no difference quotient steps over a tie or a kink.

A family has ``LAYERS`` or ``LOSSES``; and where it applies ``LINEAR`` (layers that are linear in x but for a bias),
``USES_BATCH`` (those whose output in training depends on the other samples) and ``EXEMPT`` (options that no strategy
varies).
"""

import inspect
from typing import Any

from . import activations, basic, containers, conv, losses, merge, norm, padding, pool, upsample
from .case import Case as Case
from .case import LossCase as LossCase
from .case import seeds as seeds

FAMILIES = (activations, basic, containers, conv, losses, merge, norm, padding, pool, upsample)


def gather(name: str, empty: Any) -> Any:
    """The union of what the families have under a name."""
    out = empty
    for family in FAMILIES:
        out = out | getattr(family, name, empty)
    return out


LAYERS: dict[type, Any] = gather("LAYERS", {})
LOSSES: dict[type, Any] = gather("LOSSES", {})
LINEAR: set[type] = gather("LINEAR", set())
USES_BATCH: set[type] = gather("USES_BATCH", set())
EXEMPT: dict[type, set[str]] = gather("EXEMPT", {})


def options(cls: type) -> set[str]:
    """Names of a constructor's arguments; ``*layers`` counts as one."""
    return set(inspect.signature(cls).parameters) - EXEMPT.get(cls, set())
