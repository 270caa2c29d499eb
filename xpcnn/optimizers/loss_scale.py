"""Loss scaling, so that small gradients survive in float16; nothing in it waits for the device."""

import functools
from contextlib import ExitStack
from typing import Any, final

from xpcnn.backend import (
    Array,
    accelerated,
    array_namespace,
    device_like,
    kernel,
    library,
    overflow_allowed,
    undone_unless,
)
from xpcnn.errors import ConfigError
from xpcnn.settings import count, number

from .base import Optimizer, Step
from .settings import Configured, Counts

__all__ = ["LossScale", "step_if"]


@final
class LossScale(Configured):
    r"""
    A factor for the loss that is as large as float16 allows, and steps that are left out where it was too large.

    Gradients below 3e-8 are zero in float16, and many are. So the gradient at the output is multiplied by a scale, and
    those of the parameters, in float32, are divided by it. Where one of them is infinite or NaN the step does not
    happen, and the scale falls; after a number of good steps in a row it grows:

    .. math:: s \leftarrow \begin{cases} backoff \cdot s & \text{a gradient is not finite} \\
              growth \cdot s & \text{the last of } interval \text{ good steps in a row} \\ s & \text{else} \end{cases}

    ``Trainer`` and ``fit`` use one for models of ``dtype="float16"``. By hand::

        value, dlogits = loss(logits, y)
        _, grads = model.backward(scale.scaled(dlogits), cache)
        scale.update(optimizer, model.trainable, scale.unscaled(grads))

    Parameters
    ----------
    init_scale : float, > 0
    growth_factor : float, > 1
    backoff_factor : float, > 0 to below 1
    growth_interval : int, >= 1
        Good steps in a row after which the scale grows.

    Attributes
    ----------
    scale : 0-d array of float32, on the device of the gradients; None before the first call
    good : 0-d array of int32
        Good steps since the scale changed.

    Raises
    ------
    ConfigError

    Notes
    -----
    Micikevicius et al., "Mixed precision training", ICLR 2018, section 3.2, with the dynamic scale and the defaults of
    ``torch.amp.GradScaler``; as there, the scale does not grow beyond what float32 holds.

    Scale, count and the decision to leave a step out are arrays on the device, so that no step waits for it and a
    captured one can be replayed. A step is always computed; one that is to be left out is undone, in parameters and in
    all :meth:`~Optimizer.slots` of the optimizer, by a selection. Where a GPU's kernel changes all parameters at once,
    that kernel looks first, and writes nothing. What Python counts goes on: the optimizer's `steps`, by which schedules
    go, and an `Accumulate`'s batches (a batch left out counts as zeros). PyTorch's schedules count such steps, too. A
    slot that the first update makes of its gradient, as SGD's momentum, begins with zeros where that update is left
    out.

    Examples
    --------
    >>> import numpy as np
    >>> from xpcnn.optimizers import SGD
    >>> params, scale = {"w": np.ones(1, dtype="float32")}, LossScale()
    >>> for g in (np.inf, 3.0):
    ...     grads = {"w": scale.scaled(np.full(1, g, dtype="float32"))}
    ...     scale.update(SGD(lr=0.125), params, scale.unscaled(grads))
    ...     print(params["w"].tolist(), float(scale.scale))
    [1.0] 32768.0
    [0.625] 32768.0
    """

    def __init__(
        self,
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
    ) -> None:
        self.init_scale = number(self, "init_scale", init_scale, above=0)
        self.growth_factor = number(self, "growth_factor", growth_factor, above=1)
        self.backoff_factor = number(self, "backoff_factor", backoff_factor, above=0, below=1)
        self.growth_interval = count(self, "growth_interval", growth_interval)
        self.scale: Array | None = None
        self.good: Array | None = None

    def scaled(self, dy: Array) -> Array:
        """
        The gradient at the output times the scale.

        Parameters
        ----------
        dy : array
            In float32; the scale follows it to its device.
        """
        return dy * self._scale(dy)

    def unscaled(self, grads: dict[str, Array]) -> dict[str, Array]:
        """
        Gradients divided by the scale, as new arrays.

        Parameters
        ----------
        grads : dict of arrays
            Of parameters, in float32.
        """
        if not grads:
            return {}
        first = next(iter(grads.values()))
        scale = self._scale(first)
        with device_like(first).active(), overflow_allowed():
            if (fast := accelerated("unscaled", first, grads, scale)) is not None:
                return fast
            factor = 1.0 / scale
            return {name: array_namespace(g).asarray(g * factor) for name, g in grads.items()}

    def update(self, optimizer: Optimizer, params: dict[str, Array], grads: dict[str, Array]) -> None:
        """
        A step of an optimizer, if all gradients are finite; and the scale of the next one.

        Parameters
        ----------
        optimizer : Optimizer
        params, grads : dict of arrays
            As for its own ``update``; gradients without the scale.

        Raises
        ------
        ConfigError
            If it is no optimizer.
        StateDictError, NamespaceError, DeviceMismatchError, DtypeError, ShapeError
            As its ``update``; nothing is changed then.
        """
        if not isinstance(optimizer, Optimizer):
            message = f"LossScale.update: expected an Optimizer, such as SGD(lr=0.1), got {optimizer!r}"
            raise ConfigError(message)
        step = optimizer.prepare(params, grads)
        if not params:
            step(grads)
            return
        first = next(iter(params.values()))
        with device_like(first).active(), overflow_allowed():
            finite = _all_finite(grads)
            step_if(finite, step, optimizer, params, grads)
            self._adapt(first, finite)

    def slots(self) -> dict[str, Array]:
        return {name: a for name, a in (("scale", self.scale), ("good", self.good)) if a is not None}

    def take(self, slots: dict[str, Array], counts: Counts) -> None:
        both = slots.keys() >= {"scale", "good"}
        self.scale, self.good = (slots["scale"], slots["good"]) if both else (None, None)

    def _scale(self, like: Array) -> Array:
        """The scale beside an array."""
        xp, device = array_namespace(like), device_like(like)
        with device.active():
            if self.scale is None or self.good is None:
                self.scale = xp.asarray(self.init_scale, dtype=xp.float32, device=device.native)
                self.good = xp.asarray(0, dtype=xp.int32, device=device.native)
            elif not device.owns(self.scale):
                self.scale, self.good = device.asarray(self.scale), device.asarray(self.good)
            return xp.astype(self.scale, like.dtype, copy=False)

    def _adapt(self, like: Array, finite: Array) -> None:
        """The scale and the count after a step, in place."""
        xp, scale = array_namespace(like), self._scale(like)
        good: Any = self.good
        settings = self.growth_factor, self.backoff_factor, self.growth_interval
        if accelerated("adapted", self.scale, good, finite, *settings, like.dtype):
            return
        grown = scale * self.growth_factor
        counted = good + 1
        due = counted == self.growth_interval
        kept = xp.where(xp.logical_and(due, xp.isfinite(grown)), grown, scale)
        good[...] = xp.where(xp.logical_and(finite, xp.logical_not(due)), counted, xp.zeros_like(counted))
        scale = xp.where(finite, kept, scale * self.backoff_factor)
        self.scale[...] = xp.astype(scale, xp.float32)  # type: ignore[index]


def step_if(go: Array, step: Step, optimizer: Optimizer, params: dict[str, Array], grads: dict[str, Array]) -> None:
    """
    A step that changes no array unless `go` is true, at which nobody on the host looks.

    Parameters
    ----------
    go : array of one bool
    step : callable
        What `prepare` of the optimizer gave for these parameters, of which there are some.
    """
    rules = optimizer.rules() or []
    if rules and kernel("adapted", library(go)) and all(rule.together for rule in rules):
        with ExitStack() as stack:
            for rule in rules:
                stack.enter_context(rule.only_if(go))
            step(grads)
        return
    optimizer.begin(params)
    own = {f"params/{name}": p for name, p in params.items()}
    with undone_unless(go, lambda: {**own, **optimizer.slots()}):
        step(grads)


def _all_finite(arrays: dict[str, Array]) -> Array:
    """0-d array of one bool."""
    first = next(iter(arrays.values()))
    if (fast := accelerated("all_finite", first, arrays)) is not None:
        return fast
    xp = array_namespace(first)
    # not by stacking: CuPy's stack copies addresses from the host, which a capture refuses
    return xp.asarray(functools.reduce(xp.logical_and, (xp.all(xp.isfinite(a)) for a in arrays.values())))
