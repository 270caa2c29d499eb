"""Adagrad: each weight is slowed down by all its gradients so far."""

from typing import final

from xpcnn.backend import Array, array_namespace
from xpcnn.settings import number

from .base import Rule, step_slot
from .schedules import LearningRate

__all__ = ["Adagrad"]


@final
class Adagrad(Rule):
    """
    Adagrad.

    With gradient ``g`` and the number ``t = 1, 2, ...`` of the step::

        g <- g + weight_decay * p
        s <- s + g**2                               (s = initial_accumulator_value before)
        p <- p - lr / (1 + (t - 1) * lr_decay) * g / (sqrt(s) + eps)

    Duchi, Hazan and Singer, "Adaptive subgradient methods for online learning and stochastic optimization", JMLR
    2011, the variant with a diagonal matrix and without projection. As in PyTorch epsilon stands outside of the root,
    and `lr_decay`, which the paper does not have, slows down everything once more.

    Parameters
    ----------
    lr : float or schedule
        Learning rate > 0.
    lr_decay : float, >= 0
    weight_decay : float, >= 0
    initial_accumulator_value : float, >= 0
    eps : float, > 0
    clip_value, clip_norm, decay_bias_and_norm
        See :class:`Rule`.

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> import numpy as np
    >>> params = {"w": np.ones(2)}
    >>> Adagrad(lr=0.5).update(params, {"w": np.asarray([3.0, -0.01])})
    >>> params["w"].round(6).tolist()
    [0.5, 1.5]
    """

    elementwise = True

    def __init__(
        self,
        lr: LearningRate = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        *,
        clip_value: float | None = None,
        clip_norm: float | None = None,
        decay_bias_and_norm: bool = True,
    ) -> None:
        super().__init__(lr, weight_decay, clip_value, clip_norm, decay_bias_and_norm)
        self.lr_decay = number(self, "lr_decay", lr_decay, least=0)
        value = initial_accumulator_value
        self.initial_accumulator_value = number(self, "initial_accumulator_value", value, least=0)
        self.eps = number(self, "eps", eps, above=0)

    def init_state(self, p: Array) -> dict[str, Array]:
        return {"step": step_slot(p), "sum": array_namespace(p).full_like(p, self.initial_accumulator_value)}

    def apply(self, p: Array, g: Array, state: dict[str, Array], lr: float) -> None:
        xp, g = array_namespace(p), self.with_decay(p, g)
        step, s = state["step"], state["sum"]
        s += g * g
        p -= lr / (1.0 + step * self.lr_decay) * (g / (xp.sqrt(s) + self.eps))
        step += 1.0
