"""Random weights that are matrices of a kind: orthogonal ones."""

import math

from xpcnn.backend import Array, Key, array_namespace, normal

from .fan_in import fans

__all__ = ["orthogonal"]


def orthogonal(shape: tuple[int, ...], key: Key, gain: float = 1.0) -> Array:
    """
    `gain` times a random matrix with orthonormal rows, or columns where there are fewer of them.

    A weight (O, C, kh, kw) counts as the matrix ``W`` of O rows and ``C * kh * kw`` columns: ``W @ W.T = gain**2 * I``
    if it is wide, ``W.T @ W = gain**2 * I`` if it is tall. ``W`` is the Q of the QR decomposition of a normal matrix,
    each column with the sign of R's diagonal entry, which makes it uniform over all orthogonal matrices (Mezzadri, "How
    to generate random matrices from the classical compact groups", 2007, section 5). Saxe, McClelland and Ganguli,
    "Exact solutions to the nonlinear dynamics of learning in deep linear neural networks", ICLR 2014;
    ``torch.nn.init.orthogonal_``.

    Parameters
    ----------
    shape : tuple of int
        See :func:`fans`.
    key : Key
    gain : float
        ``sqrt(2)`` makes up for ReLU.

    Raises
    ------
    ShapeError

    Examples
    --------
    >>> w = orthogonal((2, 3), Key(0))
    >>> (w @ w.T).round(12).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    fans(shape)
    rows, columns = shape[0], math.prod(shape[1:])
    w = normal((max(rows, columns), min(rows, columns)), key)
    xp = array_namespace(w)
    q, r = xp.linalg.qr(w)
    diagonal = xp.linalg.diagonal(r)
    q = q * xp.where(diagonal < 0.0, -gain, gain)
    return xp.reshape(q if rows >= columns else q.T, shape)
