"""Adam and AdamW: momentum, divided by the size of the recent gradients."""

from typing import final

from xpcnn.backend import Array, array_namespace
from xpcnn.settings import flag, number

from .base import Rule, bias_correction, checked_betas, step_slot
from .schedules import LearningRate

__all__ = ["Adam", "AdamW"]


class _Moments(Rule):
    """What Adam and AdamW share: everything but the place of the weight decay."""

    def __init__(
        self,
        lr: LearningRate,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
        amsgrad: bool,
        clip_value: float | None,
        clip_norm: float | None,
        decay_bias_and_norm: bool,
    ) -> None:
        super().__init__(lr, weight_decay, clip_value, clip_norm, decay_bias_and_norm)
        self.betas = checked_betas(self, betas)
        self.eps = number(self, "eps", eps, above=0)
        self.amsgrad = flag(self, "amsgrad", amsgrad)

    def init_state(self, p: Array) -> dict[str, Array]:
        slots = ["exp_avg", "exp_avg_sq"] + ["max_exp_avg_sq"] * self.amsgrad
        return {"step": step_slot(p), **{slot: array_namespace(p).zeros_like(p) for slot in slots}}

    def apply_moments(self, p: Array, g: Array, state: dict[str, Array], lr: float) -> None:
        """The step that both take once the weight decay is done."""
        xp = array_namespace(p)
        (beta1, beta2), step, m, v = self.betas, state["step"], state["exp_avg"], state["exp_avg_sq"]
        step += 1.0
        m *= beta1
        m += (1.0 - beta1) * g
        v *= beta2
        v += (1.0 - beta2) * (g * g)
        if self.amsgrad:
            largest = state["max_exp_avg_sq"]
            largest[...] = xp.maximum(largest, v)
            v = largest
        root = xp.sqrt(v) / xp.sqrt(bias_correction(beta2, step))
        p -= lr / bias_correction(beta1, step) * (m / (root + self.eps))


@final
class Adam(_Moments):
    """
    Adam.

    With gradient ``g`` and the number ``t = 1, 2, ...`` of the step::

        g <- g + weight_decay * p
        m <- beta1 * m + (1 - beta1) * g
        v <- beta2 * v + (1 - beta2) * g**2         (amsgrad: goes on with the largest v so far)
        p <- p - lr * m / (1 - beta1**t) / (sqrt(v / (1 - beta2**t)) + eps)

    Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1, with epsilon outside of the
    root and beside the corrected moment (not the "epsilon hat" of section 2). Weight decay is added to the gradient,
    so that it is divided by the root as well; :class:`AdamW` does not do that. `amsgrad` is that of Reddi, Kale and
    Kumar, "On the convergence of Adam and beyond", ICLR 2018, algorithm 2, with the bias corrections as in PyTorch.

    Parameters
    ----------
    lr : float or schedule
        Learning rate > 0.
    betas : (float, float), 0 to below 1
    eps : float, > 0
    weight_decay : float, >= 0
    amsgrad : bool
    clip_value, clip_norm, decay_bias_and_norm
        See :class:`Rule`.

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> import numpy as np
    >>> params = {"w": np.ones(2)}
    >>> Adam(lr=0.5).update(params, {"w": np.asarray([3.0, -0.01])})
    >>> params["w"].round(5).tolist()
    [0.5, 1.5]
    """

    elementwise = True

    def __init__(
        self,
        lr: LearningRate = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        clip_value: float | None = None,
        clip_norm: float | None = None,
        decay_bias_and_norm: bool = True,
    ) -> None:
        super().__init__(lr, betas, eps, weight_decay, amsgrad, clip_value, clip_norm, decay_bias_and_norm)

    def apply(self, p: Array, g: Array, state: dict[str, Array], lr: float) -> None:
        self.apply_moments(p, self.with_decay(p, g), state, lr)


@final
class AdamW(_Moments):
    """
    Adam with decoupled weight decay.

    The parameters shrink by themselves and the gradient stays what it is::

        p <- p - lr * weight_decay * p
        p <- p - (the step of Adam without weight decay)

    Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019, algorithm 2. As in PyTorch the decay is
    multiplied by the learning rate (the paper's line 12 has a schedule factor instead), so it follows the schedule.

    Parameters
    ----------
    lr : float or schedule
        Learning rate > 0.
    betas : (float, float), 0 to below 1
    eps : float, > 0
    weight_decay : float, >= 0
    amsgrad : bool
    clip_value, clip_norm, decay_bias_and_norm
        See :class:`Rule`.

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> import numpy as np
    >>> params = {"w": np.ones(1)}
    >>> AdamW(lr=0.1, weight_decay=0.5).update(params, {"w": np.zeros(1)})
    >>> params["w"].tolist()
    [0.95]
    """

    elementwise = True

    def __init__(
        self,
        lr: LearningRate = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        clip_value: float | None = None,
        clip_norm: float | None = None,
        decay_bias_and_norm: bool = True,
    ) -> None:
        super().__init__(lr, betas, eps, weight_decay, amsgrad, clip_value, clip_norm, decay_bias_and_norm)

    def apply(self, p: Array, g: Array, state: dict[str, Array], lr: float) -> None:
        self.shrink(p, lr)
        self.apply_moments(p, g, state, lr)
