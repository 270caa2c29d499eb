"""Gradient accumulation: a large batch in small pieces."""

from functools import partial
from typing import final

from xpcnn.backend import Array, array_namespace, device_like
from xpcnn.errors import ConfigError, ShapeError
from xpcnn.settings import count

from .base import Optimizer, State, Step
from .checks import dtype_name, wrong
from .schedules import LearningRate
from .settings import Configured, Counts, below

__all__ = ["Accumulate"]


@final
class Accumulate(Optimizer):
    """
    An optimizer that takes one step for each `every` calls of `update`, by the gradients of all of them.

    With losses that are means, as they are by default, the mean over equal batches is the gradient of one batch that
    holds them all: the memory of a small batch, the steps of a large one. That is exact as long as no layer looks at
    the batch as a whole; batch norm still normalizes by the small ones.

    It stands wherever an optimizer does: ``Trainer(model, loss, Accumulate(SGD(lr=0.1), every=4))``. Clipping is that
    of the optimizer inside, of the gradients together. At the end of each epoch ``fit`` calls :meth:`flush`, which
    takes the step of the gradients that are left, fewer than `every`; by hand they wait for the next ones until you do.

    Parameters
    ----------
    optimizer : Optimizer
    every : int, >= 1
    reduction : {"mean", "sum"}
        "sum" is for losses that are sums.

    Attributes
    ----------
    waiting : int
        Batches whose gradients wait for their step.
    lr, state, steps
        Those of the optimizer inside: `steps` counts its steps, and so do its schedules.

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> import numpy as np
    >>> from xpcnn.optimizers import SGD
    >>> params, opt = {"w": np.zeros(1)}, Accumulate(SGD(lr=1.0), every=2)
    >>> for g in (1.0, 3.0, 5.0):
    ...     opt.update(params, {"w": np.full(1, g)})
    >>> params["w"].tolist(), opt.waiting
    ([-2.0], 1)
    """

    def __init__(self, optimizer: Optimizer, every: int, reduction: str = "mean") -> None:
        if not isinstance(optimizer, Optimizer):
            hint = "give an object, such as SGD(lr=0.1)"
            message = f"Accumulate: expected optimizer to be an Optimizer, got {optimizer!r}: {hint}"
            raise ConfigError(message)
        if reduction not in ("mean", "sum"):
            message = f"Accumulate: expected reduction to be 'mean' or 'sum', got {reduction!r}"
            raise ConfigError(message)
        self.optimizer = optimizer
        self.every = count(self, "every", every)
        self.reduction = reduction
        self.waiting = 0
        self._sums: dict[str, Array] = {}

    @property
    def lr(self) -> LearningRate:
        return self.optimizer.lr

    @lr.setter
    def lr(self, lr: LearningRate) -> None:
        self.optimizer.lr = lr

    @property
    def steps(self) -> int:
        return self.optimizer.steps

    @steps.setter
    def steps(self, steps: int) -> None:
        self.optimizer.steps = steps

    @property
    def state(self) -> State:
        return self.optimizer.state

    @state.setter
    def state(self, state: State) -> None:
        self.optimizer.state = state

    def parts(self) -> dict[str, Configured]:
        return {"optimizer": self.optimizer}

    def slots(self) -> dict[str, Array]:
        return {**{f"sums/{name}": a for name, a in self._sums.items()}, **super().slots()}

    def counts(self) -> Counts:
        return {"waiting": self.waiting, **super().counts()}

    def take(self, slots: dict[str, Array], counts: Counts) -> None:
        waiting = count(self, "waiting", counts["waiting"], 0, self.every - 1)
        super().take(slots, counts)
        self.waiting, self._sums = waiting, below("sums", slots)

    def current_lr(self) -> float:
        return self.optimizer.current_lr()

    def prepare(self, params: dict[str, Array], grads: dict[str, Array]) -> Step:
        step = self.optimizer.prepare(params, grads)
        if self.waiting:
            for name, p in params.items():
                shape = tuple(self._sums[name].shape) if name in self._sums else tuple(p.shape)
                if tuple(p.shape) != shape:
                    expected = f"parameter {name!r} of shape {shape} as the gradients that wait have"
                    raise wrong(
                        self, ShapeError, expected, tuple(p.shape), "flush them with the parameters they are of"
                    )
        return partial(self._add, step)

    def begin(self, params: dict[str, Array]) -> None:
        self.optimizer.begin(params)

    def flush(self, params: dict[str, Array]) -> None:
        """
        Take the step of the gradients that wait, by the mean of those that there are; nothing where none do.

        Parameters
        ----------
        params : dict[str, Array]
            As for :meth:`update`.
        """
        if self.waiting:
            there = {name: p for name, p in params.items() if name in self._sums}
            sums = {name: _like(p, self._sums[name]) for name, p in there.items()}
            self._step(self.optimizer.prepare(there, sums), sums)
        self.optimizer.flush(params)

    def _add(self, step: Step, grads: dict[str, Array]) -> None:
        sums = {}
        for name, g in grads.items():
            kept = self._sums.get(name)
            with device_like(g).active():
                if kept is None or kept.shape != g.shape:
                    sums[name] = array_namespace(g).asarray(g, copy=True)
                    continue
                kept = sums[name] = _like(g, kept)
                if self.waiting:
                    kept += g
                else:
                    kept[...] = g
        # what is not there at the beginning is forgotten: it was frozen since
        self._sums = {**self._sums, **sums} if self.waiting else sums
        self.waiting += 1
        if self.waiting == self.every:
            self._step(step, {name: self._sums[name] for name in grads})

    def _step(self, step: Step, sums: dict[str, Array]) -> None:
        scale = 1.0 / self.waiting if self.reduction == "mean" else 1.0
        step({name: scale * g for name, g in sums.items()})
        self.waiting = 0


def _like(p: Array, x: Array) -> Array:
    """`x` where `p` lives and in its dtype; the same array where it is there."""
    return device_like(p).asarray(x, dtype_name(p))
