"""
Initial weights: the distributions of Glorot, He and LeCun, orthogonal matrices, and constants.

The first three choose the variance of the weights so that signals keep their size from layer to layer: Glorot and
Bengio for the mean of the two directions and a linear activation, He et al. for the forward direction and ReLU, which
throws half of the variance away, LeCun et al. for the forward direction and an activation of slope 1 (SELU wants it).
A weight of shape ``(out, in)`` sums over ``fan_in = in`` inputs and feeds ``fan_out = out`` outputs; one of shape
``(O, C/groups, kh, kw)`` sums over ``fan_in = C/groups * kh * kw``, and is counted with ``fan_out = O * kh * kw`` as in
PyTorch.

Each is a function ``(shape, key) -> array``, float64 and drawn on the host, so that the numbers are the same for every
device and dtype. By name, a value follows a colon: ``"constant:0.5"``, ``"orthogonal:1.414"``. A name is text, so a
model file keeps it whole.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

from xpcnn.backend import Array, Key, array_namespace, filled, normal, uniform
from xpcnn.errors import ConfigError, ShapeError
from xpcnn.settings import like, number

__all__ = [
    "Initializer",
    "constant",
    "fans",
    "get",
    "he_normal",
    "he_uniform",
    "lecun_normal",
    "lecun_uniform",
    "ones",
    "orthogonal",
    "torch_default",
    "xavier_normal",
    "xavier_uniform",
    "zeros",
]

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


def get(initializer: str | Initializer) -> Initializer:
    """
    The initializer of a name; a function is passed through.

    Parameters
    ----------
    initializer : str or callable
        One of "xavier_uniform", "xavier_normal", "he_uniform", "he_normal", "lecun_uniform", "lecun_normal",
        "torch_default", "orthogonal", "orthogonal:GAIN", "constant:VALUE", "zeros", "ones", with a number where a word
        is in capitals. A callable takes ``(shape, key)``.

    Raises
    ------
    ConfigError
        If there is no such name, or its value is no finite number.

    Examples
    --------
    >>> get("he_normal") is he_normal
    True
    >>> get("constant:0.5")((2,), Key(0)).tolist()
    [0.5, 0.5]
    """
    if callable(initializer):
        return initializer
    name, colon, text = initializer.partition(":") if isinstance(initializer, str) else ("", "", "")
    if name in _NAMED and not colon:
        return _NAMED[name]
    if name in _VALUED:
        f, argument = _VALUED[name]
        return partial(f, **{argument: number(f"initializers.get, {initializer!r}", argument, _float(text))})
    names = ", ".join(repr(name) for name in (*_NAMED, "orthogonal:GAIN", "constant:VALUE"))
    message = f"initializers.get: expected a function (shape, key) or one of {names}, got {initializer!r}"
    ours = name.lower().replace("kaiming", "he").replace("glorot", "xavier")  # PyTorch's and Keras' names of the same
    raise ConfigError(message + like(ours, (*_NAMED, *_VALUED)))


def _float(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text  # which `number` then refuses


def _symmetric(shape: tuple[int, ...], key: Key, bound: float) -> Array:
    return bound * (2.0 * uniform(shape, key) - 1.0)


_NAMED: dict[str, Initializer] = {
    f.__name__: f
    for f in (
        xavier_uniform, xavier_normal, he_uniform, he_normal, lecun_uniform, lecun_normal, torch_default, orthogonal,
        zeros, ones,
    )
}  # fmt: skip

# name: function, and the argument that a number after the colon is for
_VALUED: dict[str, tuple[Callable[..., Array], str]] = {
    "orthogonal": (orthogonal, "gain"),
    "constant": (constant, "value"),
}
