"""Random weights whose variance goes by their fans, so that signals keep their size from layer to layer."""

import math

from xpcnn.backend import Array, Key, normal, uniform

from .fan_in import fans

__all__ = [
    "he_normal",
    "he_uniform",
    "lecun_normal",
    "lecun_uniform",
    "torch_default",
    "xavier_normal",
    "xavier_uniform",
]


def xavier_uniform(shape: tuple[int, ...], key: Key) -> Array:
    """
    Uniform in ``[-b, b)``, ``b = sqrt(6 / (fan_in + fan_out))``.

    Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks", AISTATS 2010,
    eq. 16.

    Parameters
    ----------
    shape : tuple of int
        See :func:`fans`.
    key : Key

    Returns
    -------
    weight : float64 array on the host

    Raises
    ------
    ShapeError

    Examples
    --------
    >>> w = xavier_uniform((2, 4), Key(0))
    >>> w.shape, bool(abs(w).max() <= 1.0)
    ((2, 4), True)
    """
    return _symmetric(shape, key, math.sqrt(6.0 / sum(fans(shape))))


def xavier_normal(shape: tuple[int, ...], key: Key) -> Array:
    """
    Normal of variance ``2 / (fan_in + fan_out)``.

    Glorot and Bengio, AISTATS 2010, eq. 12, with the normal distribution in place of eq. 16's uniform one; see
    :func:`xavier_uniform`.

    Examples
    --------
    >>> xavier_normal((2, 4), Key(0)).shape
    (2, 4)
    """
    return math.sqrt(2.0 / sum(fans(shape))) * normal(shape, key)


def he_uniform(shape: tuple[int, ...], key: Key) -> Array:
    """
    Uniform in ``[-b, b)``, ``b = sqrt(6 / fan_in)``: the variance of :func:`he_normal`; see :func:`xavier_uniform`.

    Examples
    --------
    >>> he_uniform((8, 3, 5, 5), Key(0)).shape
    (8, 3, 5, 5)
    """
    return _symmetric(shape, key, math.sqrt(6.0 / fans(shape)[0]))


def he_normal(shape: tuple[int, ...], key: Key) -> Array:
    """
    Normal of variance ``2 / fan_in``; see :func:`xavier_uniform`.

    He, Zhang, Ren and Sun, "Delving deep into rectifiers: surpassing human-level performance on ImageNet
    classification", ICCV 2015, eq. 10.

    Examples
    --------
    >>> he_normal((8, 3, 5, 5), Key(0)).shape
    (8, 3, 5, 5)
    """
    return math.sqrt(2.0 / fans(shape)[0]) * normal(shape, key)


def torch_default(shape: tuple[int, ...], key: Key) -> Array:
    """
    Uniform in ``[-b, b)``, ``b = 1 / sqrt(fan_in)``: what PyTorch's Linear and Conv2d begin with.

    There it is written ``kaiming_uniform_(weight, a=sqrt(5))``, He's bound for a leaky ReLU of that slope
    (He et al., eq. 15), which comes to LeCun's old rule of variance ``1 / (3 * fan_in)``. See :func:`xavier_uniform`.

    Examples
    --------
    >>> bool(abs(torch_default((2, 4), Key(0))).max() <= 0.5)
    True
    """
    return _symmetric(shape, key, 1.0 / math.sqrt(fans(shape)[0]))


def lecun_uniform(shape: tuple[int, ...], key: Key) -> Array:
    """
    Uniform in ``[-b, b)``, ``b = sqrt(3 / fan_in)``: the variance of :func:`lecun_normal`; see :func:`xavier_uniform`.

    Examples
    --------
    >>> bool(abs(lecun_uniform((2, 3), Key(0))).max() <= 1.0)
    True
    """
    return _symmetric(shape, key, math.sqrt(3.0 / fans(shape)[0]))


def lecun_normal(shape: tuple[int, ...], key: Key) -> Array:
    """
    Normal of variance ``1 / fan_in``; see :func:`xavier_uniform`.

    LeCun, Bottou, Orr and Mueller, "Efficient backprop", 1998, eq. 16; what self-normalizing nets begin with
    (Klambauer et al., NeurIPS 2017). Not truncated, unlike in Keras.

    Examples
    --------
    >>> lecun_normal((8, 3, 5, 5), Key(0)).shape
    (8, 3, 5, 5)
    """
    return math.sqrt(1.0 / fans(shape)[0]) * normal(shape, key)


def _symmetric(shape: tuple[int, ...], key: Key, bound: float) -> Array:
    return bound * (2.0 * uniform(shape, key) - 1.0)
