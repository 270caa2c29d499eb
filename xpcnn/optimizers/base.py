"""What all optimizers share: checks before anything is changed, clipping, weight decay and state by parameter name."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, ClassVar, TypeAlias

from xpcnn.backend import Array, Device, array_namespace, device_like, device_of, kernel, library
from xpcnn.errors import ConfigError, ShapeError
from xpcnn.settings import count, flag, number

from .checks import check_fit, dtype_name, wrong
from .clipping import checked_limit, clipped
from .schedules import LearningRate, Schedule, checked_lr
from .settings import Configured, Counts, below

__all__ = ["Optimizer", "Rule", "State", "Step", "bias_correction", "checked_betas", "step_slot", "with_own_rate"]

State: TypeAlias = dict[str, dict[str, Array]]
Step: TypeAlias = Callable[[dict[str, Array]], None]


class Optimizer(Configured, ABC):
    """
    Something that changes parameters by their gradients: a :class:`Rule`, or what is put together from rules.

    What it keeps is in :attr:`state` and :attr:`steps`; who keeps arrays elsewhere adds them to :meth:`slots`, by which
    steps are undone and files are written.

    Attributes
    ----------
    lr : float or schedule
        Learning rate; may be set at any time.
    state : dict[str, dict[str, Array]]
        State by parameter name and slot, such as ``opt.state["0.weight"]["exp_avg"]``; slots are named as in PyTorch's
        state dicts. It stays until the optimizer goes, whatever the number of epochs.
    steps : int
        Number of updates done, which is what schedules count.
    """

    lr: LearningRate
    state: State
    steps: int

    def update(self, params: dict[str, Array], grads: dict[str, Array]) -> None:
        """
        One step: change every parameter in place by its gradient.

        Everything is checked before anything is changed, and nothing waits for the device. State that was left behind
        on another device or in another dtype, as after ``model.to("cuda")``, moves to its parameter.

        Parameters
        ----------
        params : dict[str, Array]
            float32 or float64, all on one device; changed in place.
        grads : dict[str, Array]
            Same names, shapes, dtypes and device; not modified.

        Raises
        ------
        StateDictError
            If the names differ; lists all of them.
        NamespaceError, DeviceMismatchError, DtypeError, ShapeError
            If a gradient does not fit its parameter, or the kept state does not.
        ConfigError
            If a parameter is read-only, or the schedule returns no learning rate.
        """
        self.prepare(params, grads)(grads)

    @abstractmethod
    def prepare(self, params: dict[str, Array], grads: dict[str, Array]) -> Step:
        """
        Check everything and change nothing.

        It is `update`'s first half, by itself because optimizers that hold others must check all of them first.

        Parameters
        ----------
        params, grads : dict[str, Array]
            See :meth:`update`, also for what is raised.

        Returns
        -------
        step : callable
            Makes the step, given the gradients or others of the same shapes (clipped, averaged).
        """

    def begin(self, params: dict[str, Array]) -> None:
        """
        Make the state that parameters have before their first update, where they have none; after `prepare`.

        Parameters
        ----------
        params : dict[str, Array]
            As for :meth:`update`.
        """

    def flush(self, params: dict[str, Array]) -> None:
        """
        Take the step of gradients that wait for others, where there are any: of an `Accumulate`, also inside of this.

        Parameters
        ----------
        params : dict[str, Array]
            As for :meth:`update`.
        """

    def rules(self) -> "list[Rule] | None":
        """The rules in it, where each takes one step at every update; else None, which is what this one says."""
        return None

    @abstractmethod
    def current_lr(self) -> float:
        """
        Learning rate of the next update.

        Examples
        --------
        >>> from xpcnn.optimizers import SGD, StepLR
        >>> SGD(lr=StepLR(0.5, step_size=10)).current_lr()
        0.5
        """


def with_own_rate(optimizer: Optimizer, path: str = "") -> Iterator[tuple[str, Optimizer]]:
    """
    The optimizers that have a learning rate of their own, and where they are, as paths in :meth:`Optimizer.slots`.

    Those that hold others, as `ParamGroups` does, only pass rates on.

    Examples
    --------
    >>> from xpcnn.optimizers import SGD, Accumulate
    >>> [(path, one.lr) for path, one in with_own_rate(Accumulate(SGD(lr=0.5), every=2))]
    [('optimizer', 0.5)]
    """
    inside = {name: part for name, part in optimizer.parts().items() if isinstance(part, Optimizer)}
    if isinstance(optimizer, Rule) or not inside:
        yield path, optimizer
    for name, part in inside.items():
        yield from with_own_rate(part, f"{path}/{name}" if path else name)


class Rule(Optimizer):
    """
    One formula for all parameters. It consists of :meth:`init_state` and :meth:`apply`; see :class:`SGD`.

    Parameters
    ----------
    lr : float or schedule
        Learning rate > 0, or a function of the step (number of updates done) that returns one >= 0.
    weight_decay : float, >= 0
        Pull towards zero; how it enters is the rule's affair.
    clip_value : float, > 0, optional
        Each entry of every gradient is first clipped to ``[-clip_value, clip_value]``.
    clip_norm : float, > 0, optional
        Then all gradients are scaled so that their common Euclidean norm is at most `clip_norm`:
        ``g * min(1, clip_norm / (norm + 1e-6))``, as ``torch.nn.utils.clip_grad_norm_`` does it (Pascanu, Mikolov and
        Bengio, "On the difficulty of training recurrent neural networks", ICML 2013, algorithm 1).
    decay_bias_and_norm : bool
        False: no weight decay for parameters with fewer than two axes, which are biases and the scales of norms.

    Attributes
    ----------
    elementwise : bool
        Of the class: whether its :meth:`apply` treats each number by itself, and follows from its arguments and the
        rule's settings alone, not from `lr`, `steps` and `state` of the rule. Then it may be called on pieces of
        parameters, on several threads, or once with symbols, of which a GPU's kernel is made. Only what a class says
        of itself counts: who inherits from it says it again.

    Raises
    ------
    ConfigError
        If a setting makes no sense.
    """

    elementwise: ClassVar[bool] = False
    _place: Array | None = None  # where steps read their rate while a graph is captured
    _go: Array | None = None  # whether steps are made, if that is known on the device only

    def __init__(
        self,
        lr: LearningRate,
        weight_decay: float,
        clip_value: float | None,
        clip_norm: float | None,
        decay_bias_and_norm: bool,
    ) -> None:
        self.lr = checked_lr(self, lr)
        self.weight_decay = number(self, "weight_decay", weight_decay, least=0)
        self.clip_value = checked_limit(self, "clip_value", clip_value)
        self.clip_norm = checked_limit(self, "clip_norm", clip_norm)
        self.decay_bias_and_norm = flag(self, "decay_bias_and_norm", decay_bias_and_norm)
        self.state = {}
        self.steps = 0

    @abstractmethod
    def init_state(self, p: Array) -> dict[str, Array]:
        """
        State of a parameter before its first update.

        Parameters
        ----------
        p : array

        Returns
        -------
        state : dict of arrays, each of the shape of `p` or of none, on its device and of its dtype
        """

    @abstractmethod
    def apply(self, p: Array, g: Array, state: dict[str, Array], lr: float) -> None:
        """
        Change one parameter, and its state, in place.

        Parameters
        ----------
        p : array
            Changed in place.
        g : array, shape of `p`
            Its gradient, clipped; not modified.
        state : dict of arrays
            Changed in place.
        lr : float
            Learning rate of this step.
        """

    def prepare(self, params: dict[str, Array], grads: dict[str, Array]) -> Step:
        lr = self.current_lr()
        device = check_fit(self, params, grads)
        for name, p in params.items():
            self.check_parameter(name, p)
        return partial(self._change, params, device, lr)

    def begin(self, params: dict[str, Array]) -> None:
        for name, p in params.items():
            device = device_like(p)
            with device.active():
                self._state_of(name, p, device)

    def check_parameter(self, name: str, p: Array) -> None:
        """
        Whether this rule can change a parameter, by its shape; rules that cannot change all of them add to this.

        Raises
        ------
        ShapeError
            If the kept state has another shape.
        """
        for slot, value in self.state.get(name, {}).items():
            if value.ndim and tuple(value.shape) != tuple(p.shape):
                expected = f"parameter {name!r} of shape {tuple(value.shape)} as its state {slot!r} has"
                raise wrong(self, ShapeError, expected, tuple(p.shape), "take a new optimizer for a new model")

    def rules(self) -> "list[Rule] | None":
        return [self]

    def parts(self) -> dict[str, Configured]:
        return {"lr": self.lr} if isinstance(self.lr, Schedule) else {}

    def slots(self) -> dict[str, Array]:
        own = {f"state/{name}/{slot}": a for name, state in self.state.items() for slot, a in state.items()}
        return {**own, **super().slots()}

    def counts(self) -> Counts:
        return {"steps": self.steps, **super().counts()}

    def take(self, slots: dict[str, Array], counts: Counts) -> None:
        steps = count(self, "steps", counts["steps"], 0)
        super().take(slots, counts)
        self.state, self.steps = {}, steps
        for path, a in below("state", slots).items():
            name, _, slot = path.rpartition("/")  # names may have slashes, slots have none
            self.state.setdefault(name, {})[slot] = a

    @contextmanager
    def reading(self, place: Array) -> Iterator[None]:
        """
        Let steps inside read the learning rate from a 0-d float64 array on the device, not take :attr:`lr`.

        So a captured graph can be replayed with another rate.
        """
        self._place = place
        try:
            yield
        finally:
            del self._place

    @property
    def together(self) -> bool:
        """Whether the formula is one that takes all parameters at once where there is a kernel for that."""
        return bool(vars(type(self)).get("elementwise"))

    @contextmanager
    def only_if(self, go: Array) -> Iterator[None]:
        """
        Let steps inside change nothing where a 0-d array on the device, of one bool, is false when they are computed.

        For rules that take all parameters :attr:`together`, where a kernel answers that knows of it: see `LossScale`.
        What Python counts goes on.
        """
        self._go = go
        try:
            yield
        finally:
            del self._go

    def current_lr(self) -> float:
        lr = self.lr(self.steps) if callable(self.lr) else self.lr
        return number(self, f"lr at step {self.steps}", lr, least=0)

    def decay_of(self, p: Array) -> float:
        """Weight decay of a parameter: `weight_decay`, or 0 where biases and norms are spared and it is one of them."""
        return self.weight_decay if self.decay_bias_and_norm or p.ndim >= 2 else 0.0

    def with_decay(self, p: Array, g: Array) -> Array:
        """Gradient of the loss plus ``weight_decay / 2 * sum(p**2)``: ``g + weight_decay * p``."""
        decay = self.decay_of(p)
        return g + decay * p if decay else g

    def shrink(self, p: Array, lr: float) -> None:
        """Decoupled weight decay, in place: ``p <- p - lr * weight_decay * p`` (Loshchilov and Hutter, ICLR 2019)."""
        if decay := self.decay_of(p):
            p *= 1.0 - lr * decay

    def _change(self, params: dict[str, Array], device: Device | None, lr: float, grads: dict[str, Array]) -> None:
        rate: Any = lr if self._place is None else self._place
        if device is not None:
            with device.active():
                grads = clipped(grads, self.clip_value, self.clip_norm)
                items = [(p, grads[name], self._state_of(name, p, device)) for name, p in params.items()]
                cut = kernel("update", library(items[0][0])) if self.together else None
                if cut is not None:
                    cut(self.apply, items, rate, *(() if self._go is None else (self._go,)))
                else:
                    for item in items:
                        self.apply(*item, rate)
        self.steps += 1

    def _state_of(self, name: str, p: Array, device: Device) -> dict[str, Array]:
        state = self.state.get(name)
        if state is None:
            state = self.state[name] = self.init_state(p)
        dtype = dtype_name(p)
        for slot, value in state.items():
            if not device.owns(value) or value.dtype != p.dtype:
                state[slot] = device.asarray(value, dtype)
        return state


def step_slot(p: Array) -> Array:
    """
    A count of updates beside a parameter, 0.

    It is an array, so that a captured training step can be replayed, and one for each parameter, because those that
    join later (a body that was frozen for a while) begin with their own first step.
    """
    return array_namespace(p).zeros((), dtype=p.dtype, device=device_of(p))


def checked_betas(who: object, betas: Any) -> tuple[float, float]:
    """Two decay rates of running means, 0 to below 1, as Python floats; ConfigError otherwise."""
    if not isinstance(betas, (tuple, list)) or len(betas) != 2:
        message = f"{type(who).__name__}: expected betas to be two numbers, got {betas!r}"
        raise ConfigError(message)
    one, two = (number(who, f"betas[{i}]", beta, least=0, below=1) for i, beta in enumerate(betas))
    return one, two


def bias_correction(beta: float, step: Array) -> Array:
    """``1 - beta**step``, as ``-expm1(step * log(beta))``: in float32 the difference would lose four digits."""
    xp = array_namespace(step)
    return -xp.expm1(math.log(beta) * step) if beta else xp.ones_like(step)
