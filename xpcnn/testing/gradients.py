"""Is a backward pass the derivative of the forward pass? Differences of the forward pass know."""

from collections.abc import Callable
from typing import Any

from xpcnn.backend import Array, Key, array_namespace, device_like, normal
from xpcnn.errors import ConfigError, DtypeError, XpcnnError
from xpcnn.layers import Layer, Loss
from xpcnn.layers.base import pair_of
from xpcnn.models import Container
from xpcnn.settings import shown

from .differences import EPSILON, Difference, described, measured, rounding
from .float64 import in_float64

__all__ = [
    "TOLERANCE",
    "GradientError",
    "check_gradients",
    "check_loss_gradients",
    "measure_gradients",
    "measure_loss_gradients",
]

TOLERANCE = 1e-7


class GradientError(XpcnnError, AssertionError):
    """A gradient is wrong; the text says of which array, and by how much."""


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

    with in_float64(layer, home):
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
        noise = rounding(float(xp.sum(xp.abs(dy) * xp.abs(y))), epsilon)

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
            found.append(measured(name, xs[i], dxs[i], of_input(i), directions, epsilon, noise / tolerance, key))
        for name, value in learned.items():
            loss = of_param(name)
            found.append(measured(name, value, grads[name], loss, directions, epsilon, noise / tolerance, key))
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
    noise = rounding(float(xp.sum(xp.abs(value))), epsilon)

    def of(z: Array) -> float:
        return float(xp.sum(loss.weighted(z, target, sample_weight)[0]))  # with the reduction "none" there are many

    return [measured("prediction", prediction, gradient, of, directions, epsilon, noise / tolerance, key)]


def _judged(who: str, found: list[Difference], tolerance: float) -> dict[str, float]:
    """The errors by array; raises about the first array with a larger one than is tolerated."""
    wrong = [one for one in found if not one.error <= tolerance]
    if wrong:
        text = f"{who}: {described(wrong[0], tolerance)}"
        others = ", ".join(one.array for one in wrong[1:])
        message = f"{text}; wrong too: {others}" if others else text
        raise GradientError(message)
    return {one.array: one.error for one in found}


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
