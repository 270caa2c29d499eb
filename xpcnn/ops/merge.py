"""
Several arrays made one: their sum, their product, or all of them side by side. Each backward gives one gradient for
each input, in the same order.
"""

from collections.abc import Sequence

from xpcnn.backend import Array, Namespace
from xpcnn.errors import ShapeError

from .checks import check_gradient, common
from .elementwise import elementwise

__all__ = [
    "add",
    "add_backward",
    "concatenate",
    "concatenate_backward",
    "concatenate_shape",
    "multiply",
    "multiply_backward",
    "multiply_shape",
]

Shape = tuple[int, ...]


def add(xs: Sequence[Array], who: str = "add") -> Array:
    """
    Sum of arrays of one shape.

    Parameters
    ----------
    xs : sequence of arrays, all of one shape
        At least one.

    Returns
    -------
    y : array of that shape

    Raises
    ------
    ShapeError, DtypeError, NamespaceError, DeviceMismatchError

    Notes
    -----
    ``y = x_0 + x_1 + ...``, from the left to the right.

    Examples
    --------
    >>> import numpy as np
    >>> add([np.ones(2), np.ones(2)]).tolist()
    [2.0, 2.0]
    """
    xp = _together(who, xs)
    shape = tuple(xs[0].shape)
    if any(tuple(x.shape) != shape for x in xs):
        message = f"{who}: expected inputs of one shape, got {_shapes(xs)}"
        raise ShapeError(message)
    return _sum(*xs) if len(xs) > 1 else xp.asarray(xs[0], copy=True)


@elementwise
def _sum(y: Array, *xs: Array) -> Array:
    for x in xs:
        y = y + x
    return y


def add_backward(dy: Array, count: int) -> tuple[Array, ...]:
    """
    Gradients of :func:`add` for `count` inputs: ``dx_i = dy`` for each of them.

    They are one array: whoever changes gradients in place has to copy first.

    Examples
    --------
    >>> import numpy as np
    >>> len(add_backward(np.ones(2), 3))
    3
    """
    return (dy,) * count


def multiply_shape(shapes: Sequence[Shape], who: str = "multiply") -> Shape:
    """
    Shape of the product for inputs of these shapes, where an axis of 1 goes with any.

    Parameters
    ----------
    shapes : sequence of tuples of int
        With the batch axis, which must be the same.

    Raises
    ------
    ShapeError

    Examples
    --------
    >>> multiply_shape([(2, 8, 5, 5), (2, 8, 1, 1)])
    (2, 8, 5, 5)
    """
    ranks, batches = {len(shape) for shape in shapes}, {shape[0] for shape in shapes if shape}
    if len(ranks) == 1 and len(batches) == 1:
        columns = [set(sizes) - {1} for sizes in zip(*shapes, strict=True)]
        if all(len(column) <= 1 for column in columns):
            return tuple(max(column, default=1) for column in columns)
    message = (
        f"{who}: expected inputs of one shape, but for axes of size 1 behind the batch axis, got "
        f"{', '.join(map(str, map(tuple, shapes)))}"
    )
    raise ShapeError(message)


def multiply(xs: Sequence[Array], who: str = "multiply") -> Array:
    """
    Product of arrays, entry by entry; an axis of size 1 goes with any, but for the batch axis.

    Parameters
    ----------
    xs : sequence of arrays, shape (N, ...)
        At least one, of one rank; gates of shape (N, C, 1, 1) go with images (N, C, H, W).

    Returns
    -------
    y : array

    Raises
    ------
    ShapeError, DtypeError, NamespaceError, DeviceMismatchError

    Notes
    -----
    ``y = x_0 * x_1 * ...``, from the left to the right.

    Examples
    --------
    >>> import numpy as np
    >>> multiply([np.ones((1, 2, 2)), np.asarray([[[3.0], [4.0]]])]).tolist()
    [[[3.0, 3.0], [4.0, 4.0]]]
    """
    xp = _together(who, xs)
    multiply_shape([tuple(x.shape) for x in xs], who)
    y = xs[0]
    for x in xs[1:]:
        y = y * x
    return y if len(xs) > 1 else xp.asarray(y, copy=True)


def multiply_backward(dy: Array, xs: Sequence[Array], who: str = "multiply") -> tuple[Array, ...]:
    """
    Gradients of :func:`multiply`, given ``dy = dL/dy``.

    Parameters
    ----------
    dy : array, shape of the product
    xs : sequence of arrays
        The inputs.

    Returns
    -------
    dxs : tuple of arrays, each of the shape of its input

    Notes
    -----
    Entry by entry the derivative of a product by one factor is the product of the others. An input that was stretched
    along an axis met all entries there, so its gradient is the sum over them::

        dx_i[n, c, 0, 0] = sum_hw dy[n, c, h, w] prod_{j != i} x_j[n, c, h, w]

    The others are multiplied, not divided out of y: a factor may be 0.

    Examples
    --------
    >>> import numpy as np
    >>> [dx.tolist() for dx in multiply_backward(np.ones((1, 2)), [np.asarray([[2.0, 3.0]]), np.asarray([[5.0]])])]
    [[[5.0, 5.0]], [[5.0]]]
    """
    xp = common(who, **{f"input_{i}": x for i, x in enumerate(xs)}, dy=dy)
    check_gradient(who, dy, multiply_shape([tuple(x.shape) for x in xs], who))
    dxs = []
    for i, x in enumerate(xs):
        dx = dy
        for j, other in enumerate(xs):
            if j != i:
                dx = dx * other
        stretched = tuple(axis for axis in range(x.ndim) if x.shape[axis] == 1 != dx.shape[axis])
        dxs.append(xp.sum(dx, axis=stretched, keepdims=True) if stretched else dx)
    return tuple(dxs)


def concatenate_shape(shapes: Sequence[Shape], dim: int = 1, who: str = "concatenate") -> Shape:
    """
    Shape of :func:`concatenate` for inputs of these shapes, all with the batch axis.

    Raises
    ------
    ShapeError

    Examples
    --------
    >>> concatenate_shape([(2, 3, 5, 5), (2, 8, 5, 5)])
    (2, 11, 5, 5)
    """
    rank = len(shapes[0])
    axis = dim + rank if dim < 0 else dim
    if not 0 < axis < rank:
        message = f"{who}: expected inputs with an axis dim={dim} behind the batch axis, got {tuple(shapes[0])}"
        raise ShapeError(message)
    rests = {(*shape[:axis], *shape[axis + 1 :]) for shape in shapes}
    if len(rests) != 1 or {len(shape) for shape in shapes} != {rank}:
        listed = ", ".join(map(str, map(tuple, shapes)))
        message = f"{who}: expected inputs that differ along axis {axis} only, got {listed}"
        raise ShapeError(message)
    return (*shapes[0][:axis], sum(shape[axis] for shape in shapes), *shapes[0][axis + 1 :])


def concatenate(xs: Sequence[Array], dim: int = 1, who: str = "concatenate") -> Array:
    """
    Arrays side by side along one axis, the channels unless said otherwise.

    Parameters
    ----------
    xs : sequence of arrays, shape (N, ...)
        At least one; they may differ along `dim` only.
    dim : int
        Not 0, the batch axis; negative ones count from the last.

    Returns
    -------
    y : array

    Raises
    ------
    ShapeError, DtypeError, NamespaceError, DeviceMismatchError

    Notes
    -----
    ``y = [x_0, x_1, ...]``, as ``torch.cat``.

    Examples
    --------
    >>> import numpy as np
    >>> concatenate([np.ones((1, 2)), np.zeros((1, 1))]).tolist()
    [[1.0, 1.0, 0.0]]
    """
    xp = _together(who, xs)
    concatenate_shape([tuple(x.shape) for x in xs], dim, who)
    return xp.concat(list(xs), axis=dim)


def concatenate_backward(dy: Array, sizes: Sequence[int], dim: int = 1) -> tuple[Array, ...]:
    """
    Gradients of :func:`concatenate`: dy, cut into the parts again.

    Parameters
    ----------
    dy : array, shape of the output
    sizes : sequence of int
        Of each input along `dim`.
    dim : int

    Returns
    -------
    dxs : tuple of arrays
        Views of `dy` where the library has views.

    Examples
    --------
    >>> import numpy as np
    >>> [dx.tolist() for dx in concatenate_backward(np.asarray([[1.0, 2.0, 3.0]]), [2, 1])]
    [[[1.0, 2.0]], [[3.0]]]
    """
    axis = dim + dy.ndim if dim < 0 else dim
    dxs, start = [], 0
    for size in sizes:
        dxs.append(dy[(slice(None),) * axis + (slice(start, start + size), ...)])
        start += size
    return tuple(dxs)


def _together(who: str, xs: Sequence[Array]) -> Namespace:
    return common(who, **{f"input_{i}": x for i, x in enumerate(xs)})


def _shapes(xs: Sequence[Array]) -> str:
    return ", ".join(str(tuple(x.shape)) for x in xs)
