"""
Layers that make one array of several: for the nodes of a Graph at which branches meet.

Their `forward` takes a tuple of arrays, and their `backward` returns a tuple of gradients.
"""

from abc import abstractmethod
from typing import Any, final

from xpcnn import ops
from xpcnn.backend import Array, is_array
from xpcnn.errors import ConfigError, NamespaceError, ShapeError
from xpcnn.settings import count

from .base import Cache, Cost, Layer

__all__ = ["Add", "Concatenate", "Merge", "Multiply"]

Shape = tuple[int, ...]


class Merge(Layer):
    """
    Base of the layers with several inputs.

    One of your own defines `merge` and `unmerge`, and `merged_shape` where the inputs may differ.

    Examples
    --------
    >>> class Mean(Merge):
    ...     def merge(self, xs):
    ...         return sum(xs) / len(xs), len(xs)
    ...     def unmerge(self, dy, n):
    ...         return (dy / n,) * n
    >>> import numpy as np
    >>> Mean()((np.ones(2), np.zeros(2))).tolist()
    [0.5, 0.5]
    """

    merges = True

    @abstractmethod
    def merge(self, xs: tuple[Array, ...]) -> tuple[Array, Any]:
        """The output, and whatever :meth:`unmerge` needs."""

    @abstractmethod
    def unmerge(self, dy: Array, saved: Any) -> tuple[Array, ...]:
        """One gradient for each input."""

    def merged_shape(self, shapes: tuple[Shape, ...]) -> Shape:
        """Shape of the output, all with a batch axis; by default they must be equal."""
        if len(set(shapes)) != 1:
            message = f"{type(self).__name__}: expected inputs of one shape, got {', '.join(map(str, shapes))}"
            raise ShapeError(message)
        return shapes[0]

    def forward(self, x: Any, *, train: bool = False) -> tuple[Array, Cache | None]:
        """
        Output for a batch of several inputs.

        Parameters
        ----------
        x : tuple of arrays
            At least one, all of one library, device and dtype.
        train : bool

        Returns
        -------
        y : array
        cache : Cache, or None unless `train`

        Raises
        ------
        NamespaceError, DeviceMismatchError, DtypeError, ShapeError
        """
        if is_array(x) or not isinstance(x, (tuple, list)) or not x:
            got = "one array" if is_array(x) else "none" if isinstance(x, (tuple, list)) else type(x).__name__
            message = f"{type(self).__name__}: expected a tuple of arrays, got {got}: it joins branches in a Graph"
            raise NamespaceError(message)
        y, saved = self.merge(tuple(x))
        return y, self.keep(y, saved) if train else None

    def backward(self, dy: Array, cache: Cache | None) -> tuple[Any, dict[str, Array]]:
        """
        Gradients of the loss at each input, given its gradient at the output.

        Returns
        -------
        dx : tuple of arrays, each of the shape of its input
        grads : dict, empty

        Raises
        ------
        StateError, ShapeError, DtypeError, NamespaceError, DeviceMismatchError
        """
        (saved,) = self.recall(dy, cache)
        return self.unmerge(dy, saved), {}

    def output_shape(self, input_shape: Any) -> Shape:
        """Shape of the output for one sample, given a tuple of the inputs' shapes, all without the batch axis."""
        shapes = tuple(input_shape)
        if not shapes or not all(isinstance(shape, (tuple, list)) for shape in shapes):
            message = f"{type(self).__name__}: expected a tuple of shapes, got {shapes}: it joins branches in a Graph"
            raise ShapeError(message)
        return self.merged_shape(tuple((1, *shape) for shape in shapes))[1:]


@final
class Add(Merge):
    """
    Sum of inputs of one shape; the mathematics is in :func:`xpcnn.ops.add`.

    Raises
    ------
    ShapeError
        Also for shapes that NumPy would stretch: a sum that is larger than an input is hardly meant.

    Examples
    --------
    >>> Add().output_shape(((8, 5, 5), (8, 5, 5)))
    (8, 5, 5)
    """

    narrow = ("x", "y")

    def merge(self, xs: tuple[Array, ...]) -> tuple[Array, Any]:
        return ops.add(xs, "Add"), len(xs)

    def unmerge(self, dy: Array, saved: Any) -> tuple[Array, ...]:
        return ops.add_backward(dy, saved)


@final
class Multiply(Merge):
    """
    Product of inputs, entry by entry; the mathematics is in :func:`xpcnn.ops.multiply`.

    An axis of size 1 goes with any: gates (N, C, 1, 1) with images (N, C, H, W).

    Raises
    ------
    ShapeError

    Examples
    --------
    >>> Multiply().output_shape(((8, 5, 5), (8, 1, 1)))
    (8, 5, 5)
    """

    def merge(self, xs: tuple[Array, ...]) -> tuple[Array, Any]:
        return ops.multiply(xs, "Multiply"), xs

    def unmerge(self, dy: Array, saved: Any) -> tuple[Array, ...]:
        return ops.multiply_backward(dy, saved, "Multiply")

    def merged_shape(self, shapes: tuple[Shape, ...]) -> Shape:
        return ops.multiply_shape(shapes, "Multiply")

    def cost(self, input_shape: tuple[int, ...], itemsize: int) -> Cost:
        return Cost(keeps_input=True)


@final
class Concatenate(Merge):
    """
    Inputs side by side along one axis, the channels unless said otherwise; the mathematics is in
    :func:`xpcnn.ops.concatenate`.

    In a Graph it joins what other nodes give; `Concat` is the container that holds its branches itself.

    Parameters
    ----------
    dim : int, not 0
        Counted with the batch axis, which is 0; negative ones count from the last.

    Raises
    ------
    ConfigError, ShapeError

    Examples
    --------
    >>> Concatenate().output_shape(((3, 5, 5), (8, 5, 5)))
    (11, 5, 5)
    """

    narrow = ("x", "y")

    def __init__(self, dim: int = 1) -> None:
        self.dim = count(self, "dim", dim, None)
        if self.dim == 0:
            message = "Concatenate: expected dim to be an axis behind the batch axis, got 0: samples must stay apart"
            raise ConfigError(message)

    def merge(self, xs: tuple[Array, ...]) -> tuple[Array, Any]:
        return ops.concatenate(xs, self.dim, "Concatenate"), [x.shape[self.dim] for x in xs]

    def unmerge(self, dy: Array, saved: Any) -> tuple[Array, ...]:
        return ops.concatenate_backward(dy, saved, self.dim)

    def merged_shape(self, shapes: tuple[Shape, ...]) -> Shape:
        return ops.concatenate_shape(shapes, self.dim, "Concatenate")
