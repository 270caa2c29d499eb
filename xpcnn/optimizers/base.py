"""What all optimizers share: checks before anything is changed, clipping, weight decay and state by parameter name."""

from abc import ABC, abstractmethod

from xpcnn.backend import Array, Device, Namespace, array_namespace, device_like, device_of, is_array, is_writeable
from xpcnn.errors import (
    ConfigError,
    DeviceMismatchError,
    DtypeError,
    NamespaceError,
    ShapeError,
    StateDictError,
    XpcnnError,
)
from xpcnn.settings import flag, number

from .schedules import LearningRate, checked_lr
from .settings import Configured

__all__ = ["Optimizer", "step_slot"]


class Optimizer(Configured, ABC):
    """
    A rule that changes parameters by their gradients.

    A rule consists of :meth:`init_state` and :meth:`apply`; see :class:`SGD` for the shortest.

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
    state : dict[str, dict[str, Array]]
        State by parameter name and slot, such as ``opt.state["0.weight"]["exp_avg"]``; slots are named as in PyTorch's
        state dicts. It stays until the optimizer goes, whatever the number of epochs.
    steps : int
        Number of updates done.

    Raises
    ------
    ConfigError
        If a setting makes no sense.
    """

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
        self.clip_value = None if clip_value is None else number(self, "clip_value", clip_value, above=0)
        self.clip_norm = None if clip_norm is None else number(self, "clip_norm", clip_norm, above=0)
        self.decay_bias_and_norm = flag(self, "decay_bias_and_norm", decay_bias_and_norm)
        self.state: dict[str, dict[str, Array]] = {}
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
        lr = self.current_lr()
        device = self._check(params, grads)
        if device is not None:
            with device.active():
                clipped = self._clip(grads, device.xp)
                for name, p in params.items():
                    self.apply(p, clipped[name], self._state_of(name, p, device), lr)
        self.steps += 1

    def current_lr(self) -> float:
        """
        Learning rate of the next update.

        Examples
        --------
        >>> from xpcnn.optimizers import SGD, StepLR
        >>> SGD(lr=StepLR(0.5, step_size=10)).current_lr()
        0.5
        """
        lr = self.lr(self.steps) if callable(self.lr) else self.lr
        return number(self, f"lr at step {self.steps}", lr, least=0)

    def decay_of(self, p: Array) -> float:
        """Weight decay of a parameter: `weight_decay`, or 0 where biases and norms are spared and it is one of them."""
        return self.weight_decay if self.decay_bias_and_norm or p.ndim >= 2 else 0.0

    def with_decay(self, p: Array, g: Array) -> Array:
        """Gradient of the loss plus ``weight_decay / 2 * sum(p**2)``: ``g + weight_decay * p``."""
        decay = self.decay_of(p)
        return g + decay * p if decay else g

    def _state_of(self, name: str, p: Array, device: Device) -> dict[str, Array]:
        state = self.state.get(name)
        if state is None:
            state = self.state[name] = self.init_state(p)
        dtype = _dtype_name(p)
        for slot, value in state.items():
            if not device.owns(value) or value.dtype != p.dtype:
                state[slot] = device.asarray(value, dtype)
        return state

    def _clip(self, grads: dict[str, Array], xp: Namespace) -> dict[str, Array]:
        # minimum and maximum rather than clip: array_api_compat's clip for CuPy masks, and so waits for the device
        if self.clip_value is not None:
            limit = self.clip_value
            grads = {name: xp.minimum(xp.maximum(g, -limit), limit) for name, g in grads.items()}
        if self.clip_norm is not None:
            norm = xp.sqrt(sum(xp.sum(g * g) for g in grads.values()))
            scale = xp.asarray(xp.minimum(self.clip_norm / (norm + 1e-6), 1.0))
            grads = {name: g * xp.astype(scale, g.dtype, copy=False) for name, g in grads.items()}
        return grads

    def _check(self, params: dict[str, Array], grads: dict[str, Array]) -> Device | None:
        """Compare names, then array by array; the device of the parameters, None where there are none."""
        who = type(self).__name__
        for title, arrays in (("params", params), ("grads", grads)):
            if not isinstance(arrays, dict):
                message = f"{who}: expected {title} to be a dict of arrays by name, got {type(arrays).__name__}"
                raise NamespaceError(message)
        if params.keys() != grads.keys():
            missing, unexpected = [n for n in params if n not in grads], [n for n in grads if n not in params]
            message = (
                f"{who}: expected one gradient for each parameter, got none for {missing} and unexpected {unexpected}: "
                "pass the grads of the same model.backward"
            )
            raise StateDictError(message)
        for title, arrays in (("parameter", params), ("the gradient of", grads)):
            for name, array in arrays.items():
                if not is_array(array):
                    kind = f"{type(array).__module__}.{type(array).__qualname__}"
                    message = f"{who}: expected {title} {name!r} to be an array, got {kind}: convert it with xp.asarray"
                    raise NamespaceError(message)
        if not params:
            return None
        device = device_like(next(iter(params.values())))
        for name, p in params.items():
            self._check_one(name, p, grads[name], device)
        return device

    def _check_one(self, name: str, p: Array, g: Array, device: Device) -> None:
        def wrong(error: type[XpcnnError], expected: str, got: object, mend: str = "") -> XpcnnError:
            return error(f"{type(self).__name__}: expected {expected}, got {got}" + (f": {mend}" if mend else ""))

        for title, array in ((f"parameter {name!r}", p), (f"the gradient of {name!r}", g)):
            if not device.owns(array):
                elsewhere = device_like(array)
                error = DeviceMismatchError if elsewhere.xp is device.xp else NamespaceError
                mend = "move the model with model.to, and the batch with it"
                raise wrong(error, f"{title} on {device.name} like the first parameter", elsewhere.name, mend)
            if _dtype_name(array) is None:
                mend = "make the model with dtype='float32' or 'float64'"
                raise wrong(DtypeError, f"{title} of dtype float32 or float64", array.dtype, mend)
        if not is_writeable(p):
            raise wrong(ConfigError, f"parameter {name!r} to be writable", "a read-only array", "pass a copy")
        if tuple(g.shape) != tuple(p.shape):
            raise wrong(ShapeError, f"the gradient of {name!r} of shape {tuple(p.shape)}", tuple(g.shape))
        if g.dtype != p.dtype:
            raise wrong(DtypeError, f"the gradient of {name!r} of dtype {p.dtype}", g.dtype)
        for slot, value in self.state.get(name, {}).items():
            if value.ndim and tuple(value.shape) != tuple(p.shape):
                expected = f"parameter {name!r} of shape {tuple(value.shape)} as its state {slot!r} has"
                raise wrong(ShapeError, expected, tuple(p.shape), "take a new optimizer for a new model")


def step_slot(p: Array) -> Array:
    """
    A count of updates beside a parameter, 0.

    It is an array, so that a captured training step can be replayed, and one for each parameter, because those that
    join later (a body that was frozen for a while) begin with their own first step.
    """
    return array_namespace(p).zeros((), dtype=p.dtype, device=device_of(p))


def _dtype_name(x: Array) -> str | None:
    xp = array_namespace(x)
    return "float32" if x.dtype == xp.float32 else "float64" if x.dtype == xp.float64 else None
