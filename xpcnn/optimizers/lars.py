"""LARS: SGD whose steps have, in each array, the same size relative to it."""

from typing import final

from xpcnn.backend import Array, array_namespace
from xpcnn.settings import flag, number

from .base import Rule
from .schedules import LearningRate
from .sgd import checked_nesterov, momentum_step

__all__ = ["LARS"]


@final
class LARS(Rule):
    """
    Layer-wise adaptive rate scaling, for very large batches.

    With gradient ``g`` and the Euclidean norms of whole arrays, ``|p|`` and ``|g|``::

        ratio = trust_coeff * |p| / (|g| + weight_decay * |p| + eps)            (1 where |p| or |g| is 0)
        g <- ratio * (g + weight_decay * p)
        v <- momentum * v + (1 - dampening) * g     (v <- g at the first step)
        p <- p - lr * v                             (nesterov: p <- p - lr * (g + momentum * v))

    You, Gitman and Ginsburg, "Large batch training of convolutional networks", 2017, algorithm 1 and eq. 6. As in
    :class:`SGD` the learning rate multiplies the sum of gradients, where the paper sums steps; with a constant learning
    rate that is the same. Biases and the scales of norms (fewer than two axes) are left to plain SGD unless
    `adapt_bias_and_norm`: they start at zero, where a step in proportion to their size would hold them, and this is
    what users of LARS do since. PyTorch has no LARS; the other names are those of timm.

    Parameters
    ----------
    lr : float or schedule
        Learning rate > 0; that of SGD is too small.
    momentum : float, >= 0
    dampening : float, 0 to 1
    weight_decay : float, >= 0
    nesterov : bool
        Needs momentum and no dampening.
    trust_coeff : float, > 0
        Size of a step relative to that of its array, at a learning rate of 1.
    eps : float, > 0
    adapt_bias_and_norm : bool
    clip_value, clip_norm, decay_bias_and_norm
        See :class:`Rule`.

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> import numpy as np
    >>> for size in (1.0, 1e6):
    ...     params = {"w": np.full((2, 2), 3.0)}
    ...     LARS(lr=10.0, trust_coeff=0.01).update(params, {"w": np.full((2, 2), size)})
    ...     print(params["w"].round(6).tolist())
    [[2.7, 2.7], [2.7, 2.7]]
    [[2.7, 2.7], [2.7, 2.7]]
    """

    def __init__(
        self,
        lr: LearningRate = 1.0,
        momentum: float = 0.9,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        trust_coeff: float = 1e-3,
        eps: float = 1e-8,
        *,
        adapt_bias_and_norm: bool = False,
        clip_value: float | None = None,
        clip_norm: float | None = None,
        decay_bias_and_norm: bool = True,
    ) -> None:
        super().__init__(lr, weight_decay, clip_value, clip_norm, decay_bias_and_norm)
        self.momentum = number(self, "momentum", momentum, least=0)
        self.dampening = number(self, "dampening", dampening, least=0, most=1)
        self.nesterov = checked_nesterov(self, nesterov)
        self.trust_coeff = number(self, "trust_coeff", trust_coeff, above=0)
        self.eps = number(self, "eps", eps, above=0)
        self.adapt_bias_and_norm = flag(self, "adapt_bias_and_norm", adapt_bias_and_norm)

    def init_state(self, p: Array) -> dict[str, Array]:
        return {}  # as in SGD

    def apply(self, p: Array, g: Array, state: dict[str, Array], lr: float) -> None:
        ratio = self._ratio(p, g) if self.adapt_bias_and_norm or p.ndim >= 2 else None
        g = self.with_decay(p, g)
        p -= lr * momentum_step(self, p, g if ratio is None else ratio * g, state)

    def _ratio(self, p: Array, g: Array) -> Array:
        xp = array_namespace(p)
        size_p, size_g = xp.sqrt(xp.sum(p * p)), xp.sqrt(xp.sum(g * g))
        ratio = self.trust_coeff * size_p / (size_g + self.decay_of(p) * size_p + self.eps)
        both = xp.asarray(xp.logical_and(size_p > 0.0, size_g > 0.0))
        both = xp.astype(both, p.dtype)
        return both * ratio + (1.0 - both)
