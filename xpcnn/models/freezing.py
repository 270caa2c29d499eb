"""
Which parameters training leaves alone.

Each layer at the bottom holds the names of its own that are frozen, so that a layer at two places is frozen at both,
and blocks need to know nothing.
"""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from xpcnn.errors import ConfigError
from xpcnn.settings import like

if TYPE_CHECKING:
    from .container import Container

__all__ = ["frozen_names", "set_frozen"]


def set_frozen(model: "Container", names: Sequence[str], *, frozen: bool) -> None:
    """Freeze or release all that the names say; see `Model.freeze`."""
    who = f"{type(model).__name__}.{'freeze' if frozen else 'unfreeze'}"
    chosen = [(leaf, set(own)) for _, leaf, own in _owned(model)] if not names else _chosen(who, model, names)
    for leaf, own in chosen:
        leaf.frozen = leaf.frozen | own if frozen else leaf.frozen - own


def frozen_names(model: "Container") -> list[str]:
    """Full names of all frozen parameters and buffers, a shared layer's once."""
    return [
        f"{path}.{name}"
        for path, leaf, own in _owned(model)
        if path not in model.aliases
        for name in own
        if name in leaf.frozen
    ]


def _owned(model: "Container") -> list[tuple]:
    return [(path, leaf, [*leaf.params, *leaf.buffers]) for path, leaf in model.leaves()]


def _chosen(who: str, model: "Container", names: Sequence[str]) -> list[tuple]:
    """Each layer with those of its names that are meant; raises before anything is changed."""
    chosen, known = [], {}
    used = set()
    for pattern in names:
        if not isinstance(pattern, str):
            message = f"{who}: expected names of layers or parameters, got {pattern!r}"
            raise ConfigError(message)
    patterns = [pattern for pattern in names if any(letter in pattern for letter in "*?[")]
    plain = set(names)  # a name in full is looked up: a file's hundreds, each matched with each, would take minutes
    for path, leaf, own in _owned(model):
        parts = path.split(".")
        layers = [".".join(parts[:i]) for i in range(1, len(parts) + 1)]  # the blocks around it, and itself
        full = {f"{path}.{name}": name for name in own}
        known.update(dict.fromkeys([*layers, *full]))
        hits = plain.intersection(layers)
        used |= hits | plain.intersection(full)
        chosen.append((leaf, set(own) if hits else {name for long, name in full.items() if long in plain}))
        for pattern in patterns:
            whole = any(fnmatchcase(layer, pattern) for layer in layers)
            meant = {name for long, name in full.items() if whole or fnmatchcase(long, pattern)}
            if whole or meant:
                used.add(pattern)
                chosen.append((leaf, meant))
    for pattern in names:
        if pattern not in used:
            some = ", ".join(list(known)[:6]) + (", ..." if len(known) > 6 else "")
            hint = like(pattern, known) or f": there are {some}"
            message = f"{who}: expected names of layers or parameters, or patterns of them, got {pattern!r}{hint}"
            raise ConfigError(message)
    return chosen
