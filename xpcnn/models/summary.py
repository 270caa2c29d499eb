"""The table that a model prints of itself, from shapes alone: nothing is computed."""

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from xpcnn.errors import ConfigError
from xpcnn.settings import count, integer, readable

from .container import Container, Visit, traverse

if TYPE_CHECKING:
    from .model import Model

__all__ = ["asked_shape", "summary", "table"]


def summary(model: "Model", input_shape: Sequence[int] | None = None, batch: int = 1) -> str:
    """Table of a model's layers; see `Model.summary`."""
    who = f"{type(model).__name__}.summary"
    batch = count(who, "batch", batch)
    shape = asked_shape(who, model, input_shape)
    itemsize = _bits(model.dtype) // 8
    sources = dict(_sources(model))
    title = ("name", "layer", "output", "parameters", "multiply-adds")
    rows: list[tuple[str, ...]] = [(*title, "inputs") if sources else title]
    seen: set[int] = set()

    def row(path: str, layer: Any, out: tuple[int, ...] | None, macs: int | None) -> None:
        shared = id(layer) in seen
        seen.add(id(layer))
        own = "(shared)" if shared else f"{sum(math.prod(p.shape) for p in layer.params.values()):,}"
        output = "?" if out is None else str((batch, *out))
        cells = (path, repr(layer), output, own, "?" if macs is None else f"{macs * batch:,}")
        # a block's inputs stand beside its first layer
        into = [sources.pop(node) for node in list(sources) if f"{path}.".startswith(f"{node}.")]
        rows.append((*cells, "; ".join(into)) if len(rows[0]) > len(cells) else cells)

    def see(visit: Visit) -> None:
        row(visit.path, visit.layer, visit.output_shape, visit.layer.cost(visit.input_shape, itemsize).macs)

    if shape is None:
        for path, leaf in model.leaves():
            row(path, leaf, None, None)
    else:
        traverse(model, shape, see)

    params = sum(math.prod(p.shape) for p in model.params.values())
    buffers = sum(math.prod(b.shape) for b in model.buffers.values())
    lines = [*table(rows, right=(3, 4)), ""]
    beside = f"  ({buffers:,} more numbers in buffers)" if buffers else ""
    lines.append(f"parameters    {params:>15,}  {readable(params * _bits(model.params_dtype) // 8)}{beside}")
    learned = sum(math.prod(p.shape) for p in model.trainable.values())
    if learned < params:
        lines.append(f"trainable     {learned:>15,}")
        lines.append(f"frozen        {params - learned:>15,}")
    if shape is None:
        lines.append("shapes        unknown: give summary(input_shape=(C, H, W)) or Sequential(..., input_shape=...)")
        return "\n".join(lines)
    cost = model.cost(shape, itemsize)
    lines.append(f"multiply-adds {cost.macs * batch:>15,}  forward, batch of {batch}")
    lines.append(f"activations   {'':>15}  {readable(cost.extra * batch)} kept for backward")
    workspace = readable(cost.workspace * batch)
    lines.append(f"workspace     {'':>15}  {workspace} for the largest array needed for a moment")
    return "\n".join(lines)


def asked_shape(who: str, model: "Model", input_shape: Any) -> Any:
    """The shape of one input that a table is asked for, checked; the model's own where none is given."""
    if input_shape is None:
        return model.input_shape
    number = integer(input_shape)
    if number is not None:
        message = f"{who}: expected input_shape to be a tuple of integers, got {number}: did you mean batch={number}?"
        raise ConfigError(message)
    return model._shape_in(input_shape)


def _sources(container: Container, prefix: str = "") -> Iterator[tuple[str, str]]:
    """For the nodes of all graphs inside, the names of their inputs."""
    for name, child in container.children.items():
        if (found := getattr(container, "sources", None)):
            yield f"{prefix}{name}", ", ".join(found[name])
        if isinstance(child, Container):
            yield from _sources(child, f"{prefix}{name}.")


def _bits(dtype: str) -> int:
    """Of one number."""
    return int(dtype.rpartition("float")[2])


def table(rows: Sequence[tuple[str, ...]], right: tuple[int, ...]) -> list[str]:
    """Lines of a table: the first row is its title, and the columns with the numbers `right` are flush right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = []
    for i, cells in enumerate(rows):
        padded = [c.rjust(w) if k in right else c.ljust(w) for k, (c, w) in enumerate(zip(cells, widths, strict=True))]
        lines.append("  ".join(padded).rstrip())
        if i == 0:
            lines.append("  ".join("-" * w for w in widths))
    return lines
