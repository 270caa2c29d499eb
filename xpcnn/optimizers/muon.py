"""Muon: momentum, made orthogonal."""

import math
from collections.abc import Sequence
from typing import final

from xpcnn.backend import Array, array_namespace
from xpcnn.errors import ConfigError, ShapeError
from xpcnn.settings import count, flag, number

from .base import Rule
from .checks import wrong
from .schedules import LearningRate

__all__ = ["Muon"]


@final
class Muon(Rule):
    """
    Muon: momentum, orthogonalized by Newton and Schulz, for matrices.

    With gradient ``g`` as a matrix of ``a`` rows and ``b`` columns::

        v <- momentum * v + (1 - momentum) * g
        u  = v                                      (nesterov: u = momentum * v + (1 - momentum) * g)
        x  = u / max(|u|, eps), and ns_steps times
        x <- A * x + (B * s + C * s @ s) @ x        where s = x @ x.T and (A, B, C) = ns_coefficients
        p <- p - lr * weight_decay * p
        p <- p - lr * scale * x

    For ``u = U S V.T`` the iteration keeps ``U`` and ``V`` and brings all singular values near 1, so that `x` is about
    ``U V.T``: each direction of the matrix moves as far as every other. The defaults' polynomial is made for speed; it
    leaves the singular values between 0.7 and 1.2. `scale` is ``sqrt(max(1, a / b))`` for "original" and
    ``0.2 * sqrt(max(a, b))``, with which Adam's learning rate and weight decay can stay, for "match_rms_adamw".

    Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024; "match_rms_adamw" is that of Liu et
    al., "Muon is scalable for LLM training", 2025, section 2.2. PyTorch's ``torch.optim.Muon``, but computed in the
    parameters' own dtype (there in bfloat16), and also for more than two axes: those of a convolution, (O, C, kh, kw),
    count as the matrix (O, C * kh * kw), as in the author's code. Biases and the scales of norms are no matrices, and
    refused: give them to another rule, as ``optimizers.get("muon")`` does::

        ParamGroups({"ndim>=2": Muon(adjust_lr_fn="match_rms_adamw")}, rest=AdamW())

    Parameters
    ----------
    lr : float or schedule
        Learning rate > 0.
    weight_decay : float, >= 0
    momentum : float, 0 to below 1
    nesterov : bool
    ns_coefficients : three floats
    eps : float, > 0
        Least norm to divide by.
    ns_steps : int, 1 to 99
    adjust_lr_fn : {"original", "match_rms_adamw"}, optional
        None is "original".
    clip_value, clip_norm, decay_bias_and_norm
        See :class:`Rule`.

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> import numpy as np
    >>> params = {"w": np.zeros((2, 2))}
    >>> Muon(lr=1.0).update(params, {"w": np.asarray([[0.0, 5.0], [-0.1, 0.0]])})
    >>> bool(abs(abs(params["w"]) - [[0, 1], [1, 0]]).max() < 0.35)
    True
    """

    def __init__(
        self,
        lr: LearningRate = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: Sequence[float] = (3.4445, -4.7750, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
        *,
        clip_value: float | None = None,
        clip_norm: float | None = None,
        decay_bias_and_norm: bool = True,
    ) -> None:
        super().__init__(lr, weight_decay, clip_value, clip_norm, decay_bias_and_norm)
        self.momentum = number(self, "momentum", momentum, least=0, below=1)
        self.nesterov = flag(self, "nesterov", nesterov)
        if not isinstance(ns_coefficients, (tuple, list)) or len(ns_coefficients) != 3:
            message = f"Muon: expected ns_coefficients to be three numbers, got {ns_coefficients!r}"
            raise ConfigError(message)
        self.ns_coefficients = tuple(number(self, f"ns_coefficients[{i}]", c) for i, c in enumerate(ns_coefficients))
        self.eps = number(self, "eps", eps, above=0)
        self.ns_steps = count(self, "ns_steps", ns_steps, 1, 99)
        if adjust_lr_fn not in (None, "original", "match_rms_adamw"):
            message = f"Muon: expected adjust_lr_fn to be None, 'original' or 'match_rms_adamw', got {adjust_lr_fn!r}"
            raise ConfigError(message)
        self.adjust_lr_fn = adjust_lr_fn

    def check_parameter(self, name: str, p: Array) -> None:
        super().check_parameter(name, p)
        if p.ndim < 2:
            mend = 'give it to another rule, ParamGroups({"ndim>=2": Muon(...)}, rest=AdamW(...))'
            raise wrong(self, ShapeError, f"parameter {name!r} of at least two axes", f"shape {tuple(p.shape)}", mend)

    def init_state(self, p: Array) -> dict[str, Array]:
        return {"momentum_buffer": array_namespace(p).zeros_like(p)}

    def apply(self, p: Array, g: Array, state: dict[str, Array], lr: float) -> None:
        xp, v = array_namespace(p), state["momentum_buffer"]
        v *= self.momentum
        v += (1.0 - self.momentum) * g
        u = self.momentum * v + (1.0 - self.momentum) * g if self.nesterov else v
        rows, columns = p.shape[0], math.prod(p.shape[1:])
        x = self._orthogonalized(xp.reshape(u, (rows, columns)))
        scale = math.sqrt(max(1.0, rows / columns))
        if self.adjust_lr_fn == "match_rms_adamw":
            scale = 0.2 * math.sqrt(max(rows, columns))
        self.shrink(p, lr)
        p -= lr * scale * xp.reshape(x, p.shape)

    def _orthogonalized(self, u: Array) -> Array:
        xp, (a, b, c) = array_namespace(u), self.ns_coefficients
        tall = u.shape[0] > u.shape[1]
        x = xp.matrix_transpose(u) if tall else u  # the product below is then the smaller one
        x = x / xp.maximum(xp.sqrt(xp.sum(x * x)), self.eps)
        for _ in range(self.ns_steps):
            s = x @ xp.matrix_transpose(x)
            x = a * x + (b * s + c * (s @ s)) @ x
        return xp.matrix_transpose(x) if tall else x
