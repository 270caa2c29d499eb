"""
Model files: safetensors with the architecture as JSON in the metadata. One file rebuilds the model.

A file holds data only: no code, no paths, no class but those of the registry. It is read as a whole and checked
before anything is built, and built without drawing a number. Arrays with a "/" in their names are not the model's: a
checkpoint keeps the optimizer's under such names, and is a model file, too.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from xpcnn.backend import NARROW, Device, Key, resolve
from xpcnn.errors import CheckpointError, ConfigError, StateDictError
from xpcnn.settings import count, flag, shown

from .freezing import frozen_names, set_frozen
from .model import Model
from .registry import build, describe
from .state import fill, host_state, nonfinite
from .tensor_files import read_tensors, write_tensors

if TYPE_CHECKING:
    import numpy as np

__all__ = ["contents", "load", "restored", "save"]


def save(model: Model, path: str | Path) -> None:
    """Write a model; see `Model.save`."""
    write_tensors(_path("save", path), *contents(model))


def contents(model: Model) -> "tuple[dict[str, np.ndarray], dict[str, Any]]":
    """
    What a model file holds: copies of all arrays, on the host, and the description that they are read by.

    Raises
    ------
    CheckpointError
        If a layer's class is not known to :func:`xpcnn.register`.
    """
    header = {
        "architecture": describe(model),
        "dtype": model.dtype,
        "seed": str(model.seed),  # a JSON number is exact up to 2**53 only
        "step": model.step,
    }
    if frozen := frozen_names(model):
        header["frozen"] = frozen
    arrays = host_state(model)
    if foreign := [name for name in arrays if "/" in name]:
        message = f"save: expected names of parameters without '/', got {', '.join(map(repr, foreign))}"
        raise CheckpointError(message)
    return arrays, header


def load(path: str | Path, device: str | Device = "cpu", *, allow_nonfinite: bool = False) -> Model:
    """
    Rebuild a model from a file that ``model.save(path)`` or a checkpoint wrote.

    Parameters
    ----------
    path : str or Path
    device : {"cpu", "cuda", "cuda:N", "auto"}
        Where to put it, wherever it was saved from.
    allow_nonfinite : bool
        Whether NaN and infinity may be among its numbers, as training that diverged leaves them.

    Returns
    -------
    model : Sequential or Graph

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, of a newer format, or no model of xpcnn, or if it holds NaN or infinity.
    ConfigError
        If the model computes in 16 bits that cannot be had here.
    DeviceUnavailable

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from xpcnn import Linear, Sequential
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "model.safetensors"
    >>> Sequential(Linear(2, 3)).save(path)
    >>> load(path)[0]
    Linear(2, 3)
    """
    path = _path("load", path)
    allowed = flag("load", "allow_nonfinite", allow_nonfinite)
    home = resolve(device)
    return restored(path, *read_tensors(path), home, allow_nonfinite=allowed)


def restored(
    path: str | Path,
    arrays: "dict[str, np.ndarray]",
    header: dict[str, Any],
    device: str | Device = "cpu",
    *,
    allow_nonfinite: bool = False,
) -> Model:
    """
    The model that arrays and a description say, which :func:`~xpcnn.models.tensor_files.read_tensors` read.

    Parameters
    ----------
    path : path
        Named in errors.
    arrays : dict of str to ndarray
        Those with a "/" in their names are left alone.
    header : dict
    device, allow_nonfinite
        As in :func:`load`.

    Raises
    ------
    CheckpointError, ConfigError, DeviceUnavailable
        As :func:`load`.
    """
    home = resolve(device)
    own = {name: a for name, a in arrays.items() if "/" not in name}
    if header.get("dtype") in NARROW:
        home.dtype(header["dtype"])  # what is missing is a package, not a part of the file
    try:
        model = build(header["architecture"])
        if not isinstance(model, Model):
            message = f"load: expected a Sequential or a Graph, got {type(model).__name__}"
            raise CheckpointError(message)
        model.place(home, header["dtype"], Key(_seed(header["seed"]), "init"))
        step = count("load", "step", header["step"], least=0)
        fill(model, own)
        if frozen := header.get("frozen"):
            if not isinstance(frozen, list) or not set(own).issuperset(frozen):
                message = f"load: expected frozen to be names of arrays of the file, got {shown(frozen)}"
                raise CheckpointError(message)
            set_frozen(model, frozen, frozen=True)
    except (CheckpointError, StateDictError) as error:
        message = f"{path}: {error}"
        raise CheckpointError(message) from error
    except (KeyError, TypeError, ValueError, ArithmeticError, RecursionError, MemoryError) as error:
        message = f"{path}: the description of the model is damaged ({type(error).__name__}: {error})"
        raise CheckpointError(message) from error
    if not allow_nonfinite and (names := nonfinite(own)):
        message = (
            f"{path}: expected finite numbers, got NaN or infinity in {', '.join(names)}: "
            "take an earlier checkpoint, or load(..., allow_nonfinite=True) to look at them"
        )
        raise CheckpointError(message)
    model.step = step
    return model


def _seed(text: Any) -> int:
    if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) <= 20:
        return int(text)
    message = f"expected the seed as digits, got {shown(text)}"
    raise ValueError(message)


def _path(who: str, path: object) -> Path:
    try:
        return Path(path)  # type: ignore[arg-type]
    except TypeError as error:
        message = f"{who}: expected a path, got {path!r}"
        raise ConfigError(message) from error
