"""
Initial weights: Glorot's and He's distributions.

Both choose the variance of the weights so that signals keep their size from layer to layer: Glorot and Bengio for the
mean of the two directions and a linear activation, He et al. for the forward direction and ReLU, which throws half of
the variance away. A weight of shape ``(out, in)`` sums over ``fan_in = in`` inputs and feeds ``fan_out = out`` outputs;
one of shape ``(O, C/groups, kh, kw)`` sums over ``fan_in = C/groups * kh * kw``, and is counted with
``fan_out = O * kh * kw`` as in PyTorch.

Each is a function ``(shape, key) -> array``, float64 and drawn on the host, so that the numbers are the same for every
device and dtype.
"""

import math
from collections.abc import Callable
from typing import TypeAlias

from xpcnn.backend import Array, Key, normal, uniform
from xpcnn.errors import ConfigError, ShapeError

__all__ = ["Initializer", "fans", "get", "he_normal", "he_uniform", "torch_default", "xavier_normal", "xavier_uniform"]

Initializer: TypeAlias = Callable[[tuple[int, ...], Key], Array]


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """
    Fan-in and fan-out of a weight.

    Parameters
    ----------
    shape : tuple of int
        ``(out, in)`` or ``(O, C/groups, kh, kw)``.

    Raises
    ------
    ShapeError
        If there are fewer than two axes, or one is empty.

    Examples
    --------
    >>> fans((10, 120)), fans((32, 16, 5, 5))
    ((120, 10), (400, 800))
    """
    if len(shape) < 2 or min(shape) < 1:
        message = f"initializers: expected a weight of shape (out, in) or (O, C, kh, kw), none of them 0, got {shape}"
        raise ShapeError(message)
    window = math.prod(shape[2:])
    return shape[1] * window, shape[0] * window


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


def get(initializer: str | Initializer) -> Initializer:
    """
    The initializer of a name; a function is passed through.

    Parameters
    ----------
    initializer : {"xavier_uniform", "xavier_normal", "he_uniform", "he_normal", "torch_default"} or callable
        A callable takes ``(shape, key)``.

    Raises
    ------
    ConfigError
        If there is no such name.

    Examples
    --------
    >>> get("he_normal") is he_normal
    True
    """
    if callable(initializer):
        return initializer
    if isinstance(initializer, str) and initializer in _NAMED:
        return _NAMED[initializer]
    names = ", ".join(repr(name) for name in _NAMED)
    message = f"initializers.get: expected a function (shape, key) or one of {names}, got {initializer!r}"
    raise ConfigError(message)


def _symmetric(shape: tuple[int, ...], key: Key, bound: float) -> Array:
    return bound * (2.0 * uniform(shape, key) - 1.0)


_NAMED: dict[str, Initializer] = {
    f.__name__: f for f in (xavier_uniform, xavier_normal, he_uniform, he_normal, torch_default)
}
