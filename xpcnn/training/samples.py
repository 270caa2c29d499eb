"""Samples with their targets and weights, on the model's device, and how they are cut into batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from xpcnn.backend import Array, array_namespace, device_like, is_array, library, take, to_numpy
from xpcnn.data import batches, order
from xpcnn.data.augment import Transform
from xpcnn.errors import ConfigError, DtypeError, ShapeError
from xpcnn.layers import Loss
from xpcnn.models import Model
from xpcnn.settings import integer, number

from . import door

__all__ = ["ClassWeight", "Samples", "check_weight", "enter"]

ClassWeight = Mapping[int, float] | Sequence[float]


class Samples(NamedTuple):
    """Inputs, targets and, where samples have them, weights of shape (N,); inputs may have stayed on the host."""

    x: Array
    y: Array
    weight: Array | None = None

    def part(self, start: int, stop: int) -> Samples:
        """Some of them, as they lie."""
        x, y, weight = self
        return Samples(x[start:stop, ...], y[start:stop, ...], None if weight is None else weight[start:stop])

    def cut(self, batch_size: int, **options: Any) -> Iterator[Samples]:
        """Batches, by the options of `xpcnn.data.batches`; weights come in the order of their samples."""
        if self.on_host():
            return self._fed(batch_size, **options)
        pairs = batches(self.x, self.y, batch_size, **options)
        if self.weight is None:
            return (Samples(x, y) for x, y in pairs)
        # an order is a pure function of seed and epoch
        order = {name: value for name, value in options.items() if name != "augment"}
        weights = batches(self.weight, self.weight, batch_size, **order)
        return (Samples(x, y, weight) for (x, y), (weight, _) in zip(pairs, weights, strict=True))

    def on_host(self) -> bool:
        """Whether the inputs stayed on the host, where a GPU has no room for them."""
        return library(self.x) != library(self.y)

    def _fed(self, batch_size: int, *, augment: Transform | None = None, **options: Any) -> Iterator[Samples]:
        """The same batches, of inputs that stayed on the host."""
        for batch, part, _ in self.numbered(batch_size, **options):
            if augment is None:
                yield batch
            else:
                x, y = augment(batch.x, batch.y, part, seed=options["seed"], epoch=options["epoch"])
                yield batch._replace(x=x, y=y)

    def numbered(
        self, batch_size: int, *, seed: int = 0, epoch: int = 0, shuffle: bool = True, first_batch: int = 0
    ) -> Iterator[tuple[Samples, Any, Array]]:
        """Batches of inputs that stayed on the host, and the samples' numbers: there, and on the device."""
        n, there = self.x.shape[0], device_like(self.y)
        numbers = order(n, seed, epoch) if shuffle else device_like(self.x).xp.arange(n)
        starts = range(first_batch * batch_size, n, batch_size)
        parts = [numbers[start : min(start + batch_size, n)] for start in starts]
        for part, x in zip(parts, there.feed(self.x, parts), strict=True):
            index = there.asarray(part)
            y, weight = take(self.y, index), None if self.weight is None else take(self.weight, index)
            yield Samples(x, y, weight), part, index

    def arrays(self) -> list[Array]:
        """Those that there are."""
        return [a for a in self if a is not None]

    def numbers(
        self, batch_size: int, *, seed: int, epoch: int, shuffle: bool, first_batch: int = 0
    ) -> Iterator[Array]:
        """What :meth:`chosen` takes to give the batches of :meth:`cut`, on the device."""
        n, here = self.x.shape[0], device_like(self.x)
        moved = here.asarray(order(n, seed, epoch)) if shuffle else here.xp.arange(n, device=here.native)
        starts = range(first_batch * batch_size, n, batch_size)
        return (moved[start : min(start + batch_size, n)] for start in starts)

    def chosen(self, index: Array) -> Samples:
        """The samples of those numbers."""
        return Samples(*(None if a is None else take(a, index) for a in self))

    def transformed(self, augment: Transform, index: Array, seed: int, epoch: Array) -> Samples:
        """The samples of those numbers, as they are in the epoch whose number lies beside them on the device."""
        x, y = augment.by_number(self.x, self.y, index, seed, epoch)
        return self._replace(x=x, y=y)


def enter(
    who: str,
    model: Model,
    loss: Loss,
    x: Array,
    y: Array,
    sample_weight: Array | None = None,
    class_weight: ClassWeight | None = None,
) -> Samples:
    """
    What a user handed in, checked and moved to the model's device.

    Raises
    ------
    ShapeError, LabelError, DtypeError, NamespaceError, ConfigError
    """
    x = door.inputs(who, model, x)
    y = door.targets(who, model, loss, x, y)
    if class_weight is not None:
        if sample_weight is not None:
            message = f"{who}: expected class_weight or sample_weight, got both: multiply them yourself"
            raise ConfigError(message)
        return Samples(x, y, _of_classes(who, model, loss, x, y, class_weight))
    if sample_weight is None:
        return Samples(x, y)
    check_weight(who, model, loss, x, sample_weight)
    host = to_numpy(sample_weight)
    if not ((host >= 0.0) & (host < float("inf"))).all():
        message = f"{who}: expected sample_weight of finite numbers of at least 0, got {host.min()} to {host.max()}"
        raise ConfigError(message)
    return Samples(x, y, model.home.asarray(sample_weight, model.params_dtype))


def check_weight(who: str, model: Model, loss: Loss, x: Array, sample_weight: Array) -> None:
    """
    Raise unless there is one real number for each sample, and the loss has a value for each.

    Raises
    ------
    ShapeError, DtypeError, NamespaceError, ConfigError
    """
    door.expect_here(who, model, "sample_weight", sample_weight)
    if type(loss).each is Loss.each:
        message = f"{who}: expected a loss with a value for each sample to weigh, got {type(loss).__name__}"
        raise ConfigError(message)
    if tuple(sample_weight.shape) != (x.shape[0],):
        message = (
            f"{who}: expected sample_weight of shape {(x.shape[0],)}, one for each sample, "
            f"got {tuple(sample_weight.shape)}"
        )
        raise ShapeError(message)
    if not array_namespace(sample_weight).isdtype(sample_weight.dtype, ("real floating", "integral")):
        message = f"{who}: expected sample_weight of real numbers, got {sample_weight.dtype}"
        raise DtypeError(message)


def _of_classes(who: str, model: Model, loss: Loss, x: Array, y: Array, class_weight: ClassWeight) -> Array:
    """The weight of each sample's class; 1 for classes that are not mentioned, and for labels that are ignored."""
    if not loss.classifies:
        message = f"{who}: expected a loss over classes for class_weight, got {type(loss).__name__}"
        raise ConfigError(message)
    classes = model.output_shape(tuple(x.shape[1:]))[0]
    table = [1.0] * (classes + 1)
    class_weight = to_numpy(class_weight).tolist() if is_array(class_weight) else class_weight
    listed = isinstance(class_weight, Sequence) and not isinstance(class_weight, str)
    if not listed and not isinstance(class_weight, Mapping):
        message = f"{who}: expected class_weight to be a dict {{class: weight}} or a list, got {class_weight!r}"
        raise ConfigError(message)
    if listed and len(class_weight) != classes:
        message = f"{who}: expected class_weight for each of {classes} classes, got {len(class_weight)}"
        raise ConfigError(message)
    pairs = class_weight.items() if isinstance(class_weight, Mapping) else enumerate(class_weight)
    for label, weight in pairs:
        plain = integer(label)
        if plain is None or not 0 <= plain < classes:
            message = f"{who}: expected class_weight of classes from 0 to {classes - 1}, got one of {label!r}"
            raise ConfigError(message)
        table[plain] = number(who, f"class_weight of class {plain}", weight, least=0)
    xp = model.home.xp
    with model.home.active():
        labels = xp.argmax(y, axis=1) if y.ndim == 2 else y
        known = xp.logical_and(labels >= 0, labels < classes)
        index = xp.where(known, labels, classes)
        return xp.take(xp.asarray(table, dtype=x.dtype, device=model.home.native), index, axis=0)
