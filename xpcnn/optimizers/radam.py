"""RAdam: Adam that trusts its division only when enough gradients were seen."""

from typing import final

from xpcnn.backend import Array, array_namespace
from xpcnn.settings import flag, number

from .base import Rule, bias_correction, checked_betas, step_slot
from .schedules import LearningRate

__all__ = ["RAdam"]


@final
class RAdam(Rule):
    """
    RAdam, rectified Adam.

    With gradient ``g`` and the number ``t = 1, 2, ...`` of the step::

        g <- g + weight_decay * p
        m <- beta1 * m + (1 - beta1) * g
        v <- beta2 * v + (1 - beta2) * g**2
        rho_inf = 2 / (1 - beta2) - 1               (gradients that v remembers, in the end)
        rho = rho_inf - 2 * t * beta2**t / (1 - beta2**t)                       (and now)
        r = sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho))
        rho > 5:  p <- p - lr * r * m / (1 - beta1**t) / ((sqrt(v) + eps) / sqrt(1 - beta2**t))
        else:     p <- p - lr * m / (1 - beta1**t)

    Liu, Jiang, He, Chen, Liu, Gao and Han, "On the variance of the adaptive learning rate and beyond", ICLR 2020,
    algorithm 2. As in PyTorch the bound is 5 (4 in the paper; 5 in its authors' code), and epsilon is added before the
    bias correction. With `decoupled_weight_decay` the parameters shrink by themselves, as in :class:`AdamW`, and the
    first line is left out.

    Parameters
    ----------
    lr : float or schedule
        Learning rate > 0.
    betas : (float, float), 0 to below 1
        With a second one up to 2/3, `rho` never exceeds 5, and this is SGD with momentum.
    eps : float, > 0
    weight_decay : float, >= 0
    decoupled_weight_decay : bool
    clip_value, clip_norm, decay_bias_and_norm
        See :class:`Rule`.

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> import numpy as np
    >>> params, opt = {"w": np.ones(1)}, RAdam(lr=0.01)
    >>> opt.update(params, {"w": np.full(1, 2.0)})  # not divided yet
    >>> params["w"].round(6).tolist()
    [0.98]
    """

    elementwise = True

    def __init__(
        self,
        lr: LearningRate = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
        *,
        clip_value: float | None = None,
        clip_norm: float | None = None,
        decay_bias_and_norm: bool = True,
    ) -> None:
        super().__init__(lr, weight_decay, clip_value, clip_norm, decay_bias_and_norm)
        self.betas = checked_betas(self, betas)
        self.eps = number(self, "eps", eps, above=0)
        self.decoupled_weight_decay = flag(self, "decoupled_weight_decay", decoupled_weight_decay)

    def init_state(self, p: Array) -> dict[str, Array]:
        xp = array_namespace(p)
        return {"step": step_slot(p), "exp_avg": xp.zeros_like(p), "exp_avg_sq": xp.zeros_like(p)}

    def apply(self, p: Array, g: Array, state: dict[str, Array], lr: float) -> None:
        xp = array_namespace(p)
        (beta1, beta2), step, m, v = self.betas, state["step"], state["exp_avg"], state["exp_avg_sq"]
        if self.decoupled_weight_decay:
            self.shrink(p, lr)
        else:
            g = self.with_decay(p, g)
        step += 1.0
        m *= beta1
        m += (1.0 - beta1) * g
        v *= beta2
        v += (1.0 - beta2) * (g * g)
        rate = lr / bias_correction(beta1, step)
        rectified, r = (xp.astype(xp.asarray(x), p.dtype, copy=False) for x in self._rectification(step))
        # where it does not count yet, the divisor is blended to 1: the step waits for no answer of the device
        p -= rate * r * (m / (rectified * (xp.sqrt(v) + self.eps) + (1.0 - rectified)))

    def _rectification(self, step: Array) -> tuple[Array, Array]:
        """
        Whether to divide by the root of v, 0 or 1, and the factor of the step: ``r * sqrt(1 - beta2**t)``, or 1.

        In float64, because rho is a small difference of numbers as large as rho_inf.
        """
        xp, beta2 = array_namespace(step), self.betas[1]
        t = xp.astype(step, xp.float64)
        limit = 2.0 / (1.0 - beta2) - 1.0
        if limit <= 5.0:
            return xp.zeros_like(t), xp.ones_like(t)
        correction = xp.asarray(bias_correction(beta2, t))
        rho = limit - 2.0 * t * (1.0 - correction) / correction
        rectified = xp.astype(xp.asarray(rho > 5.0), xp.float64)
        rho = xp.maximum(rho, 5.0)  # a root of something positive also where it is not used
        r2 = (rho - 4.0) * (rho - 2.0) * limit / ((limit - 4.0) * (limit - 2.0) * rho)
        return rectified, rectified * xp.sqrt(r2 * correction) + (1.0 - rectified)
