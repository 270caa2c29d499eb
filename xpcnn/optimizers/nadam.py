"""NAdam: Adam with Nesterov's momentum."""

import math
from typing import final

from xpcnn.backend import Array, Namespace, array_namespace, device_of
from xpcnn.settings import flag, number

from .base import Rule, bias_correction, checked_betas, step_slot
from .schedules import LearningRate

__all__ = ["NAdam"]


@final
class NAdam(Rule):
    """
    NAdam.

    With gradient ``g``, the number ``t = 1, 2, ...`` of the step and the momentum of that step,
    ``mu(t) = beta1 * (1 - 0.96**(t * momentum_decay) / 2)``::

        g <- g + weight_decay * p
        m <- beta1 * m + (1 - beta1) * g
        v <- beta2 * v + (1 - beta2) * g**2
        M <- mu(t) * M                              (M = 1 before)
        n  = (1 - mu(t)) / (1 - M) * g + mu(t + 1) / (1 - mu(t + 1) * M) * m
        p <- p - lr * n / (sqrt(v / (1 - beta2**t)) + eps)

    Dozat, "Incorporating Nesterov momentum into Adam", ICLR workshop 2016, algorithm 2 with the schedule of momentum
    of its section 3; as in PyTorch the running mean `m` itself keeps the constant `beta1`. With
    `decoupled_weight_decay` the parameters shrink by themselves, as in :class:`AdamW`, and the first line is left out.

    Parameters
    ----------
    lr : float or schedule
        Learning rate > 0.
    betas : (float, float), 0 to below 1
    eps : float, > 0
    weight_decay : float, >= 0
    momentum_decay : float, >= 0
        How fast the momentum rises from ``beta1 / 2`` to `beta1`.
    decoupled_weight_decay : bool
    clip_value, clip_norm, decay_bias_and_norm
        See :class:`Rule`.

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> import numpy as np
    >>> params = {"w": np.ones(1)}
    >>> NAdam(lr=0.1).update(params, {"w": np.full(1, 2.0)})
    >>> bool(0.8 < params["w"][0] < 0.9)
    True
    """

    elementwise = True

    def __init__(
        self,
        lr: LearningRate = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        clip_value: float | None = None,
        clip_norm: float | None = None,
        decay_bias_and_norm: bool = True,
    ) -> None:
        super().__init__(lr, weight_decay, clip_value, clip_norm, decay_bias_and_norm)
        self.betas = checked_betas(self, betas)
        self.eps = number(self, "eps", eps, above=0)
        self.momentum_decay = number(self, "momentum_decay", momentum_decay, least=0)
        self.decoupled_weight_decay = flag(self, "decoupled_weight_decay", decoupled_weight_decay)

    def init_state(self, p: Array) -> dict[str, Array]:
        xp = array_namespace(p)
        product = xp.ones((), dtype=p.dtype, device=device_of(p))
        return {
            "step": step_slot(p),
            "mu_product": product,
            "exp_avg": xp.zeros_like(p),
            "exp_avg_sq": xp.zeros_like(p),
        }

    def apply(self, p: Array, g: Array, state: dict[str, Array], lr: float) -> None:
        xp = array_namespace(p)
        (beta1, beta2), step, product = self.betas, state["step"], state["mu_product"]
        m, v = state["exp_avg"], state["exp_avg_sq"]
        if self.decoupled_weight_decay:
            self.shrink(p, lr)
        else:
            g = self.with_decay(p, g)
        step += 1.0
        mu, mu_next = self._momentum(xp, step), self._momentum(xp, step + 1.0)
        product *= mu
        m *= beta1
        m += (1.0 - beta1) * g
        v *= beta2
        v += (1.0 - beta2) * (g * g)
        root = xp.sqrt(v) / xp.sqrt(bias_correction(beta2, step)) + self.eps
        ahead = (1.0 - mu) / (1.0 - product) * g + mu_next / (1.0 - product * mu_next) * m
        p -= lr * (ahead / root)

    def _momentum(self, xp: Namespace, step: Array) -> Array:
        rate = math.log(0.96) * self.momentum_decay
        return self.betas[0] * (1.0 - 0.5 * xp.exp(rate * step))
