"""Lion: the sign of a momentum."""

from typing import final

from xpcnn.backend import Array, array_namespace

from .base import Rule, checked_betas
from .schedules import LearningRate

__all__ = ["Lion"]


@final
class Lion(Rule):
    """
    Lion.

    With gradient ``g``::

        c = beta1 * m + (1 - beta1) * g
        p <- p - lr * (sign(c) + weight_decay * p)
        m <- beta2 * m + (1 - beta2) * g

    Chen et al., "Symbolic discovery of optimization algorithms", NeurIPS 2023, algorithm 2, with decoupled weight
    decay and without bias correction. Every entry moves by `lr` at each step, whatever its gradient: take a learning
    rate 3 to 10 times smaller than Adam's, and a weight decay as many times larger (section 5 there). PyTorch has no
    Lion; names and defaults are those of the authors' code.

    Parameters
    ----------
    lr : float or schedule
        Learning rate > 0.
    betas : (float, float), 0 to below 1
    weight_decay : float, >= 0
    clip_value, clip_norm, decay_bias_and_norm
        See :class:`Rule`.

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> import numpy as np
    >>> params = {"w": np.ones(3)}
    >>> Lion(lr=0.25).update(params, {"w": np.asarray([3.0, -0.01, 0.0])})
    >>> params["w"].tolist()
    [0.75, 1.25, 1.0]
    """

    elementwise = True

    def __init__(
        self,
        lr: LearningRate = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        *,
        clip_value: float | None = None,
        clip_norm: float | None = None,
        decay_bias_and_norm: bool = True,
    ) -> None:
        super().__init__(lr, weight_decay, clip_value, clip_norm, decay_bias_and_norm)
        self.betas = checked_betas(self, betas)

    def init_state(self, p: Array) -> dict[str, Array]:
        return {"exp_avg": array_namespace(p).zeros_like(p)}

    def apply(self, p: Array, g: Array, state: dict[str, Array], lr: float) -> None:
        (beta1, beta2), m = self.betas, state["exp_avg"]
        self.shrink(p, lr)
        p -= lr * array_namespace(p).sign(beta1 * m + (1.0 - beta1) * g)
        m *= beta2
        m += (1.0 - beta2) * g
