"""Parameters and buffers as one flat dict, out and in."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from xpcnn.backend import Array, array_namespace, is_array, to_numpy
from xpcnn.errors import StateDictError

if TYPE_CHECKING:
    from .sequential import Sequential

__all__ = ["Incompatible", "load_state_dict", "state_dict"]


class Incompatible(NamedTuple):
    """Names that ``load_state_dict(..., strict=False)`` did not find, and those it had no use for."""

    missing_keys: list[str]
    unexpected_keys: list[str]


def _entries(model: "Sequential") -> dict[str, tuple[dict[str, Array], str]]:
    """Where each name's array is held, layer by layer in PyTorch's order: parameters, then buffers."""
    entries = {}
    for path, leaf in model.leaves():
        if path not in model.aliases:
            for arrays in (leaf.params, leaf.buffers):
                entries.update({f"{path}.{own}": (arrays, own) for own in arrays})
    return entries


def state_dict(model: "Sequential") -> dict[str, Array]:
    """Copies of all parameters and buffers; see `Sequential.state_dict`."""
    return {
        name: array_namespace(arrays[own]).asarray(arrays[own], copy=True)
        for name, (arrays, own) in _entries(model).items()
    }


def load_state_dict(model: "Sequential", state: Mapping[str, Array], strict: bool = True) -> Incompatible:
    """Copy a state_dict into a model, all of it or nothing; see `Sequential.load_state_dict`."""
    entries = _entries(model)
    missing = [name for name in entries if name not in state]
    unexpected = [name for name in state if name not in entries]
    problems = [f"missing {name}" for name in missing] + [f"unexpected {name}" for name in unexpected] if strict else []
    fitting = {}
    for name, (arrays, own) in entries.items():
        if name not in state:
            continue
        value, old = state[name], arrays[own]
        if not is_array(value):
            problems.append(f"{name}: expected an array, got {type(value).__qualname__}")
            continue
        kind = "real floating" if array_namespace(old).isdtype(old.dtype, "real floating") else "integral"
        if tuple(value.shape) != tuple(old.shape):
            problems.append(f"{name}: expected shape {tuple(old.shape)}, got {tuple(value.shape)}")
        elif not array_namespace(value).isdtype(value.dtype, kind):
            problems.append(f"{name}: expected a {kind} dtype, got {value.dtype}")
        else:
            fitting[name] = value
    if problems:
        message = "state_dict does not fit the model, nothing was loaded:\n  " + "\n  ".join(problems)
        raise StateDictError(message)
    home, dtype = model.home, model.dtype
    loaded = {
        name: home.asarray(to_numpy(value).copy(), dtype if _is_float(entries[name]) else "int64")
        for name, value in fitting.items()
    }
    for name, value in loaded.items():
        arrays, own = entries[name]
        arrays[own] = value
    return Incompatible(missing, unexpected)


def _is_float(entry: tuple[dict[str, Array], str]) -> bool:
    arrays, own = entry
    return array_namespace(arrays[own]).isdtype(arrays[own].dtype, "real floating")
