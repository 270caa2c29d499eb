"""A network: layers one after the other, on one device, in one dtype, from one seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, final

from xpcnn.backend import Array, Device, Key, device_like, resolve
from xpcnn.errors import ConfigError
from xpcnn.layers import Cache, Layer
from xpcnn.settings import flag, shape

from .container import Container, Shape, Step
from .loops import Loops
from .state import Incompatible, load_state_dict, state_dict, unchanged_on_error
from .summary import summary

__all__ = ["Sequential"]


@final
class Sequential(Loops, Container):
    """
    Layers one after the other.

    Parameters
    ----------
    *layers : Layer, or (name, Layer)
        A layer without a name is called by its position. Layers are taken as they are, not copied: parameters that
        a layer already has are kept, those not drawn yet are drawn from `seed`.
    device : {"cpu", "cuda", "cuda:N", "auto"}
        Where parameters live and everything is computed.
    dtype : {"float32", "float64"}
    seed : int, 0 to 2**64 - 1
        Decides initial weights, dropout and the order of samples in `fit`.
    input_shape : tuple of int, optional
        Shape of one input, without the batch axis: checked through all layers at once, and used by `summary`.

    Attributes
    ----------
    params, buffers : dict of str to array
        Flat, with names such as ``"0.weight"``.
    step : int
        Training steps done: which dropout masks come next. A backward pass counts it on.

    Raises
    ------
    ConfigError, ShapeError, DeviceUnavailable

    Examples
    --------
    >>> from xpcnn.layers import Conv2d, Flatten, Linear, ReLU
    >>> model = Sequential(Conv2d(1, 4, 3), ReLU(), Flatten(), Linear(4 * 26 * 26, 10), input_shape=(1, 28, 28))
    >>> list(model.params)
    ['0.weight', '0.bias', '3.weight', '3.bias']
    >>> model.output_shape((1, 28, 28))
    (10,)
    """

    spares_input_grad = True

    def __init__(
        self,
        *layers: Layer | tuple[str, Layer],
        device: str | Device = "cpu",
        dtype: str = "float32",
        seed: int = 0,
        input_shape: Sequence[int] | None = None,
    ) -> None:
        named: dict[str, Layer] = {}
        for i, item in enumerate(layers):
            name, layer = str(i), item
            if isinstance(item, tuple) and len(item) == 2 and not isinstance(item[0], Layer):
                name, layer = item
            if not isinstance(name, str) or name in named:
                message = f"Sequential: expected names that differ, got {name!r} for layer {i}"
                raise ConfigError(message)
            named[name] = layer  # type: ignore[assignment]  # what is no layer is refused below
        super().__init__(named)
        self.input_shape = None if input_shape is None else shape("Sequential", "input_shape", input_shape)
        self.step = 0
        self.stop_training = False
        self.place(resolve(device), dtype, Key(seed, "init"))
        if self.input_shape is not None:
            self.output_shape(self.input_shape)

    @property
    def device(self) -> str:
        """Name of the device: ``"cpu"``, ``"cuda:0"``, ..."""
        return self._home.name

    @property
    def dtype(self) -> str:
        """Name of the parameters' dtype."""
        return self._dtype

    @property
    def seed(self) -> int:
        """The seed of everything random."""
        return self._key.seed

    @property
    def home(self) -> Device:
        """The device, as the object that makes arrays on it."""
        return self._home

    def __len__(self) -> int:
        return len(self.children)

    def __getitem__(self, which: int | str) -> Layer:
        """The layer of that position or name."""
        return self.children[which] if isinstance(which, str) else list(self.children.values())[which]

    def config(self) -> dict[str, Any]:
        return {"layers": list(self.children.items()), "input_shape": self.input_shape}

    def __repr__(self) -> str:
        lines = "".join(f"\n{name}: {child!r}" for name, child in self.children.items())
        return f"Sequential({lines.replace(chr(10), chr(10) + '  ')}\n)"

    # One step of training, by hand.

    def forward(self, x: Array, *, train: bool = False, key: Key | None = None) -> tuple[Array, Cache | None]:
        """
        Output for a batch, through all layers.

        Parameters
        ----------
        x : array, shape (N, ...)
            On the model's device, of its dtype.
        train : bool
        key : Key, optional
            Where random draws start from; default: this model's seed and step.

        Returns
        -------
        y : array
        cache : Cache, or None unless `train`

        Raises
        ------
        ShapeError, DtypeError, NamespaceError, DeviceMismatchError
        """
        counted = key is None
        if key is None:
            key = Key(self.seed, "forward", step=self.step)
        caches = []
        with self._home.active(), unchanged_on_error(self) if train and counted else nullcontext():
            for name in self.children:
                x, cache = self._forward_child(name, x, train, key)
                caches.append(cache)
            return x, self.keep(x, caches, key.step if counted else None) if train else None

    def backward(
        self, dy: Array, cache: Cache | None, *, input_grad: bool = True
    ) -> tuple[Array | None, dict[str, Array]]:
        """
        Gradients at the input and at all parameters, by name, given the gradient at the output.

        Parameters
        ----------
        dy : array, shape of the output
        cache : Cache
        input_grad : bool
            False lets the first layer leave the gradient at the input out, which training does not need.

        Raises
        ------
        StateError, ShapeError, DtypeError, NamespaceError, DeviceMismatchError
        """
        caches, step = self.recall(dy, cache)
        grads: dict[str, Array] = {}
        with self._home.active():
            first = next(iter(self.children), None)
            for name, own in zip(reversed(self.children), reversed(caches), strict=True):
                dy = self._backward_child(name, dy, own, grads, input_grad or name != first)
        if step is not None:
            self.step = max(self.step, step + 1)
        return dy, grads

    def walk(self, shape: Shape, place: object, step: Step) -> tuple[Shape, object]:
        for name, child in self.children.items():
            shape, place = step(name, child, shape, place)
        return shape, place

    # State.

    def to(self, device: str | Device | None = None, *, like: Array | None = None) -> Sequential:
        """
        Move parameters and buffers; returns the model.

        Parameters
        ----------
        device : {"cpu", "cuda", "cuda:N", "auto"}
        like : array
            Instead of a name: to the library and device of this array, torch's or any other's.

        Raises
        ------
        ConfigError, DeviceUnavailable

        Examples
        --------
        >>> Sequential().to("cpu").device
        'cpu'
        """
        if (device is None) == (like is None):
            message = "Sequential.to: expected a device or like=array, one of both"
            raise ConfigError(message)
        self.place(resolve(device) if device is not None else device_like(like), self._dtype, self._key)
        return self

    def state_dict(self) -> dict[str, Array]:
        """
        Copies of all parameters and buffers, by name, in PyTorch's names and layouts.

        Examples
        --------
        >>> from xpcnn.layers import BatchNorm2d
        >>> list(Sequential(BatchNorm2d(4)).state_dict())
        ['0.weight', '0.bias', '0.running_mean', '0.running_var', '0.num_batches_tracked']
        """
        return state_dict(self)

    def load_state_dict(self, state: Mapping[str, Array], strict: bool = True) -> Incompatible:
        """
        Copy parameters and buffers from a state_dict, of arrays of any library.

        Parameters
        ----------
        state : mapping of str to array
        strict : bool
            Whether all names must be there, and no others.

        Returns
        -------
        missing_keys, unexpected_keys : lists of str

        Raises
        ------
        StateDictError
            If names or shapes differ: all differences at once, and nothing was changed.
        """
        return load_state_dict(self, state, flag("load_state_dict", "strict", strict))

    def save(self, path: str | Path) -> None:
        """
        Write architecture and weights into one safetensors file; :func:`xpcnn.load` reads it.

        Raises
        ------
        CheckpointError
            If a layer's class is not known to :func:`xpcnn.register`, or the file cannot be written.
        """
        from .files import save

        save(self, path)

    def summary(self, input_shape: Sequence[int] | None = None, *, batch: int = 1) -> str:
        """
        Table of layers: output shapes, parameters, multiply-adds and bytes for a batch.

        Parameters
        ----------
        input_shape : tuple of int, optional
            Shape of one input; default: the model's `input_shape`.
        batch : int
            Samples in a batch.

        Returns
        -------
        table : str
            With the bytes that activations kept for backward take, and the largest workspace of a convolution.

        Raises
        ------
        ShapeError, ConfigError
        """
        return summary(self, input_shape, batch)
