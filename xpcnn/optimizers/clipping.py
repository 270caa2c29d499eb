"""Gradient clipping: each entry, then all gradients by their common norm."""

from typing import Any

from xpcnn.backend import Array, array_namespace
from xpcnn.settings import number

__all__ = ["checked_limit", "clipped"]


def checked_limit(who: object, name: str, limit: Any) -> float | None:
    """A limit of clipping: None, or a Python float > 0; ConfigError otherwise."""
    return None if limit is None else number(who, name, limit, above=0)


def clipped(grads: dict[str, Array], clip_value: float | None, clip_norm: float | None) -> dict[str, Array]:
    """
    Gradients within limits, as new arrays; `grads` itself where there is no limit.

    Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks", ICML 2013, algorithm 1, in
    the form of ``torch.nn.utils.clip_grad_norm_``: ``g * min(1, clip_norm / (norm + 1e-6))`` with the norm over all.

    Parameters
    ----------
    grads : dict of arrays
    clip_value : float, > 0, or None
        Limit for the size of each entry; applied first.
    clip_norm : float, > 0, or None
        Limit for the Euclidean norm of everything together.
    """
    if not grads:
        return grads
    xp = array_namespace(next(iter(grads.values())))  # whose asarray below is for NumPy, which has scalars
    # minimum and maximum rather than clip: array_api_compat's clip for CuPy masks, and so waits for the device
    if clip_value is not None:
        grads = {name: xp.asarray(xp.minimum(xp.maximum(g, -clip_value), clip_value)) for name, g in grads.items()}
    if clip_norm is not None:
        norm = xp.sqrt(sum(xp.sum(g * g) for g in grads.values()))
        scale = xp.asarray(xp.minimum(clip_norm / (norm + 1e-6), 1.0))
        grads = {name: xp.asarray(g * xp.astype(scale, g.dtype, copy=False)) for name, g in grads.items()}
    return grads
