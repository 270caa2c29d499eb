"""
For people who write layers: are my gradients right, and are these arrays the same?

``check_gradients`` compares a layer's backward pass with differences of its forward pass. It looks at one array at a
time, since a large one would hide a small one's error, and in several random directions, since an error can be
orthogonal to one.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from xpcnn.backend import Array, Key, array_namespace, device_like, device_of, is_array, library, normal
from xpcnn.errors import ConfigError, DtypeError, XpcnnError
from xpcnn.layers import Layer, Loss
from xpcnn.models import Container

__all__ = ["GradientError", "assert_close", "check_gradients", "check_loss_gradients"]


class GradientError(XpcnnError, AssertionError):
    """A gradient is wrong; the text says of which array, and by how much."""


def check_gradients(
    layer: Layer,
    x: Array,
    *,
    directions: int = 3,
    tolerance: float = 1e-7,
    epsilon: float = 1e-6,
    key: Key | None = None,
) -> None:
    """
    Compare a layer's gradients with central differences, in float64.

    Parameters
    ----------
    layer : Layer
        Its parameters may be float32: they are checked as float64, and are the same objects afterwards.
    x : array of float64, shape (N, ...)
        Away from kinks and ties: a ReLU has no derivative at 0. Of any library; the parameters must live there too.
    directions : int
        Random directions for each array.
    tolerance : float
        Largest error, as a share of ``sum |g * d|`` over the entries of gradient g and direction d.
    epsilon : float
        Step of the differences. 1e-6 balances rounding and curvature for numbers around 1.
    key : Key, optional
        Where directions are drawn from, and what a random layer (dropout) is given at each call.

    Raises
    ------
    GradientError
        If a gradient is wrong or missing, or has another name, shape or dtype than its parameter. It is an
        `AssertionError`, too.
    DtypeError
        If `x` is not float64.

    Notes
    -----
    For a random dy the loss is ``L = <dy, forward(x)>``, and for each array a and direction d ::

        <da, d>  must equal  (L(a + e d) - L(a - e d)) / (2 e)

    Rounding in L leaves about ``1e-16 <|dy|, |y|> / e`` of noise, which is granted on top of the tolerance.

    Examples
    --------
    >>> import numpy as np
    >>> from xpcnn.layers import Linear
    >>> check_gradients(Linear(3, 2), np.asarray([[1.0, 2.0, 3.0]]))

    >>> class Wrong(Layer):
    ...     def forward(self, x, *, train=False):
    ...         return x * x, self.keep(x, x) if train else None
    ...     def backward(self, dy, cache):
    ...         (x,) = self.recall(dy, cache)
    ...         return dy * x, {}
    >>> check_gradients(Wrong(), np.asarray([[1.0, 2.0]]))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    xpcnn.testing.GradientError: Wrong: gradient of x, shape (1, 2): ...
    """
    who = type(layer).__name__
    _check_settings(who, x, directions, tolerance, epsilon)
    xp, home, key = array_namespace(x), device_like(x), key or Key(0, "check_gradients")
    options: dict[str, Any] = {"key": key.child("layer")} if layer.random else {}

    with _in_float64(layer, home):
        y, cache = layer.forward(x, train=True, **options)
        dy = home.asarray(normal(tuple(y.shape), key.child("dy")))
        dx, grads = layer.backward(dy, cache)
        learned = layer.trainable if isinstance(layer, Container) else layer.params
        if set(grads) != set(learned):
            message = f"{who}: expected gradients of {sorted(learned)}, got {sorted(grads)}"
            raise GradientError(message)
        # E|y| as rounding sees it: sums may cancel, the noise does not
        noise = 2e-15 * (1.0 + float(xp.sum(xp.abs(dy) * xp.abs(y)))) / epsilon

        def of_x(value: Array) -> float:
            return float(xp.sum(layer.forward(value, train=True, **options)[0] * dy))

        def of_param(name: str) -> Callable[[Array], float]:
            def loss(value: Array) -> float:
                layer.params[name] = value
                return of_x(x)

            return loss

        _check(who, "x", x, dx, of_x, directions, tolerance, epsilon, noise, key)
        for name, value in dict(learned).items():
            _check(who, name, value, grads[name], of_param(name), directions, tolerance, epsilon, noise, key)
            layer.params[name] = value


def check_loss_gradients(
    loss: Loss,
    prediction: Array,
    target: Array,
    *,
    directions: int = 3,
    tolerance: float = 1e-7,
    epsilon: float = 1e-6,
    key: Key | None = None,
) -> None:
    """
    Compare a loss' gradient with central differences, in float64; see :func:`check_gradients`.

    Parameters
    ----------
    loss : Loss
    prediction : array of float64
    target : array
        What the loss takes.
    directions, tolerance, epsilon, key
        As in :func:`check_gradients`.

    Raises
    ------
    GradientError, DtypeError

    Examples
    --------
    >>> import numpy as np
    >>> from xpcnn.layers import SoftmaxCrossEntropy
    >>> check_loss_gradients(SoftmaxCrossEntropy(), np.asarray([[1.0, 2.0, 3.0]]), np.asarray([1]))
    """
    who, key = type(loss).__name__, key or Key(0, "check_loss_gradients")
    _check_settings(who, prediction, directions, tolerance, epsilon)
    value, gradient = loss(prediction, target)
    xp = array_namespace(prediction)
    noise = 2e-15 * (1.0 + float(xp.sum(xp.abs(value)))) / epsilon

    def of(z: Array) -> float:
        return float(xp.sum(loss(z, target)[0]))  # with the reduction "none" there are many

    _check(who, "prediction", prediction, gradient, of, directions, tolerance, epsilon, noise, key)


def assert_close(actual: Array, desired: Array, *, rtol: float = 1e-7, atol: float = 0.0) -> None:
    """
    Demand that two arrays are the same: library, device, dtype, shape, then values.

    Parameters
    ----------
    actual, desired : arrays
    rtol, atol : float
        Largest difference is ``atol + rtol * |desired|``, entry by entry. NaN equals NaN.

    Raises
    ------
    AssertionError
        Naming the first thing that differs.

    Examples
    --------
    >>> import numpy as np
    >>> assert_close(np.asarray([1.0]), np.asarray([1.0 + 1e-9]))
    >>> assert_close(np.asarray([1.0]), np.asarray([1.0], dtype="float32"))
    Traceback (most recent call last):
        ...
    AssertionError: expected dtype float32, got float64
    """
    for a in (actual, desired):
        if not is_array(a):
            message = f"expected arrays, got {type(a).__module__}.{type(a).__qualname__}"
            raise AssertionError(message)
    things: tuple[tuple[str, Callable[[Array], Any]], ...] = (
        ("library", library),
        ("device", device_of),
        ("dtype", lambda a: a.dtype),
        ("shape", lambda a: tuple(a.shape)),
    )
    for name, of in things:
        if of(actual) != of(desired):
            message = f"expected {name} {of(desired)}, got {of(actual)}"
            raise AssertionError(message)
    xp = array_namespace(actual)
    equal = actual == desired
    if xp.isdtype(actual.dtype, "real floating"):
        equal = xp.logical_or(equal, xp.logical_and(actual != actual, desired != desired))
        # where both are the same infinity the difference would be NaN
        difference = xp.where(equal, xp.zeros_like(actual), actual) - xp.where(equal, xp.zeros_like(desired), desired)
        close = xp.abs(difference) <= atol + rtol * xp.abs(desired)
        equal = xp.logical_or(equal, xp.logical_and(close, xp.isfinite(desired)))
    wrong = math.prod(actual.shape) - int(xp.count_nonzero(equal))
    if wrong:
        message = f"{wrong} of {math.prod(actual.shape)} entries differ (rtol={rtol}, atol={atol})"
        if xp.isdtype(actual.dtype, "real floating"):
            message += f", by at most {float(xp.max(xp.abs(difference))):.3g}"
        raise AssertionError(message)


def _check(
    who: str,
    name: str,
    value: Array,
    gradient: Array,
    loss: Callable[[Array], float],
    directions: int,
    tolerance: float,
    epsilon: float,
    noise: float,
    key: Key,
) -> None:
    """Compare the gradient of one array with differences of the loss."""
    xp, home = array_namespace(value), device_like(value)
    if not home.owns(gradient) or gradient.dtype != value.dtype or tuple(gradient.shape) != tuple(value.shape):
        dtype, shape = getattr(gradient, "dtype", None), getattr(gradient, "shape", None)
        message = (
            f"{who}: gradient of {name}: expected {value.dtype} of shape {tuple(value.shape)} on {home}, "
            f"got {type(gradient).__module__}.{type(gradient).__qualname__}, {dtype} of shape {shape}"
        )
        raise GradientError(message)
    for i in range(directions):
        d = home.asarray(normal(tuple(value.shape), key.child(f"{name}/{i}")))
        expected = (loss(value + d * epsilon) - loss(value - d * epsilon)) / (2.0 * epsilon)
        got, scale = float(xp.sum(gradient * d)), float(xp.sum(xp.abs(gradient * d)))
        error = abs(got - expected)
        if not error <= tolerance * scale + noise:
            message = (
                f"{who}: gradient of {name}, shape {tuple(value.shape)}: along random direction {i} "
                f"it gives {got:.9g}, differences give {expected:.9g}: "
                f"off by {error / max(scale, 1e-300):.2g} of sum |g * d|, "
                f"expected at most {tolerance:.2g}"
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
def _in_float64(layer: Layer, home: Any) -> Iterator[None]:
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
