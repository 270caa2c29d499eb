"""
Model files: safetensors with the architecture as JSON in the metadata. One file rebuilds the model.

A file holds data only: no code, no paths, no class but those of the registry. It is read as a whole and checked
before anything is built, and written beside the target and renamed, so that a reader sees the old file or the new.
"""

import contextlib
import errno
import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xpcnn.backend import NARROW, Device, Key, resolve, to_numpy
from xpcnn.errors import CheckpointError, ConfigError, StateDictError

from .freezing import frozen_names, set_frozen
from .model import Model
from .registry import build, describe
from .state import load_state_dict, state_dict

if TYPE_CHECKING:
    import numpy as np

__all__ = ["load", "save"]

FORMAT = 1


def save(model: Model, path: str | Path) -> None:
    """Write a model; see `Model.save`."""
    from safetensors.numpy import save as serialize

    arrays = {name: to_numpy(a) for name, a in state_dict(model).items()}
    # safetensors 0.8.0 writes other layouts than C order wrongly, without an error; the file is little-endian
    arrays = {name: a.astype(a.dtype.newbyteorder("<"), order="C") for name, a in arrays.items()}
    header = {
        "format": FORMAT,
        "architecture": describe(model),
        "dtype": model.dtype,
        "seed": str(model.seed),  # a JSON number is exact up to 2**53 only
        "step": model.step,
    }
    if frozen := frozen_names(model):
        header["frozen"] = frozen
    header["sha256"] = _digest(arrays, header)
    _write(_path("save", path), serialize(arrays, metadata={"xpcnn": json.dumps(header)}))


def load(path: str | Path, device: str | Device = "cpu") -> Model:
    """
    Rebuild a model from a file that ``model.save(path)`` wrote.

    Parameters
    ----------
    path : str or Path
    device : {"cpu", "cuda", "cuda:N", "auto"}
        Where to put it, wherever it was saved from.

    Returns
    -------
    model : Sequential or Graph

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, of a newer format, or no model of xpcnn.
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
    home = resolve(device)
    arrays, header = _read(path)
    if header.get("dtype") in NARROW:
        home.dtype(header["dtype"])  # what is missing is a package, not a part of the file
    try:
        if not isinstance(header["format"], int) or header["format"] > FORMAT:
            message = f"{path}: expected format {FORMAT}, got {header['format']!r}: update xpcnn"
            raise CheckpointError(message)
        if header["sha256"] != _digest(arrays, header):
            message = f"{path}: the checksum does not match, the file is damaged: restore it from a copy"
            raise CheckpointError(message)
        model = build(header["architecture"])
        if not isinstance(model, Model):
            message = f"{path}: expected a Sequential or a Graph, got {type(model).__name__}"
            raise CheckpointError(message)
        step = int(header["step"])
        model.place(home, header["dtype"], Key(int(header["seed"]), "init"))
        if header.get("frozen"):
            set_frozen(model, header["frozen"], frozen=True)
        load_state_dict(model, arrays)
    except StateDictError as error:
        message = f"{path}: {error}"
        raise CheckpointError(message) from error
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        if isinstance(error, CheckpointError):
            raise
        message = f"{path}: the description of the model is damaged ({type(error).__name__}: {error})"
        raise CheckpointError(message) from error
    model.step = step
    return model


def _path(who: str, path: object) -> Path:
    try:
        return Path(path)  # type: ignore[arg-type]
    except TypeError as error:
        message = f"{who}: expected a path, got {path!r}"
        raise ConfigError(message) from error


def _digest(arrays: dict[str, "np.ndarray"], header: dict[str, Any]) -> str:
    """SHA-256 over the description, and names, dtypes, shapes and bytes of all arrays, in the order of their names."""
    described = {key: value for key, value in header.items() if key != "sha256"}
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    for name in sorted(arrays):
        a = arrays[name]
        digest.update(f"{name} {a.dtype.str} {a.shape}\n".encode())
        digest.update(a.tobytes())
    return digest.hexdigest()


def _read(path: Path) -> tuple[dict[str, "np.ndarray"], dict[str, Any]]:
    """All arrays and our part of the metadata."""
    from safetensors import SafetensorError, safe_open

    if path.is_dir():
        message = f"{path}: is a folder, expected a model file"
        raise CheckpointError(message)
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no dict)
    except (OSError, SafetensorError, TypeError, ValueError) as error:
        if isinstance(error, FileNotFoundError):
            message = f"{path}: cannot be read as a model file ({os.strerror(errno.ENOENT)})"
        elif isinstance(error, OSError) and error.errno:
            message = f"{path}: cannot be read as a model file ({os.strerror(error.errno)})"
        else:
            cause = str(error) or "unreadable"
            message = f"{path}: cannot be read as a model file: damaged, or not written by model.save ({cause})"
        raise CheckpointError(message) from error
    try:
        header = json.loads(metadata["xpcnn"])
    except (KeyError, ValueError, RecursionError) as error:
        message = f"{path}: holds weights but no model of xpcnn; build the model and use model.load_state_dict"
        raise CheckpointError(message) from error
    if not isinstance(header, dict):
        message = f"{path}: the description of the model is damaged"
        raise CheckpointError(message)
    return arrays, header


def _write(path: Path, content: bytes) -> None:
    """Write beside the target, flush to the disk, rename; the folder's entry too."""
    path = path.resolve()  # a link is followed, not replaced
    temporary = None
    try:
        import tempfile  # loads a dozen modules that `import xpcnn` does not need

        handle, temporary = tempfile.mkstemp(prefix=f".{path.name[:100]}.", suffix=".tmp", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
        if hasattr(os, "O_DIRECTORY"):
            folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    except OSError as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        message = f"{path}: cannot be written ({error.strerror or error})"
        raise CheckpointError(message) from error


def _umask() -> int:
    """What the user's other files get; mkstemp's are private."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
