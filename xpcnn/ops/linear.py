"""The affine map of a fully connected layer: forward, and its backward pass below it."""

from xpcnn.backend import Array, accelerated, array_namespace, is_narrow, kernel, library

from .activations import relu as rectified
from .checks import check_gradient, check_shape, common, in_float32
from .sums import sum_rows

__all__ = ["check_features", "linear", "linear_backward"]

WHO = "Linear"


def linear(x: Array, w: Array, b: Array | None = None, *, relu: bool = False) -> Array:
    """
    Affine map of each row.

    Parameters
    ----------
    x : array, shape (N, I)
    w : array, shape (O, I)
    b : array, shape (O,), optional
    relu : bool
        Give ``max(y, 0)``, with the same bits as :func:`xpcnn.ops.relu` of y: where there is a kernel for it, with the
        bias in one pass.

    Returns
    -------
    y : array, shape (N, O), same library, device and dtype as `x`

    Raises
    ------
    ShapeError, DtypeError, NamespaceError, DeviceMismatchError
        Before anything is computed.

    Notes
    -----
    ::

        y[n, o] = sum_i x[n, i] w[o, i] + b[o]    ->  y = x @ w.T + b

    Source: Goodfellow, Bengio and Courville (2016), "Deep Learning", section 6.5.

    Examples
    --------
    >>> import numpy as np
    >>> linear(np.asarray([[1.0, 2.0]]), np.asarray([[3.0, 4.0]]), np.asarray([5.0])).tolist()
    [[16.0]]
    """
    common(WHO, x=x, weight=w, bias=b)
    check_shape(WHO, "weight", w.shape, ("O", "I"))
    check_features(x.shape, *w.shape)
    if b is not None:
        check_shape(WHO, "bias", b.shape, (w.shape[0],))
    if _is_too_narrow(x):
        return in_float32(linear, x, w, b, relu=relu)
    y = _product(x, w.T)
    if relu and b is not None and (fast := accelerated("bias_relu", y, b)) is not None:
        return fast
    if b is not None:
        y += b  # y is ours alone: no second array of its size
    return rectified(y) if relu else y


def check_features(shape: tuple[int, ...], outputs: int, inputs: int) -> None:
    """Raise `ShapeError` unless x of that shape is (N, inputs), and say which layer would take it."""
    hint = ""
    if len(shape) > 2:
        hint = "put Flatten() before it"
    elif len(shape) == 2 and 0 not in shape:
        hint = f"Linear({shape[1]}, {outputs}) would fit"
    check_shape(WHO, "x", shape, ("N", inputs), hint)


def linear_backward(dy: Array, x: Array, w: Array) -> tuple[Array, Array, Array]:
    """
    Gradients of :func:`linear`, given ``dy = dL/dy``.

    Parameters
    ----------
    dy : array, shape (N, O)
    x, w
        As in the forward pass.

    Returns
    -------
    dx, dw, db : arrays with the shapes of x, w and (O,)

    Notes
    -----
    ::

        dx[n, i] = sum_o dy[n, o] w[o, i]    ->  dx = dy @ w
        dw[o, i] = sum_n dy[n, o] x[n, i]    ->  dw = dy.T @ x
        db[o]    = sum_n dy[n, o]            ->  db = 1 @ dy

    Examples
    --------
    >>> import numpy as np
    >>> dx, dw, db = linear_backward(np.asarray([[2.0]]), np.asarray([[1.0, 2.0]]), np.asarray([[3.0, 4.0]]))
    >>> dx.tolist(), dw.tolist(), db.tolist()
    ([[6.0, 8.0]], [[2.0, 4.0]], [2.0])
    """
    common(WHO, x=x, weight=w, dy=dy)
    check_shape(WHO, "weight", w.shape, ("O", "I"))
    check_features(x.shape, *w.shape)
    check_gradient(WHO, dy, (x.shape[0], w.shape[0]))
    if _is_too_narrow(x):
        return in_float32(linear_backward, dy, x, w)
    return _product(dy, w), _product(dy.T, x), sum_rows(dy)


def _product(a: Array, b: Array) -> Array:
    matmul = kernel("matmul", library(a)) or array_namespace(a).matmul
    return matmul(a, b)


def _is_too_narrow(x: Array) -> bool:
    """Whether these are 16 bits, and no kernel multiplies such and adds in float32."""
    return is_narrow(x) and kernel("narrow_matmul", library(x)) is None
