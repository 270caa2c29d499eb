"""Evaluation and prediction, batch by batch."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from xpcnn import ops
from xpcnn.backend import Array, device_like, to_numpy
from xpcnn.errors import ShapeError
from xpcnn.layers import LogSoftmax, Loss, Softmax, get_loss
from xpcnn.models import Model
from xpcnn.settings import count

from . import door
from .compiled import forward
from .metrics import Tally, check_metrics
from .samples import Samples, enter

if TYPE_CHECKING:
    import numpy as np

__all__ = ["evaluate", "predict", "predict_proba"]


def evaluate(
    model: Model,
    x: Array,
    y: Array,
    *,
    batch_size: int = 256,
    loss: Loss | str = "softmax_cross_entropy",
    sample_weight: Array | None = None,
    metrics: Sequence[str] = (),
) -> dict[str, float]:
    """Loss and accuracy over all samples; see `Model.evaluate`."""
    loss = door.reducing("evaluate", get_loss(loss))
    size = count("evaluate", "batch_size", batch_size)
    samples = enter("evaluate", model, loss, x, y, sample_weight)
    return run(model, samples, size, loss, check_metrics("evaluate", model, loss, samples.x, metrics))


def run(
    model: Model, samples: Samples, batch_size: int, loss: Loss, metrics: Sequence[str] = ()
) -> dict[str, float]:
    """`evaluate` for samples that passed the door."""
    tally = Tally(loss, metrics)
    with model.home.active():
        for x, y, weight in samples.cut(batch_size, shuffle=False):
            scores = forward(model, x)
            value = (loss(scores, y) if weight is None else loss.weighted(scores, y, weight))[0]
            tally.add(value, scores, y)
        return tally.logs()


def predict(model: Model, x: Array, *, batch_size: int = 256) -> "np.ndarray":
    """Most probable classes; see `Model.predict`."""
    xp = model.home.xp
    with model.home.active():
        labels = [xp.argmax(scores, axis=1) for scores in _scores("predict", model, x, batch_size)]
        return to_numpy(xp.concat(labels)).astype("int64")


def predict_proba(model: Model, x: Array, *, batch_size: int = 256) -> "np.ndarray":
    """Class probabilities; see `Model.predict_proba`."""
    xp = model.home.xp
    last = model.last
    while isinstance(last, Model):
        last = last.last
    parts = []
    with model.home.active():
        for scores in _scores("predict_proba", model, x, batch_size):
            if isinstance(last, Softmax):
                parts.append(scores)
            else:
                parts.append(xp.exp(scores) if isinstance(last, LogSoftmax) else ops.softmax(scores))
        return to_numpy(xp.concat(parts))


def _scores(who: str, model: Model, x: Array, batch_size: int) -> Iterator[Array]:
    """The model's output for each batch; to be taken inside of ``model.home.active()``."""
    size = count(who, "batch_size", batch_size)
    x = door.inputs(who, model, x)
    out = model.output_shape(tuple(x.shape[1:]))
    if len(out) != 1:
        message = f"{who}: expected a model that gives scores (K,) for each sample, got {out}: end with Linear"
        raise ShapeError(message)
    n = x.shape[0]
    if model.home.owns(x):
        parts: Iterable[Array] = (x[start : min(start + size, n), ...] for start in range(0, n, size))
    else:
        numbers = device_like(x).xp.arange(n)
        parts = model.home.feed(x, [numbers[start : start + size] for start in range(0, n, size)])
    for part in parts:
        yield forward(model, part)
