"""Weights that are all the same."""

from xpcnn.backend import Array, Key, filled

__all__ = ["constant", "ones", "zeros"]


def constant(shape: tuple[int, ...], key: Key, value: float) -> Array:
    """
    One value everywhere; of any shape, unlike the others.

    By name ``"constant:0.5"``. Equal weights give equal gradients, so nothing but a bias or a last layer should.

    Examples
    --------
    >>> constant((3,), Key(0), 0.5).tolist()
    [0.5, 0.5, 0.5]
    """
    return filled(shape, value)


def zeros(shape: tuple[int, ...], key: Key) -> Array:
    """
    Zeros; see :func:`constant`.

    Examples
    --------
    >>> zeros((2,), Key(0)).tolist()
    [0.0, 0.0]
    """
    return filled(shape, 0.0)


def ones(shape: tuple[int, ...], key: Key) -> Array:
    """
    Ones; see :func:`constant`.

    Examples
    --------
    >>> ones((2,), Key(0)).tolist()
    [1.0, 1.0]
    """
    return filled(shape, 1.0)
