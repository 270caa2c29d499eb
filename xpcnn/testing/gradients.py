"""
Is a backward pass the derivative of the forward pass? Differences of the forward pass know.

One array is looked at at a time, since a large one would hide a small one's error, and in several random directions,
since an error can be orthogonal to one.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from xpcnn.backend import Array, Device, Key, array_namespace, device_like, normal
from xpcnn.errors import ConfigError, DtypeError, XpcnnError
from xpcnn.layers import Layer, Loss
from xpcnn.layers.base import pair_of
from xpcnn.models import Container
from xpcnn.settings import shown

__all__ = [
    "TOLERANCE",
    "Difference",
    "GradientError",
    "adjoint_error",
    "check_gradients",
    "check_loss_gradients",
    "measure_gradients",
    "measure_loss_gradients",
]

TOLERANCE, EPSILON = 1e-7, 1e-6
ROUNDING = 2e-15  # of a loss, as a share of the sum of its terms' sizes


class GradientError(XpcnnError, AssertionError):
    """A gradient is wrong; the text says of which array, and by how much."""


@dataclass(frozen=True)
class Difference:
    """How far the gradient of one array is from differences, along the direction where it is farthest."""

    array: str
    shape: tuple[int, ...]
    direction: int
    got: float
    expected: float
    error: float  # infinity where something is no number


def check_gradients(
    layer: Layer,
    x: Any,
    *,
    directions: int = 3,
    tolerance: float = TOLERANCE,
    epsilon: float = EPSILON,
    key: Key | None = None,
) -> dict[str, float]:
    """
    Compare a layer's gradients with central differences, in float64.

    Parameters
    ----------
    layer : Layer
        Its parameters may be float32: they are checked as float64, and are the same objects afterwards.
    x : array of float64, shape (N, ...)
        Away from kinks and ties: a ReLU has no derivative at 0. Of any library; the parameters must live there too.
        A tuple of arrays for a layer that merges several.
    directions : int
        Random directions for each array.
    tolerance : float
        Largest error, as a share of ``sum |g * d|`` over the entries of gradient g and direction d.
    epsilon : float
        Step of the differences. 1e-6 balances rounding and curvature for numbers around 1.
    key : Key, optional
        Where directions are drawn from, and what a random layer (dropout) is given at each call.

    Returns
    -------
    errors : dict of str to float
        Largest error of each array, x and the parameters by name: all at most `tolerance`.

    Raises
    ------
    GradientError
        If a gradient is wrong or missing, or has another name, shape or dtype than its parameter. It is an
        `AssertionError`, too.
    DtypeError
        If `x` is not float64.
    ConfigError
        If `layer` is no layer but, say, its class, or a setting is out of range.

    Notes
    -----
    For a random dy the loss is ``L = <dy, forward(x)>``, and for each array a and direction d ::

        <da, d>  must equal  (L(a + e d) - L(a - e d)) / (2 e)

    Rounding in L makes noise of about ``n = 2e-15 (1 + <|dy|, |y|>) / e``, which is granted on top of the tolerance t.
    The error is the distance of both sides as a share of ``sum |g * d| + n / t``, so that t is its bar.

    Examples
    --------
    >>> import numpy as np
    >>> from xpcnn.layers import Linear
    >>> errors = check_gradients(Linear(3, 2), np.asarray([[1.0, 2.0, 3.0]]))
    >>> list(errors), max(errors.values()) < 1e-7
    (['x', 'weight', 'bias'], True)

    >>> class Wrong(Layer):
    ...     def forward(self, x, *, train=False):
    ...         return x * x, self.keep(x, x) if train else None
    ...     def backward(self, dy, cache):
    ...         (x,) = self.recall(dy, cache)
    ...         return dy * x, {}
    >>> check_gradients(Wrong(), np.asarray([[1.0, 2.0]]))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    xpcnn.testing.gradients.GradientError: Wrong: gradient of x, shape (1, 2): ...
    """
    found = measure_gradients(layer, x, directions=directions, tolerance=tolerance, epsilon=epsilon, key=key)
    return _judged(type(layer).__name__, found, tolerance)


def check_loss_gradients(
    loss: Loss,
    prediction: Array,
    target: Array,
    *,
    sample_weight: Array | None = None,
    directions: int = 3,
    tolerance: float = TOLERANCE,
    epsilon: float = EPSILON,
    key: Key | None = None,
) -> dict[str, float]:
    """
    Compare a loss' gradient with central differences, in float64; see :func:`check_gradients`.

    Parameters
    ----------
    loss : Loss
    prediction : array of float64
    target : array
        What the loss takes.
    sample_weight : array of float64, shape (N,), optional
        Check the loss with weights of samples.
    directions, tolerance, epsilon, key
        As in :func:`check_gradients`.

    Returns
    -------
    errors : dict of str to float

    Raises
    ------
    GradientError, DtypeError

    Examples
    --------
    >>> import numpy as np
    >>> from xpcnn.layers import SoftmaxCrossEntropy
    >>> errors = check_loss_gradients(SoftmaxCrossEntropy(), np.asarray([[1.0, 2.0, 3.0]]), np.asarray([1]))
    >>> errors["prediction"] < 1e-7
    True
    """
    found = measure_loss_gradients(
        loss, prediction, target, sample_weight=sample_weight,
        directions=directions, tolerance=tolerance, epsilon=epsilon, key=key,
    )  # fmt: skip
    return _judged(type(loss).__name__, found, tolerance)


def measure_gradients(
    layer: Layer,
    x: Any,
    *,
    directions: int = 3,
    tolerance: float = TOLERANCE,
    epsilon: float = EPSILON,
    key: Key | None = None,
) -> list[Difference]:
    """What :func:`check_gradients` judges: all arrays, those with wrong gradients too."""
    if not isinstance(layer, Layer):
        message = f"check_gradients: expected a layer such as Linear(3, 2), got {shown(layer)}"
        raise ConfigError(message)
    who = type(layer).__name__
    several = isinstance(x, (tuple, list))
    xs = tuple(x) if several else (x,)
    names = [f"x[{i}]" for i in range(len(xs))] if several else ["x"]
    for a in xs:
        _check_settings(who, a, directions, tolerance, epsilon)
    xp, home, key = array_namespace(*xs), device_like(xs[0]), key or Key(0, "check_gradients")
    options: dict[str, Any] = {"key": key.child("layer")} if layer.random else {}

    with _in_float64(layer, home):
        y, cache = pair_of(layer, "forward", layer.forward(x, train=True, **options))
        dy = home.asarray(normal(tuple(y.shape), key.child("dy")))
        dx, grads = pair_of(layer, "backward", layer.backward(dy, cache))
        learned = dict(layer.trainable if isinstance(layer, Container) else layer.params)
        if set(grads) != set(learned):
            message = f"{who}: expected gradients of {sorted(learned)}, got {sorted(grads)}"
            raise GradientError(message)
        dxs = tuple(dx) if several and isinstance(dx, (tuple, list)) else (dx,)
        if len(dxs) != len(xs):
            message = f"{who}: expected a tuple of {len(xs)} gradients of x, got {len(dxs)}"
            raise GradientError(message)
        for name, value, gradient in zip(names, xs, dxs, strict=True):
            _check_kind(who, name, value, gradient)
        for name, value in learned.items():
            _check_kind(who, name, value, grads[name])
        # E|y| as rounding sees it: sums may cancel, the noise does not
        noise = ROUNDING * (1.0 + float(xp.sum(xp.abs(dy) * xp.abs(y)))) / epsilon

        def value_at(inputs: tuple[Array, ...]) -> float:
            return float(xp.sum(layer.forward(inputs if several else inputs[0], train=True, **options)[0] * dy))

        def of_input(i: int) -> Callable[[Array], float]:
            return lambda value: value_at((*xs[:i], value, *xs[i + 1 :]))

        def of_param(name: str) -> Callable[[Array], float]:
            def loss(value: Array) -> float:
                layer.params[name] = value
                return value_at(xs)

            return loss

        found = []
        for i, name in enumerate(names):
            found.append(_measured(name, xs[i], dxs[i], of_input(i), directions, epsilon, noise / tolerance, key))
        for name, value in learned.items():
            loss = of_param(name)
            found.append(_measured(name, value, grads[name], loss, directions, epsilon, noise / tolerance, key))
            layer.params[name] = value
        return found


def measure_loss_gradients(
    loss: Loss,
    prediction: Array,
    target: Array,
    *,
    sample_weight: Array | None = None,
    directions: int = 3,
    tolerance: float = TOLERANCE,
    epsilon: float = EPSILON,
    key: Key | None = None,
) -> list[Difference]:
    """What :func:`check_loss_gradients` judges."""
    who, key = type(loss).__name__, key or Key(0, "check_loss_gradients")
    _check_settings(who, prediction, directions, tolerance, epsilon)
    value, gradient = loss.weighted(prediction, target, sample_weight)
    _check_kind(who, "prediction", prediction, gradient)
    xp = array_namespace(prediction)
    noise = ROUNDING * (1.0 + float(xp.sum(xp.abs(value)))) / epsilon

    def of(z: Array) -> float:
        return float(xp.sum(loss.weighted(z, target, sample_weight)[0]))  # with the reduction "none" there are many

    return [_measured("prediction", prediction, gradient, of, directions, epsilon, noise / tolerance, key)]


def adjoint_error(layer: Layer, x: Any, key: Key) -> float:
    """
    How far a layer's backward pass is from the adjoint of its forward pass A, for a layer that is linear in x.

    ``<A x, dy> == <x, A' dy>`` up to rounding, whatever x and dy are. What the layer adds to A x, such as a bias, is
    its output for zeros. The error is a share of the sum of the terms' sizes on both sides.
    """
    several = isinstance(x, (tuple, list))
    xs = tuple(x) if several else (x,)
    xp, home = array_namespace(*xs), device_like(xs[0])
    options: dict[str, Any] = {"key": key.child("layer")} if layer.random else {}
    with _in_float64(layer, home):
        zeros = tuple(xp.zeros_like(a) for a in xs)
        y, cache = layer.forward(x, train=True, **options)
        y = y - layer.forward(zeros if several else zeros[0], train=True, **options)[0]
        dy = home.asarray(normal(tuple(y.shape), key.child("dy")))
        dx, _ = layer.backward(dy, cache)
        left, right = [y * dy], [a * da for a, da in zip(xs, dx if several else (dx,), strict=True)]
        size = sum(float(xp.sum(xp.abs(terms))) for terms in (*left, *right))
        gap = sum(float(xp.sum(terms)) for terms in left) - sum(float(xp.sum(terms)) for terms in right)
        return _finite(abs(gap) / max(size, 1e-300))


def _judged(who: str, found: list[Difference], tolerance: float) -> dict[str, float]:
    """The errors by array; raises about the first array with a larger one than is tolerated."""
    wrong = [one for one in found if not one.error <= tolerance]
    if wrong:
        text = f"{who}: {described(wrong[0], tolerance)}"
        others = ", ".join(one.array for one in wrong[1:])
        message = f"{text}; wrong too: {others}" if others else text
        raise GradientError(message)
    return {one.array: one.error for one in found}


def described(one: Difference, tolerance: float) -> str:
    """A wrong gradient, in words."""
    return (
        f"gradient of {one.array}, shape {one.shape}: along random direction {one.direction} "
        f"it gives {one.got:.9g}, differences give {one.expected:.9g}: "
        f"off by {one.error:.2g} of sum |g * d|, expected at most {tolerance:.2g}"
    )


def _measured(
    name: str,
    value: Array,
    gradient: Array,
    loss: Callable[[Array], float],
    directions: int,
    epsilon: float,
    floor: float,
    key: Key,
) -> Difference:
    """Compare the gradient of one array with differences of the loss; the worst direction."""
    xp, home = array_namespace(value), device_like(value)
    found = []
    for i in range(directions):
        d = home.asarray(normal(tuple(value.shape), key.child(f"{name}/{i}")))
        expected = (loss(value + d * epsilon) - loss(value - d * epsilon)) / (2.0 * epsilon)
        got, scale = float(xp.sum(gradient * d)), float(xp.sum(xp.abs(gradient * d)))
        error = _finite(abs(got - expected) / (scale + floor))
        found.append(Difference(name, tuple(value.shape), i, got, expected, error))
    return max(found, key=lambda one: one.error)


def _finite(error: float) -> float:
    """NaN would compare as small."""
    return math.inf if math.isnan(error) else error


def _check_kind(who: str, name: str, value: Array, gradient: Array) -> None:
    home = device_like(value)
    if not home.owns(gradient) or gradient.dtype != value.dtype or tuple(gradient.shape) != tuple(value.shape):
        dtype, shape = getattr(gradient, "dtype", None), getattr(gradient, "shape", None)
        message = (
            f"{who}: gradient of {name}: expected {value.dtype} of shape {tuple(value.shape)} on {home}, "
            f"got {type(gradient).__module__}.{type(gradient).__qualname__}, {dtype} of shape {shape}"
        )
        raise GradientError(message)


def _check_settings(who: str, x: Array, directions: int, tolerance: float, epsilon: float) -> None:
    xp = array_namespace(x)
    if x.dtype != xp.float64:
        message = f"{who}: expected float64 to check gradients with, got {x.dtype}: differences need the digits"
        raise DtypeError(message)
    if directions < 1 or not tolerance > 0.0 or not epsilon > 0.0:
        message = f"{who}: expected directions, tolerance and epsilon > 0, got {directions}, {tolerance}, {epsilon}"
        raise ConfigError(message)


@contextmanager
def _in_float64(layer: Layer, home: Device) -> Iterator[None]:
    """Let a layer hold float64, and give it back its own arrays at the end."""
    # not through a model's flat dicts, which keep to the model's dtype
    leaves = [leaf for _, leaf in layer.leaves()] if isinstance(layer, Container) else [layer]
    kept = [(arrays, dict(arrays)) for leaf in leaves for arrays in (leaf.params, leaf.buffers)]
    try:
        for arrays, own in kept:
            for name, a in own.items():
                if array_namespace(a).isdtype(a.dtype, "real floating"):
                    arrays[name] = home.asarray(a, "float64")
        yield
    finally:
        for arrays, own in kept:
            arrays.update(own)
