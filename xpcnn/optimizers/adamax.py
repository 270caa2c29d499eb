"""Adamax: momentum, divided by the largest of the recent gradients."""

from typing import final

from xpcnn.backend import Array, array_namespace
from xpcnn.settings import number

from .base import Rule, bias_correction, checked_betas, step_slot
from .schedules import LearningRate

__all__ = ["Adamax"]


@final
class Adamax(Rule):
    """
    Adamax.

    With gradient ``g`` and the number ``t = 1, 2, ...`` of the step::

        g <- g + weight_decay * p
        m <- beta1 * m + (1 - beta1) * g
        u <- max(beta2 * u, abs(g) + eps)
        p <- p - lr / (1 - beta1**t) * m / u

    Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 2. As in PyTorch epsilon is added
    to every gradient's size, so that `u` is never 0; the paper has none.

    Parameters
    ----------
    lr : float or schedule
        Learning rate > 0.
    betas : (float, float), 0 to below 1
    eps : float, > 0
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
    >>> Adamax(lr=0.5).update(params, {"w": np.asarray([3.0, -0.01])})
    >>> params["w"].round(5).tolist()
    [0.5, 1.5]
    """

    elementwise = True

    def __init__(
        self,
        lr: LearningRate = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        clip_value: float | None = None,
        clip_norm: float | None = None,
        decay_bias_and_norm: bool = True,
    ) -> None:
        super().__init__(lr, weight_decay, clip_value, clip_norm, decay_bias_and_norm)
        self.betas = checked_betas(self, betas)
        self.eps = number(self, "eps", eps, above=0)

    def init_state(self, p: Array) -> dict[str, Array]:
        xp = array_namespace(p)
        return {"step": step_slot(p), "exp_avg": xp.zeros_like(p), "exp_inf": xp.zeros_like(p)}

    def apply(self, p: Array, g: Array, state: dict[str, Array], lr: float) -> None:
        xp, g = array_namespace(p), self.with_decay(p, g)
        (beta1, beta2), step, m, u = self.betas, state["step"], state["exp_avg"], state["exp_inf"]
        step += 1.0
        m *= beta1
        m += (1.0 - beta1) * g
        u[...] = xp.maximum(beta2 * u, xp.abs(g) + self.eps)
        p -= lr / bias_correction(beta1, step) * (m / u)
