"""
What a layer is: parameters, buffers, and a forward and a backward pass that hold nothing between them.

``y, cache = layer.forward(x, train=True)`` and ``dx, grads = layer.backward(dy, cache)``. The cache is a value, not
hidden state: the same layer can run on two batches at once, or twice in one network.
"""

import functools
from abc import ABC, abstractmethod
from typing import Any, NamedTuple

from xpcnn.backend import NARROW, Array, Device, Key, device_of, filled, is_array, is_hollow, library, resolve
from xpcnn.errors import ConfigError, DeviceMismatchError, DtypeError, NamespaceError, ShapeError, StateError

__all__ = ["Cache", "Cost", "Layer"]

DTYPES = ("float32", "float64")


class Cache(NamedTuple):
    """What a training forward pass keeps for the backward pass, and whose it is."""

    owner: "Layer"
    shape: tuple[int, ...]
    dtype: Any
    library: str
    device: Any
    saved: tuple[Any, ...]


class Cost(NamedTuple):
    """
    What one sample costs a layer.

    Parameters
    ----------
    macs : int
        Multiply-adds of the forward pass.
    keeps_input, keeps_output : bool
        Whether the cache of a training step holds x or y.
    extra : int
        Bytes that the cache holds beside these.
    workspace : int
        Bytes of the largest array that is needed for a moment only.
    """

    macs: int = 0
    keeps_input: bool = False
    keeps_output: bool = False
    extra: int = 0
    workspace: int = 0


class Layer(ABC):
    """
    Base of all layers.

    A layer of your own defines `forward` and `backward`, `output_shape` where the shape changes, and `init_params`
    where it learns something. A layer is either abstract or final: do not derive from a finished one.

    A layer used without a model draws its parameters from seed 0, so two equal ones start equal; and on a second GPU it
    needs ``with cupy.cuda.Device(1):`` around it. A model sees to both.

    Attributes
    ----------
    params : dict of str to array
        What is learned. Drawn when first asked for; a model that the layer was put into before that sets the seed,
        the dtype and the device.
    buffers : dict of str to array
        What is saved and moved but never learned.
    random : bool
        Whether `forward` draws random numbers, and so takes ``key=``.
    spares_input_grad : bool
        Whether `backward` takes ``input_grad=False`` and then leaves dx out, which the first layer can.
    merges : bool
        Whether `forward` takes a tuple of arrays, and `backward` returns a tuple of gradients; see :class:`Merge`.
    narrow : tuple of str
        What of ``"x"``, ``"params"`` and ``"y"`` has 16 bits in a model that computes in them; the rest is float32. By
        default a layer is given float32 and its output is rounded. The model sees to all casts.
    rectifies : bool
        Whether `forward` and `backward` do what :attr:`rectified` says.
    rectified : bool
        Whether a rectifier behind the layer belongs to it: a container sets it in a copy, where a ReLU follows and one
        kernel does both.
    frozen : frozenset of str
        Names of parameters that training leaves alone, and of buffers that it must not move; a model's ``freeze``
        sets them. The layer itself still gives all gradients, the model leaves these out.

    Examples
    --------
    >>> class Scale(Layer):
    ...     def forward(self, x, *, train=False):
    ...         return x * 2.0, self.keep(x) if train else None
    ...     def backward(self, dy, cache):
    ...         self.recall(dy, cache)
    ...         return dy * 2.0, {}
    >>> import numpy as np
    >>> Scale()(np.ones(2)).tolist()
    [2.0, 2.0]
    """

    random: bool = False
    spares_input_grad: bool = False
    merges: bool = False
    narrow: tuple[str, ...] = ("y",)
    rectifies: bool = False
    rectified: bool = False
    frozen: frozenset[str] = frozenset()

    _params: dict[str, Array] | None = None
    _buffers: dict[str, Array] | None = None
    _home: Device = resolve("cpu")
    _dtype: str = "float32"
    _narrow: str | None = None  # the 16 bits that a model computes in
    _key: Key = Key(0, "init")

    @abstractmethod
    def forward(self, x: Array, *, train: bool = False) -> tuple[Array, Cache | None]:
        """
        Output for a batch, and what :meth:`backward` needs.

        Parameters
        ----------
        x : array
        train : bool
            Whether this is a step of training; else nothing is kept.

        Returns
        -------
        y : array, same library, device and dtype as `x`
        cache : Cache, or None unless `train`

        Raises
        ------
        ShapeError, DtypeError, NamespaceError, DeviceMismatchError
            Before anything is computed or changed.
        """

    @abstractmethod
    def backward(self, dy: Array, cache: Cache | None) -> tuple[Array, dict[str, Array]]:
        """
        Gradients of the loss, given its gradient at the output.

        Parameters
        ----------
        dy : array, shape of the output
        cache : Cache
            Of ``forward(x, train=True)`` of this layer.

        Returns
        -------
        dx : array, shape of the input
        grads : dict of str to array
            One gradient for each entry of :attr:`params`, of its name, shape and dtype.

        Raises
        ------
        StateError
            If the cache is None or another layer's.
        ShapeError, DtypeError, NamespaceError, DeviceMismatchError
            If `dy` does not match the output.
        """

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the output for one input of that shape, both without the batch axis; by default the same."""
        return tuple(input_shape)

    def __call__(self, x: Array) -> Array:
        """
        Inference: ``forward(x)[0]``.

        Nothing is converted here, as in `forward`: the array must be of the layer's library, device and dtype.
        `Model.fit`, `evaluate` and `predict` convert floating NumPy arrays.
        """
        return pair_of(self, "forward", self.forward(x))[0]

    # What a layer with something to learn or to remember defines.

    def init_params(self, key: Key) -> dict[str, Array]:
        """Initial parameters as NumPy arrays, drawn at ``key.child(name)``; moved and cast by the caller."""
        return {}

    def init_buffers(self) -> dict[str, Array]:
        """Initial buffers as NumPy arrays; floating ones are cast to the layer's dtype."""
        return {}

    def cost(self, input_shape: tuple[int, ...], itemsize: int) -> Cost:
        """What one sample of that shape costs, with numbers of `itemsize` bytes."""
        return Cost()

    def min_batch(self, input_shape: tuple[int, ...]) -> int:
        """Smallest batch that a training step can take."""
        return 1

    def config(self) -> dict[str, Any]:
        """The constructor's arguments, read from the attributes of the same names."""
        for name in _arguments(type(self)):
            if not hasattr(self, name):
                message = f"{type(self).__name__}: store the argument {name} as self.{name}, so that it can be saved"
                raise ConfigError(message)
        return {name: getattr(self, name) for name in _arguments(type(self))}

    # State.

    @property
    def params(self) -> dict[str, Array]:
        if self._params is None:
            self._params = self._placed(self.init_params(self._key))
        return self._params

    @property
    def buffers(self) -> dict[str, Array]:
        if self._buffers is None:
            self._buffers = self._placed(self.init_buffers())
        return self._buffers

    def rekey(self, key: Key) -> None:
        """Set the key to draw by, unless a model has placed the layer; values that exist stay as they are."""
        if "_home" not in vars(self):
            self._key = key

    def place(self, device: Device, dtype: str, key: Key) -> None:
        """
        Set where parameters live and their dtype; and, for those not drawn yet, the key to draw them by.

        With a dtype of 16 bits parameters are float32, and a container computes in it. Values that exist are moved and
        cast, never drawn again.
        """
        if not isinstance(dtype, str) or dtype not in (*DTYPES, *NARROW):
            known = ", ".join((*DTYPES, *NARROW))
            message = f"{type(self).__name__}: expected dtype to be one of {known}, got {dtype!r}"
            raise ConfigError(message)
        self._narrow = dtype if dtype in NARROW and device.dtype(dtype) else None
        self._home, self._dtype, self._key = device, "float32" if self._narrow else dtype, key
        if self._params is not None:
            self._params.update(self._placed(self._params))
        if self._buffers is not None:
            self._buffers.update(self._placed(self._buffers))

    def _forget(self) -> None:
        """Let parameters and buffers be drawn anew when they are next asked for."""
        self._params = self._buffers = None

    def _placed(self, arrays: dict[str, Array]) -> dict[str, Array]:
        floating = {name for name, a in arrays.items() if "float" in str(a.dtype)}
        if is_hollow():
            kinds = {name: self._dtype if name in floating else str(a.dtype) for name, a in arrays.items()}
            return {name: filled(a.shape, 0.0, kinds[name]) for name, a in arrays.items()}
        return {name: self._home.asarray(a, self._dtype if name in floating else None) for name, a in arrays.items()}

    # The cache.

    def keep(self, y: Array, *saved: Any) -> Cache:
        """A cache with what :meth:`backward` needs, beside the output's shape, dtype and place."""
        return Cache(self, tuple(y.shape), y.dtype, library(y), device_of(y), saved)

    def recall(self, dy: Array, cache: Cache | None) -> tuple[Any, ...]:
        """What :meth:`keep` was given, once the cache is known to be this layer's and `dy` to fit its output."""
        who = type(self).__name__
        if not isinstance(cache, Cache) or cache.owner is not self:
            got = f"one of {type(cache.owner).__name__}" if isinstance(cache, Cache) else type(cache).__name__
            message = f"{who}: backward expected the cache of its own forward(x, train=True), got {got}"
            raise StateError(message)
        if not is_array(dy) or library(dy) != cache.library:
            got = f"{type(dy).__module__}.{type(dy).__name__}"
            message = f"{who}: expected dy to be an array of {cache.library}, got {got}"
            raise NamespaceError(message)
        if tuple(dy.shape) != cache.shape:
            message = f"{who}: expected dy of the output's shape {cache.shape}, got {tuple(dy.shape)}"
            raise ShapeError(message)
        if dy.dtype != cache.dtype:
            message = f"{who}: expected dy of the output's dtype {cache.dtype}, got {dy.dtype}"
            raise DtypeError(message)
        if device_of(dy) != cache.device:
            message = f"{who}: expected dy on the output's device {cache.device}, got {device_of(dy)}"
            raise DeviceMismatchError(message)
        return cache.saved

    def __repr__(self) -> str:
        defaults = _arguments(type(self))
        shown = []
        for name, value in self.config().items():
            if isinstance(value, tuple) and len(value) == 2 and value[0] == value[1]:
                value = value[0]
            if defaults[name] is _REQUIRED:
                shown.append(repr(value))
            elif value != defaults[name]:
                shown.append(f"{name}={value!r}")
        return f"{type(self).__name__}({', '.join(shown)})"


def pair_of(layer: Layer, method: str, result: Any) -> tuple[Any, Any]:
    """What a layer's method returned, if it is a pair; a layer of your own may have forgotten the other half."""
    if isinstance(result, tuple) and len(result) == 2:
        return result
    wanted = {"forward": "(y, cache)", "backward": "(dx, grads)"}[method]
    message = f"{type(layer).__name__}: {method} must return {wanted}, got {type(result).__name__}"
    raise StateError(message)


_REQUIRED = object()


@functools.cache
def _arguments(cls: type) -> dict[str, Any]:
    """Names of the constructor's arguments, with their defaults."""
    import inspect  # not needed before a layer is printed or saved

    parameters = inspect.signature(cls).parameters.values()
    return {p.name: _REQUIRED if p.default is p.empty else p.default for p in parameters}
