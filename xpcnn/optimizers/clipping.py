"""Gradient clipping: each entry, then all gradients by their common norm."""

from functools import partial
from typing import Any

from xpcnn.backend import Array, array_namespace, kernel, library
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
    limited = None if clip_value is None else partial(_limited, clip_value)
    scaled = None if clip_norm is None else partial(_scaled, clip_norm)
    if limited is None and scaled is None:
        return grads
    first = next(iter(grads.values()))
    fast = kernel("clipped", library(first))
    found = None if fast is None else fast(grads, limited, scaled)
    if found is not None:
        return found
    if limited is not None:
        grads = {name: limited(g) for name, g in grads.items()}
    if scaled is not None:
        xp = array_namespace(first)
        squares = xp.asarray(sum(xp.sum(g * g) for g in grads.values()))
        grads = {name: scaled(g, squares) for name, g in grads.items()}
    return grads


# asarray is for NumPy, whose operations on arrays of no axes give scalars
def _limited(limit: float, g: Array) -> Array:
    """Each entry within ``[-limit, limit]``."""
    xp = array_namespace(g)
    # minimum and maximum rather than clip: array_api_compat's clip for CuPy masks, and so waits for the device
    return xp.asarray(xp.minimum(xp.maximum(g, -limit), limit))


def _scaled(limit: float, g: Array, squares: Array) -> Array:
    """``g min(1, limit / (norm + 1e-6))``, given the squared norm of everything together."""
    xp = array_namespace(g)
    scale = xp.asarray(xp.minimum(limit / (xp.sqrt(squares) + 1e-6), 1.0))
    return xp.asarray(g * xp.astype(scale, g.dtype, copy=False))
