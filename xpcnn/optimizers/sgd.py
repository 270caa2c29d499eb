"""Stochastic gradient descent, plain, with momentum and with Nesterov's."""

from typing import Protocol, final

from xpcnn.backend import Array, array_namespace
from xpcnn.errors import ConfigError
from xpcnn.settings import flag, number

from .base import Rule
from .schedules import LearningRate

__all__ = ["SGD"]


@final
class SGD(Rule):
    r"""
    Stochastic gradient descent.

    With gradient ``g`` (weight decay included), learning rate ``lr``, momentum ``m`` and dampening ``d``::

        g <- g + weight_decay * p
        v <- m * v + (1 - d) * g                    (v <- g at the first step)
        p <- p - lr * v                             (nesterov: p <- p - lr * (g + m * v))

    This is PyTorch's convention, in which `v` sums gradients and the learning rate multiplies the sum. Polyak's and
    Sutskever's `v` sums steps, ``v <- m * v - lr * g; p <- p + v``; the two give the same parameters as long as the
    learning rate is constant, and when it drops PyTorch's drops the whole momentum with it.

    Nesterov's momentum takes the gradient not where the parameters are but where the momentum is about to carry them:
    ``v <- m * v - lr * g(p + m * v); p <- p + v`` (Sutskever et al., eq. 3 and 4). Here, as in PyTorch, the array `p`
    holds that look-ahead point itself (Bengio, Boulanger-Lewandowski and Pascanu, "Advances in optimizing recurrent
    networks", ICASSP 2013, section 3.5), so the gradient of the model as it stands is the right one: nothing has to be
    moved before the forward pass, nor undone after it.

    Parameters
    ----------
    lr : float or schedule
        Learning rate > 0.
    momentum : float, >= 0
        0.9 is usual; 0 keeps no state.
    dampening : float, 0 to 1
    weight_decay : float, >= 0
    nesterov : bool
        Needs momentum and no dampening.
    clip_value, clip_norm, decay_bias_and_norm
        See :class:`Rule`.

    Raises
    ------
    ConfigError

    References
    ----------
    Polyak, "Some methods of speeding up the convergence of iteration methods", 1964. Nesterov, "A method of solving a
    convex programming problem with convergence rate O(1/k^2)", 1983. Sutskever, Martens, Dahl and Hinton, "On the
    importance of initialization and momentum in deep learning", ICML 2013.

    Examples
    --------
    >>> import numpy as np
    >>> params = {"w": np.ones(1)}
    >>> SGD(lr=0.1).update(params, {"w": np.full(1, 2.0)})
    >>> params["w"].tolist()
    [0.8]
    """

    elementwise = True

    def __init__(
        self,
        lr: LearningRate = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        clip_value: float | None = None,
        clip_norm: float | None = None,
        decay_bias_and_norm: bool = True,
    ) -> None:
        super().__init__(lr, weight_decay, clip_value, clip_norm, decay_bias_and_norm)
        self.momentum = number(self, "momentum", momentum, least=0)
        self.dampening = number(self, "dampening", dampening, least=0, most=1)
        self.nesterov = checked_nesterov(self, nesterov)

    def init_state(self, p: Array) -> dict[str, Array]:
        return {}  # the first gradient is the first momentum_buffer, whatever the dampening

    def apply(self, p: Array, g: Array, state: dict[str, Array], lr: float) -> None:
        p -= lr * momentum_step(self, p, self.with_decay(p, g), state)


class _WithMomentum(Protocol):
    """The settings of momentum, of SGD and of those that are built like it."""

    momentum: float
    dampening: float
    nesterov: bool


def momentum_step(rule: _WithMomentum, p: Array, g: Array, state: dict[str, Array]) -> Array:
    """What the learning rate multiplies: the gradient, or its momentum, whose buffer changes in place."""
    if not rule.momentum:
        return g
    if "momentum_buffer" not in state:
        state["momentum_buffer"] = array_namespace(p).asarray(g, copy=True)
    else:
        v = state["momentum_buffer"]
        v *= rule.momentum
        v += (1.0 - rule.dampening) * g
    return g + rule.momentum * state["momentum_buffer"] if rule.nesterov else state["momentum_buffer"]


def checked_nesterov(rule: _WithMomentum, nesterov: bool) -> bool:
    """Whether to look ahead; ConfigError unless there is momentum and no dampening to do it with."""
    if flag(rule, "nesterov", nesterov) and (rule.momentum == 0 or rule.dampening != 0):
        message = (
            f"{type(rule).__name__}: expected nesterov=True with momentum > 0 and dampening=0, "
            f"got momentum={rule.momentum!r}, dampening={rule.dampening!r}: pass momentum=0.9"
        )
        raise ConfigError(message)
    return flag(rule, "nesterov", nesterov)
