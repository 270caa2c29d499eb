"""Parameter groups: settings, or rules, of their own for some of the parameters."""

import operator
import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, TypeAlias, final

from xpcnn.backend import Array
from xpcnn.errors import ConfigError
from xpcnn.settings import like

from .base import Optimizer, Rule, State, Step
from .checks import check_fit, wrong
from .clipping import checked_limit, clipped
from .schedules import LearningRate
from .settings import Configured

__all__ = ["ParamGroups"]

Patterns: TypeAlias = str | Sequence[str]
Groups: TypeAlias = Mapping[Any, Any] | Iterable[tuple[Patterns, Any]]  # a mapping's keys are invariant


@final
class ParamGroups(Optimizer):
    """
    An optimizer for each group of parameters; which belong to it, names say.

    ::

        ParamGroups({"*.bias": {"weight_decay": 0.0}, "0.*": {"lr": 1e-4}}, rest=AdamW(lr=1e-3))
        ParamGroups({"ndim>=2": Muon(lr=0.02)}, rest=AdamW())

    Every parameter belongs to exactly one group: that of the pattern which its name matches, or the rest. Each group
    takes its own steps, with state by parameter name, as PyTorch's ``param_groups`` do.

    Parameters
    ----------
    groups : dict, or pairs
        From patterns to what is different there. A pattern is a name with ``*``, ``?`` and ``[...]`` as in file names,
        or ``"ndim<2"``, ``"ndim>=2"``, ``"ndim==2"`` for the number of axes (biases and the scales of norms have one);
        several patterns for one group are a tuple. What is different is an optimizer, or a dict of settings: then the
        group's optimizer is the rest's with these settings changed.
    rest : Optimizer, optional
        For all other parameters. None: there must be no others.
    clip_value, clip_norm : float, > 0, optional
        Clip all gradients, with one norm over all groups; see :class:`Rule`. What an optimizer of a group clips by
        itself comes afterwards, and is a matter of that group alone.

    Attributes
    ----------
    optimizers : list of Optimizer
        In the order of `groups`; `rest` comes last.
    lr : float or schedule
        That of `rest`, else of the first group. Setting it sets it for every group.
    state : dict[str, dict[str, Array]]
        That of all groups together.

    Raises
    ------
    ConfigError
        If a group is no optimizer and no settings of `rest`; if one optimizer is to serve two groups. From the first
        update: if a pattern matches nothing, or a parameter matches two groups or none.

    Examples
    --------
    >>> import numpy as np
    >>> from xpcnn.optimizers import SGD
    >>> opt = ParamGroups({"*.bias": {"lr": 0.5}}, rest=SGD(lr=0.1))
    >>> params = {"0.weight": np.zeros(1), "0.bias": np.zeros(1)}
    >>> opt.update(params, {"0.weight": np.ones(1), "0.bias": np.ones(1)})
    >>> params["0.weight"].tolist(), params["0.bias"].tolist()
    ([-0.1], [-0.5])
    """

    def __init__(
        self,
        groups: Groups,
        rest: Optimizer | None = None,
        *,
        clip_value: float | None = None,
        clip_norm: float | None = None,
    ) -> None:
        if rest is not None and not isinstance(rest, Optimizer):
            message = f"ParamGroups: expected rest to be an Optimizer or None, got {rest!r}"
            raise ConfigError(message)
        self.groups = [(_patterns(patterns), _optimizer(patterns, change, rest)) for patterns, change in _pairs(groups)]
        self.rest = rest
        self.clip_value = checked_limit(self, "clip_value", clip_value)
        self.clip_norm = checked_limit(self, "clip_norm", clip_norm)
        self.optimizers = [optimizer for _, optimizer in self.groups] + ([] if rest is None else [rest])
        if not self.optimizers or len({id(optimizer) for optimizer in self.optimizers}) < len(self.optimizers):
            message = "ParamGroups: expected groups, each with an optimizer of its own: make one for each"
            raise ConfigError(message)
        self._group_of: dict[str, int] = {}
        self.steps = 0

    # What the groups have in common.

    @property
    def lr(self) -> LearningRate:
        return self._first().lr

    @lr.setter
    def lr(self, lr: LearningRate) -> None:
        for optimizer in self.optimizers:
            optimizer.lr = lr

    @property
    def steps(self) -> int:
        return self._first().steps

    @steps.setter
    def steps(self, steps: int) -> None:
        for optimizer in self.optimizers:
            optimizer.steps = steps

    @property
    def state(self) -> State:
        return {name: slots for optimizer in self.optimizers for name, slots in optimizer.state.items()}

    @state.setter
    def state(self, state: State) -> None:
        parts: list[State] = [{} for _ in self.optimizers]
        for name, slots in state.items():
            ndim = max((value.ndim for value in slots.values()), default=0)
            parts[self._one(name, ndim)][name] = slots
        for optimizer, part in zip(self.optimizers, parts, strict=True):
            optimizer.state = part

    def parts(self) -> dict[str, Configured]:
        return {str(i): optimizer for i, optimizer in enumerate(self.optimizers)}

    def rules(self) -> list[Rule] | None:
        parts = [optimizer.rules() for optimizer in self.optimizers]
        return None if None in parts else [rule for part in parts for rule in part or ()]

    def current_lr(self) -> float:
        return self._first().current_lr()

    def _first(self) -> Optimizer:
        return self.optimizers[0] if self.rest is None else self.rest

    # The step.

    def prepare(self, params: dict[str, Array], grads: dict[str, Array]) -> Step:
        device = check_fit(self, params, grads)
        known = self._assigned(params)
        parts: list[dict[str, Array]] = [{} for _ in self.optimizers]
        for name, p in params.items():
            parts[known[name]][name] = p
        steps = [
            optimizer.prepare(part, {name: grads[name] for name in part})
            for optimizer, part in zip(self.optimizers, parts, strict=True)
        ]
        self._group_of = known

        def step(grads: dict[str, Array]) -> None:
            if device is not None:
                with device.active():
                    grads = clipped(grads, self.clip_value, self.clip_norm)
            for change, part in zip(steps, parts, strict=True):
                change({name: grads[name] for name in part})

        return step

    def begin(self, params: dict[str, Array]) -> None:
        for optimizer, part in zip(self.optimizers, self._parts(params), strict=True):
            optimizer.begin(part)

    def flush(self, params: dict[str, Array]) -> None:
        for optimizer, part in zip(self.optimizers, self._parts(params), strict=True):
            optimizer.flush(part)

    def _parts(self, params: dict[str, Array]) -> list[dict[str, Array]]:
        """The parameters of each group, as they were assigned, or will be."""
        group = self._assigned(params).get
        return [{name: p for name, p in params.items() if group(name) == i} for i in range(len(self.optimizers))]

    def _assigned(self, params: dict[str, Array]) -> dict[str, int]:
        """Number of the group of each parameter, and of those met before."""
        known = self._group_of
        if all(name in known for name in params):
            return known
        found = {name: self._one(name, p.ndim) for name, p in params.items()}
        if not known:  # later, some may be frozen
            for pattern in (pattern for patterns, _ in self.groups for pattern in patterns):
                if not any(_matches(pattern, name, p.ndim) for name, p in params.items()):
                    there = ", ".join(params) or "none"
                    raise wrong(self, ConfigError, f"{pattern!r} to match a parameter", f"only {there}")
        return {**known, **found}

    def _one(self, name: str, ndim: int) -> int:
        """Number of the one group of a parameter."""
        found = [
            (i, pattern)
            for i, (patterns, _) in enumerate(self.groups)
            for pattern in patterns
            if _matches(pattern, name, ndim)
        ]
        numbers = {i for i, _ in found}
        if len(numbers) > 1:
            both = " and ".join(repr(pattern) for _, pattern in found)
            raise wrong(self, ConfigError, f"one group for {name!r}", f"{both}", "narrow one of the patterns")
        if not numbers and self.rest is None:
            raise wrong(self, ConfigError, f"a group for {name!r}", "no pattern that matches", "pass rest=")
        return numbers.pop() if numbers else len(self.groups)


def _pairs(groups: Any) -> list[tuple[Any, Any]]:
    pairs = groups.items() if isinstance(groups, Mapping) else groups
    pairs = list(pairs) if isinstance(pairs, Iterable) else [pairs]
    if all(isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in pairs):
        return pairs
    message = f"ParamGroups: expected groups as {{pattern: settings or optimizer}}, or pairs of these, got {groups!r}"
    raise ConfigError(message)


def _patterns(patterns: Patterns) -> list[str]:
    several = [patterns] if isinstance(patterns, str) else patterns
    if isinstance(several, (list, tuple)) and several and all(isinstance(pattern, str) for pattern in several):
        return list(several)
    message = f"ParamGroups: expected a pattern such as '*.bias', or a tuple of patterns, got {patterns!r}"
    raise ConfigError(message)


_NDIM = re.compile(r"ndim\s*(<|>=|==)\s*(\d+)")
_COMPARE = {"<": operator.lt, ">=": operator.ge, "==": operator.eq}


def _matches(pattern: str, name: str, ndim: int) -> bool:
    if axes := _NDIM.fullmatch(pattern):
        return bool(_COMPARE[axes[1]](ndim, int(axes[2])))
    return fnmatchcase(name, pattern)


def _optimizer(patterns: Patterns, change: Any, rest: Optimizer | None) -> Optimizer:
    if isinstance(change, Optimizer):
        return change
    if not isinstance(change, Mapping) or not isinstance(rest, Rule):
        message = f"ParamGroups: expected an optimizer for {patterns!r}, or settings that differ from the rest's, "
        raise ConfigError(message + f"got {change!r} and rest={rest!r}")
    settings = rest.arguments()
    if unknown := [name for name in change if name not in settings]:
        message = f"ParamGroups: expected settings of {type(rest).__name__} for {patterns!r}, got {unknown[0]!r}"
        raise ConfigError(message + like(unknown[0], settings))
    return type(rest)(**{**settings, **change})
