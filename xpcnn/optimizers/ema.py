"""The running mean of a model's weights, which often classifies better than the weights themselves."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, final

from xpcnn.backend import Array, Device, array_namespace, device_like, is_writeable, kernel, library
from xpcnn.errors import ConfigError, ShapeError, StateDictError, StateError
from xpcnn.settings import count, flag, number

from .checks import check_arrays, dtype_name, wrong
from .settings import Configured, Counts, below

__all__ = ["EMA"]


class Model(Protocol):
    """Whatever has parameters and buffers by name, as models and layers do."""

    @property
    def params(self) -> dict[str, Array]: ...

    @property
    def buffers(self) -> dict[str, Array]: ...


@final
class EMA(Configured):
    r"""
    Exponential moving average of the weights.

    After each step of training, with weights ``p``::

        a <- decay * a + (1 - decay) * p            (a <- p the first time)

    Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", 1992, in the exponential form that
    nets are trained with since; PyTorch's ``AveragedModel`` with ``get_ema_multi_avg_fn(decay)``. There, as here
    without `bias_correction`, the first weights seen keep a part of ``decay**(t - 1)``, more than the others. With it
    `a` is the mean of all that were seen, with weights that fall by `decay` from each to the one before, as the bias
    correction of Adam has it:

    .. math:: a_t = \sum_i decay^{t - i} p_i \Big/ \sum_i decay^{t - i}, \quad
              a \leftarrow a + \frac{1 - decay}{1 - decay^t} (p - a)

    Parameters
    ----------
    decay : float, 0 to 1
        The mean is over the last ``1 / (1 - decay)`` steps or so.
    use_buffers : bool
        Average the running statistics of batch norm, too. False: the averages use those that the model has by then.
        Integers are taken over as they are.
    bias_correction : bool
        For a mean that does not begin with bad weights: it follows them closely at first.

    Attributes
    ----------
    state : dict[str, Array]
        The averages by name; may be set, and ``model.load_state_dict(ema.state, strict=False)`` takes them.
    steps : int
        Number of updates done.

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> import numpy as np
    >>> from xpcnn.layers import Linear
    >>> model, ema = Linear(1, 1, init="zeros"), EMA(decay=0.75)
    >>> for value in (0.0, 4.0):
    ...     model.params["weight"][...] = value
    ...     ema.update(model)
    >>> with ema.applied(model):
    ...     print(model.params["weight"].item())
    1.0
    >>> model.params["weight"].item()
    4.0
    """

    def __init__(self, decay: float = 0.999, use_buffers: bool = False, bias_correction: bool = False) -> None:
        self.decay = number(self, "decay", decay, least=0, most=1)
        self.use_buffers = flag(self, "use_buffers", use_buffers)
        self.bias_correction = flag(self, "bias_correction", bias_correction)
        self.state: dict[str, Array] = {}
        self.steps = 0

    def update(self, model: Model) -> None:
        """
        Take in the weights as they are now; nothing waits for the device.

        Parameters
        ----------
        model : model or layer
            Not modified. Averages that were left behind on another device, or in another dtype, move to it.

        Raises
        ------
        ShapeError
            If a weight had another shape before; nothing is changed then.
        ConfigError
            If it is no model.
        """
        weights = self._weights(model)
        rate = 1.0 - self.decay
        if self.bias_correction and self.decay < 1.0:
            rate /= 1.0 - self.decay ** (self.steps + 1)
        there: dict[str, tuple[Device, list[tuple[Array, Array, dict[str, Array]]]]] = {}
        for name, p in weights.items():
            device = device_like(p)
            with device.active():
                if name not in self.state or dtype_name(p) is None:
                    self.state[name] = array_namespace(p).asarray(p, copy=True)
                else:
                    a = self.state[name] = device.asarray(self.state[name], dtype_name(p))
                    there.setdefault(device.name, (device, []))[1].append((a, p, {}))
        for device, items in there.values():
            with device.active():
                together = kernel("update", library(items[0][0]))
                if together is not None:
                    together(_follow, items, rate)
                else:
                    for item in items:
                        _follow(*item, rate)
        self.steps += 1

    @contextmanager
    def applied(self, model: Model) -> Iterator[None]:
        """
        Put the averages into the model, and its own weights back at the end, also after an error.

        ::

            with ema.applied(model):
                model.evaluate(x_test, y_test)

        Training in between would be lost.

        Raises
        ------
        StateError
            If there are no averages yet.
        StateDictError, ShapeError
            If they are of another model; nothing is changed then.
        """
        if not self.state:
            message = "EMA.applied: expected averages, got none yet: call ema.update(model) after each step"
            raise StateError(message)
        weights = self._weights(model)
        if weights.keys() != self.state.keys():
            missing = [name for name in weights if name not in self.state]
            unexpected = [name for name in self.state if name not in weights]
            raise wrong(
                self, StateDictError, "averages of this model", f"none of {missing} and unexpected {unexpected}"
            )
        own = {}
        for name, p in weights.items():
            with device_like(p).active():
                own[name] = array_namespace(p).asarray(p, copy=True)
        try:
            self._put(model, self.state)
            yield
        finally:
            self._put(model, own)

    def slots(self) -> dict[str, Array]:
        return {f"state/{name}": a for name, a in self.state.items()}

    def counts(self) -> Counts:
        return {"steps": self.steps}

    def take(self, slots: dict[str, Array], counts: Counts) -> None:
        self.steps = count(self, "steps", counts["steps"], 0)
        self.state = below("state", slots)

    def _weights(self, model: Model) -> dict[str, Array]:
        params = getattr(model, "params", None)
        if params is None:
            raise wrong(self, ConfigError, "a model or layer", type(model).__name__)
        weights = {**params, **model.buffers} if self.use_buffers else dict(params)
        check_arrays(self, weights=weights)
        for name, p in weights.items():
            kept = self.state.get(name, p)
            if tuple(kept.shape) != tuple(p.shape):
                raise wrong(self, ShapeError, f"{name!r} of shape {tuple(kept.shape)} as before", tuple(p.shape))
        return weights

    def _put(self, model: Model, values: dict[str, Array]) -> None:
        for arrays, shared in ((model.params, False), (model.buffers, True)):
            for name, old in list(arrays.items()):
                if name in values:
                    with device_like(old).active():
                        value = device_like(old).asarray(values[name], dtype_name(old))
                        # in place, so that whoever holds the array sees it; buffers may be shared, or read-only
                        if not shared and is_writeable(old):
                            old[...] = value
                        else:
                            arrays[name] = array_namespace(old).asarray(value, copy=True)


def _follow(a: Array, p: Array, state: dict[str, Array], rate: float) -> None:
    """The step of an average, in the form of `Rule.apply`: what takes all parameters at once there serves here, too."""
    a += rate * (p - a)
