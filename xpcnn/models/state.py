"""Parameters and buffers as one flat dict, out and in."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from xpcnn.backend import Array, array_namespace, is_array, is_writeable, resolve, to_numpy, undrawn
from xpcnn.errors import StateDictError

if TYPE_CHECKING:
    import numpy as np

    from .model import Model

__all__ = [
    "Incompatible", "fill", "host_state", "keep_buffers", "load_state_dict", "nonfinite", "state_dict",
    "unchanged_on_error",
]  # fmt: skip


class Incompatible(NamedTuple):
    """Names that ``load_state_dict(..., strict=False)`` did not find, and those it had no use for."""

    missing_keys: list[str]
    unexpected_keys: list[str]


def _entries(model: "Model") -> dict[str, tuple[dict[str, Array], str]]:
    """Where each name's array is held, layer by layer in PyTorch's order: parameters, then buffers."""
    entries = {}
    for path, leaf in model.leaves():
        if path not in model.aliases:
            for arrays in (leaf.params, leaf.buffers):
                entries.update({f"{path}.{own}": (arrays, own) for own in arrays})
    return entries


def state_dict(model: "Model") -> dict[str, Array]:
    """Copies of all parameters and buffers; see `Model.state_dict`."""
    with model.home.active():
        return {name: model.home.xp.asarray(arrays[own], copy=True) for name, (arrays, own) in _entries(model).items()}


def host_state(model: "Model") -> dict[str, "np.ndarray"]:
    """The state_dict on the host, in C order: copied once, as it goes into a file."""
    xp = resolve("cpu").xp
    with model.home.active():
        found = {name: to_numpy(arrays[own]) for name, (arrays, own) in _entries(model).items()}
    return {name: xp.asarray(a, order="C", copy=True) for name, a in found.items()}


def load_state_dict(model: "Model", state: Mapping[str, Array], strict: bool = True) -> Incompatible:
    """Copy a state_dict into a model, all of it or nothing; see `Model.load_state_dict`."""
    if not isinstance(state, Mapping):
        message = f"load_state_dict: expected a mapping of names to arrays, got {type(state).__name__}"
        raise StateDictError(message)
    entries = _entries(model)
    result, fitting = _compared(model, entries, state, strict)
    for name, value in fitting.items():
        arrays, own = entries[name]
        dtype = model.params_dtype if _is_float(arrays[own]) else "int64"
        # in place, so that whoever holds the array sees the new values too
        if is_writeable(arrays[own]):
            arrays[own][...] = model.home.asarray(to_numpy(value), dtype)
        else:
            arrays[own] = model.home.asarray(to_numpy(value).copy(), dtype)
    return result


def fill(model: "Model", state: Mapping[str, Array]) -> None:
    """
    `load_state_dict` for a model in which nothing was drawn yet, and nothing will be.

    All shapes are compared before memory is asked for: the model's may be anything that a file says, the arrays are
    there already.

    Raises
    ------
    StateDictError
    """
    leaves = [leaf for _, leaf in model.leaves()]
    with undrawn(hollow=True):
        _compared(model, _entries(model), state, strict=True)
    for leaf in leaves:
        leaf._forget()
    with undrawn():
        load_state_dict(model, state)


def nonfinite(state: Mapping[str, Array]) -> list[str]:
    """Names of the arrays with NaN or infinity in them."""
    found = []
    for name, a in state.items():
        xp = array_namespace(a)
        if xp.isdtype(a.dtype, "real floating") and not xp.all(xp.isfinite(a)):
            found.append(name)
    return found


def _compared(
    model: "Model", entries: dict[str, tuple[dict[str, Array], str]], state: Mapping[str, Array], strict: bool
) -> tuple[Incompatible, dict[str, Array]]:
    """Names that differ, and the arrays that fit; all that does not is one error."""
    missing = [name for name in entries if name not in state]
    # a layer at two places has two names in PyTorch's files, and one here
    unexpected = [name for name in state if name not in entries and name.rpartition(".")[0] not in model.aliases]
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
    return Incompatible(missing, unexpected), fitting


Buffers: TypeAlias = list[tuple[dict[str, Array], dict[str, Array]]]  # of each layer, and what was in it


@contextmanager
def unchanged_on_error(model: "Model") -> Iterator[Buffers]:
    """
    Give all layers their buffers back when something fails inside.

    Layers replace running statistics in forward, before a later layer, the loss or the optimizer may refuse.
    """
    before = [(leaf.buffers, dict(leaf.buffers)) for _, leaf in model.leaves()]
    step = model.step
    try:
        yield before
    except BaseException:
        model.step = step
        for buffers, old in before:
            buffers.update(old)
        raise


def keep_buffers(model: "Model", before: Buffers, go: Array) -> None:
    """Give layers back what they replaced, unless an array of one bool is true; nobody waits for the device."""
    for buffers, old in before:
        for name, a in old.items():
            if buffers[name] is not a:
                buffers[name] = model.home.xp.where(go, buffers[name], a)


def _is_float(a: Array) -> bool:
    return array_namespace(a).isdtype(a.dtype, "real floating")
