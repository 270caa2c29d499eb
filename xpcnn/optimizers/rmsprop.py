"""RMSprop: each weight is slowed down by the size of its recent gradients."""

from typing import final

from xpcnn.backend import Array, array_namespace
from xpcnn.settings import flag, number

from .base import Rule
from .schedules import LearningRate

__all__ = ["RMSprop"]


@final
class RMSprop(Rule):
    """
    RMSprop.

    With gradient ``g``::

        g <- g + weight_decay * p
        s <- alpha * s + (1 - alpha) * g**2
        a <- alpha * a + (1 - alpha) * g            (centered only; a = 0 otherwise)
        d <- g / (sqrt(s - a**2) + eps)
        p <- p - lr * d                             (momentum: v <- momentum * v + d; p <- p - lr * v)

    Tieleman and Hinton, "Neural networks for machine learning", lecture 6.5, 2012; the centered variant is that of
    Graves, "Generating sequences with recurrent neural networks", 2013, eq. 38 to 41. As in PyTorch epsilon stands
    outside of the root (Graves and TensorFlow have it inside). ``s - a**2`` is a variance; where rounding would make
    it negative it is 0 here, and the step a finite one.

    Parameters
    ----------
    lr : float or schedule
        Learning rate > 0.
    alpha : float, 0 to below 1
        Part of the running means that each step keeps.
    eps : float, > 0
    weight_decay : float, >= 0
    momentum : float, >= 0
    centered : bool
        Divide by the standard deviation of the gradients rather than by their root mean square.
    clip_value, clip_norm, decay_bias_and_norm
        See :class:`Rule`.

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> import numpy as np
    >>> params = {"w": np.ones(2)}
    >>> RMSprop(lr=0.01).update(params, {"w": np.asarray([3.0, -0.01])})
    >>> params["w"].round(5).tolist()
    [0.9, 1.1]
    """

    elementwise = True

    def __init__(
        self,
        lr: LearningRate = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        clip_value: float | None = None,
        clip_norm: float | None = None,
        decay_bias_and_norm: bool = True,
    ) -> None:
        super().__init__(lr, weight_decay, clip_value, clip_norm, decay_bias_and_norm)
        self.alpha = number(self, "alpha", alpha, least=0, below=1)
        self.eps = number(self, "eps", eps, above=0)
        self.momentum = number(self, "momentum", momentum, least=0)
        self.centered = flag(self, "centered", centered)

    def init_state(self, p: Array) -> dict[str, Array]:
        slots = ["square_avg"] + ["momentum_buffer"] * (self.momentum > 0) + ["grad_avg"] * self.centered
        return {slot: array_namespace(p).zeros_like(p) for slot in slots}

    def apply(self, p: Array, g: Array, state: dict[str, Array], lr: float) -> None:
        xp, g = array_namespace(p), self.with_decay(p, g)
        variance = s = state["square_avg"]
        s *= self.alpha
        s += (1.0 - self.alpha) * (g * g)
        if self.centered:
            a = state["grad_avg"]
            a *= self.alpha
            a += (1.0 - self.alpha) * g
            variance = xp.maximum(s - a * a, 0.0)
        d = g / (xp.sqrt(variance) + self.eps)
        if self.momentum:
            v = state["momentum_buffer"]
            v *= self.momentum
            v += d
            d = v
        p -= lr * d
