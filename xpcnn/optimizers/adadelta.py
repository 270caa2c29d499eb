"""Adadelta: steps as large as the recent ones, in the units of the parameters."""

from typing import final

from xpcnn.backend import Array, array_namespace
from xpcnn.settings import number

from .base import Rule
from .schedules import LearningRate

__all__ = ["Adadelta"]


@final
class Adadelta(Rule):
    """
    Adadelta.

    With gradient ``g``::

        g <- g + weight_decay * p
        s <- rho * s + (1 - rho) * g**2
        d <- sqrt(u + eps) / sqrt(s + eps) * g
        u <- rho * u + (1 - rho) * d**2
        p <- p - lr * d

    Zeiler, "ADADELTA: an adaptive learning rate method", 2012, algorithm 1, with epsilon inside of both roots; `lr`,
    which the paper does not have, is 1 there.

    Parameters
    ----------
    lr : float or schedule
        Learning rate > 0.
    rho : float, 0 to 1
        Part of the running means that each step keeps.
    eps : float, > 0
        Also the size of the first steps: they are ``sqrt(eps / (1 - rho))`` large at most.
    weight_decay : float, >= 0
    clip_value, clip_norm, decay_bias_and_norm
        See :class:`Rule`.

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> import numpy as np
    >>> params = {"w": np.ones(2)}
    >>> Adadelta(eps=0.01).update(params, {"w": np.asarray([30.0, -10.0])})
    >>> params["w"].round(3).tolist()
    [0.684, 1.316]
    """

    elementwise = True

    def __init__(
        self,
        lr: LearningRate = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        *,
        clip_value: float | None = None,
        clip_norm: float | None = None,
        decay_bias_and_norm: bool = True,
    ) -> None:
        super().__init__(lr, weight_decay, clip_value, clip_norm, decay_bias_and_norm)
        self.rho = number(self, "rho", rho, least=0, most=1)
        self.eps = number(self, "eps", eps, above=0)

    def init_state(self, p: Array) -> dict[str, Array]:
        xp = array_namespace(p)
        return {"square_avg": xp.zeros_like(p), "acc_delta": xp.zeros_like(p)}

    def apply(self, p: Array, g: Array, state: dict[str, Array], lr: float) -> None:
        xp, g = array_namespace(p), self.with_decay(p, g)
        s, u = state["square_avg"], state["acc_delta"]
        s *= self.rho
        s += (1.0 - self.rho) * (g * g)
        d = xp.sqrt(u + self.eps) / xp.sqrt(s + self.eps) * g
        u *= self.rho
        u += (1.0 - self.rho) * (d * d)
        p -= lr * d
