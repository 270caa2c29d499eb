"""What all networks share: one device, one dtype, one seed, the training step by hand, and state."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

from xpcnn.backend import Array, Device, Key, cpu, cuda, device_like, resolve
from xpcnn.errors import ConfigError
from xpcnn.layers import Cache, Layer
from xpcnn.settings import count, flag

from . import mixed
from .container import Container, samples_of
from .freezing import set_frozen
from .loops import Loops
from .state import Incompatible, load_state_dict, state_dict, unchanged_on_error
from .summary import summary

__all__ = ["Model"]

M = TypeVar("M", bound="Model")


class Model(Loops, Container):
    """
    A container that can be trained: what `Sequential` and `Graph` have in common.

    Parameters
    ----------
    children : dict of str to Layer
    device, dtype, seed, input_shape, allow_tf32, deterministic
        As in `Sequential`.

    Raises
    ------
    ConfigError, ShapeError, DeviceUnavailable
    """

    spares_input_grad = True
    _rounds = False

    def __init__(
        self,
        children: dict[str, Layer],
        *,
        device: str | Device = "cpu",
        dtype: str = "float32",
        seed: int = 0,
        input_shape: Sequence[int] | None = None,
        allow_tf32: bool = False,
        deterministic: bool = False,
    ) -> None:
        super().__init__(children)
        self.allow_tf32 = flag(type(self).__name__, "allow_tf32", allow_tf32)
        self.deterministic = flag(type(self).__name__, "deterministic", deterministic)
        self._arena = cpu.Arena()
        self.input_shape = None if input_shape is None else self._shape_in(input_shape)
        self.step = 0
        self.stop_training = False
        seed = count(type(self).__name__, "seed", seed, 0, 2**64 - 1)
        self.place(resolve(device), dtype, Key(seed, "init"))
        if self.input_shape is not None:
            self.output_shape(self.input_shape)

    @property
    def device(self) -> str:
        """Name of the device: ``"cpu"``, ``"cuda:0"``, ..."""
        return self._home.name

    @property
    def dtype(self) -> str:
        """Name of the dtype that is computed in."""
        return self._narrow or self._dtype

    @property
    def params_dtype(self) -> str:
        """Name of the dtype of parameters and gradients, of data and outputs: float32 where `dtype` has 16 bits."""
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

    @property
    @abstractmethod
    def last(self) -> Layer | None:
        """The layer that gives the output; None where there is no layer."""

    @abstractmethod
    def _forward(self, x: Any, train: bool, key: Key) -> tuple[Array, Any]:
        """Output and the children's caches."""

    @abstractmethod
    def _backward(self, dy: Array, caches: Any, grads: dict[str, Array], input_grad: bool) -> Any:
        """Gradient at the input, where it is wanted; the parameters' gradients are added to `grads`."""

    # One step of training, by hand.

    def forward(self, x: Any, *, train: bool = False, key: Key | None = None) -> tuple[Array, Cache | None]:
        """
        Output for a batch, through all layers.

        Parameters
        ----------
        x : array, shape (N, ...)
            On the model's device, of its dtype: nothing is converted here, as `fit`, `evaluate` and `predict` do with
            NumPy's arrays. A tuple of arrays for a Graph of several inputs. A model that computes in 16 bits takes
            float32, too.
        train : bool
        key : Key, optional
            Where random draws start from; default: this model's seed and step.

        Returns
        -------
        y : array
            In float32 where the model computes in 16 bits.
        cache : Cache, or None unless `train`

        Raises
        ------
        ShapeError, DtypeError, NamespaceError, DeviceMismatchError
        OutOfMemory
            If a GPU's memory runs out; what the call held is let go, and a smaller batch can follow.
        """
        counted = key is None
        if key is None:
            key = Key(self.seed, "forward", step=self.step)
        guard = unchanged_on_error(self) if train and counted else nullcontext()
        with self._home.active(samples_of(x)), self._at_work(), guard:
            if self._narrow is None:
                y, caches = self._forward(x, train, key)
            else:
                y, caches = mixed.forward(self, x, train, key)
            return y, self.keep(y, caches, key.step if counted else None) if train else None

    def backward(
        self, dy: Array, cache: Cache | None, *, input_grad: bool = True
    ) -> tuple[Any, dict[str, Array]]:
        """
        Gradients at the input and at all parameters that are not frozen, by name, given the gradient at the output.

        Parameters
        ----------
        dy : array, shape of the output
        cache : Cache
        input_grad : bool
            False leaves the gradient at the input out, which training does not need, and whatever only leads there.

        Returns
        -------
        dx : array, shape of the input; None without `input_grad`
        grads : dict of str to array
            One for each of :attr:`trainable`: ``optimizer.update(model.trainable, grads)``.

        Raises
        ------
        StateError, ShapeError, DtypeError, NamespaceError, DeviceMismatchError
        """
        caches, step = self.recall(dy, cache)
        grads: dict[str, Array] = {}
        with self._home.active(samples_of(dy)), self._at_work():
            if self._narrow is None:
                dx = self._backward(dy, caches, grads, input_grad)
            else:
                dx = mixed.backward(self, dy, caches, grads, input_grad)
        if step is not None:
            self.step = max(self.step, step + 1)
        return dx if input_grad else None, grads

    def _forward_inside(self, x: Array, train: bool, key: Key | None) -> tuple[Array, Any]:
        if key is None:
            return super()._forward_inside(x, train, key)
        y, caches = self._forward(x, train, key)  # which stays in 16 bits
        return y, self.keep(y, caches, None) if train else None

    def _backward_inside(self, dy: Array, cache: Any, spare: dict[str, bool]) -> tuple[Any, dict[str, Array]]:
        caches, step = self.recall(dy, cache)
        if step is not None:
            return super()._backward_inside(dy, cache, spare)
        grads: dict[str, Array] = {}
        return self._backward(dy, caches, grads, spare.get("input_grad", True)), grads

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        """On the CPU: with memory used before, and no threads of BLAS; elsewhere: as exactly as was asked for."""
        if self._home.name != "cpu":
            with cuda.computing(cuda.Options(self.allow_tf32, self.deterministic)):
                yield
            return
        with self._arena.active(), cpu.single_threaded_blas():
            yield

    def free_memory(self) -> int:
        """
        Give the memory of past batches back to the system.

        On the CPU a model keeps the memory of intermediate results, as much as the last few batches took, and uses it
        again. What somebody still looks at, an output or a cache, stays.

        Returns
        -------
        freed : int
            Bytes.

        Examples
        --------
        >>> from xpcnn import Sequential
        >>> Sequential().free_memory()
        0
        """
        cpu.Scratch.free()
        return self._arena.free()

    # What training leaves alone.

    def freeze(self: M, *names: str) -> M:
        """
        Let training leave parameters alone, as when the body of a trained network gets a new head.

        Frozen parameters get no gradient, no weight decay, no penalty and no optimizer's state, and nothing is computed
        backwards below the lowest layer that still learns. By hand, update :attr:`trainable` in place of
        :attr:`params`. Freezing stays through `to`, copies and model files; `load_state_dict` still writes everything.

        Parameters
        ----------
        *names : str
            Of layers (``"0"``, ``"block1"``: with all that is inside), of parameters or buffers (``"0.weight"``), or
            patterns of them, in which ``*`` stands for any text, dots too (``"block1.*"``, ``"*.bias"``). Without
            names: everything.

        Returns
        -------
        model : the model itself

        Raises
        ------
        ConfigError
            If a name fits nothing; then nothing was changed.

        Notes
        -----
        A frozen batch norm, one whose running statistics are frozen with the rest, normalizes by them in training,
        too, and does not move them: as in Keras, and so that a trained body stays what it was. PyTorch's
        ``requires_grad = False`` stops the gradients only; freeze the parameters by name for that
        (``freeze("*.weight", "*.bias")``). Dropout goes on.

        Examples
        --------
        >>> from xpcnn import Linear, ReLU, Sequential
        >>> model = Sequential(Linear(4, 3), ReLU(), Linear(3, 2)).freeze("0")
        >>> list(model.trainable)
        ['2.weight', '2.bias']
        """
        set_frozen(self, names, frozen=True)
        return self

    def unfreeze(self: M, *names: str) -> M:
        """
        Let training go on with what was frozen.

        Parameters
        ----------
        *names : str
            As in :meth:`freeze`. Without names: everything.

        Returns
        -------
        model : the model itself

        Raises
        ------
        ConfigError

        Examples
        --------
        >>> from xpcnn import Linear, Sequential
        >>> list(Sequential(Linear(4, 3)).freeze().unfreeze("*.bias").trainable)
        ['0.bias']
        """
        set_frozen(self, names, frozen=False)
        return self

    # State.

    def to(self: M, device: str | Device | None = None, *, like: Array | None = None) -> M:
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
        >>> from xpcnn import Sequential
        >>> Sequential().to("cpu").device
        'cpu'
        """
        if (device is None) == (like is None):
            message = f"{type(self).__name__}.to: expected a device or like=array, one of both"
            raise ConfigError(message)
        self.place(resolve(device) if device is not None else device_like(like), self.dtype, self._key)
        return self

    def state_dict(self) -> dict[str, Array]:
        """
        Copies of all parameters and buffers, by name, in PyTorch's names and layouts.

        Examples
        --------
        >>> from xpcnn import BatchNorm2d, Sequential
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

    def explain(self, input_shape: Sequence[int] | None = None, *, batch: int = 32, train: bool = True) -> str:
        """
        Table of how a batch is computed: which layers go together tile by tile, and on which kernels.

        On NumPy arrays, layers that treat each sample by itself make a run: a few samples at a time, a tile, go through
        all of them while the caches hold them. The table says for each layer, in order, to which run it belongs and
        how it is computed; and of each run how large its tiles are, and why it ends. Nothing is computed.

        Parameters
        ----------
        input_shape : tuple of int, optional
            Shape of one input; default: the model's `input_shape`.
        batch : int
            Samples in a batch.
        train : bool
            Whether a training step is meant; else inference.

        Returns
        -------
        table : str

        Raises
        ------
        ShapeError, ConfigError

        Examples
        --------
        >>> from xpcnn import Conv2d, MaxPool2d, ReLU, Sequential
        >>> model = Sequential(Conv2d(1, 8, 3), ReLU(), MaxPool2d(2), input_shape=(1, 28, 28))
        >>> model.explain(batch=64).partition("; ")[0]
        'training on cpu in float32, batch of 64'
        """
        from .execution import explain

        return explain(self, input_shape, batch, train)
