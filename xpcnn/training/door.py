"""
The door of the loops: what a user hands in is checked and moved here, once, before anything is computed.

Layers and ops behind it never convert.
"""

import logging
import math
from typing import Any

from xpcnn.backend import Array, array_namespace, device_like, is_array, library, resolve, to_numpy
from xpcnn.data.augment import Transform
from xpcnn.errors import ConfigError, DtypeError, NamespaceError, ShapeError
from xpcnn.layers import Loss
from xpcnn.models import Model
from xpcnn.ops.checks import common, conversion, images_hint, said

__all__ = ["check_augment", "check_batches", "check_step", "expect_here", "inputs", "reducing", "targets"]

log = logging.getLogger("xpcnn")

ITEMSIZES = {"float32": 4, "float64": 8}


def reducing(who: str, loss: Loss) -> Loss:
    """The loss, if it makes one number of a batch; ConfigError otherwise."""
    if loss.reduction == "none":
        message = f"{who}: expected a loss with the reduction 'mean' or 'sum', got {type(loss).__name__} with 'none'"
        raise ConfigError(message)
    return loss


def inputs(who: str, model: Model, x: Array) -> Array:
    """
    Inputs on the model's device and of the dtype of its parameters; where that GPU has no room for them, on the host.

    Floating NumPy arrays are moved and cast; integers are not, because bytes want to be scaled first.

    Raises
    ------
    NamespaceError, DtypeError, ShapeError
    """
    expect_here(who, model, "x", x)
    common(who, x=x)
    if x.ndim < 2 or 0 in x.shape:
        message = f"{who}: expected x of shape (N, ...), not empty, got {tuple(x.shape)}"
        raise ShapeError(message)
    check_fits(who, model, tuple(x.shape))
    home, size = model.home, math.prod(x.shape) * ITEMSIZES[model.params_dtype]
    if home.owns(x) or home.fits(size):
        return home.asarray(x, model.params_dtype)
    log.info("%s: x of %.1f GiB stays on the host; its batches are copied to %s one by one", who, size / 2**30, home)
    return resolve("cpu").asarray(x, model.params_dtype)


def targets(who: str, model: Model, loss: Loss, x: Array, y: Array) -> Array:
    """
    Targets for inputs that passed the door, checked against the model's output and moved.

    All labels are read here, once, so that no step has to.

    Raises
    ------
    NamespaceError, LabelError, ShapeError
    """
    expect_here(who, model, "y", y)
    _check_target(who, model, loss, x, to_numpy(y))
    return model.home.asarray(y, "int64" if array_namespace(y).isdtype(y.dtype, "integral") else model.params_dtype)


def check_fits(who: str, model: Model, shape: tuple[int, ...]) -> None:
    """Raise `ShapeError` unless the model takes a batch of that shape; the text shows the shape as it came in."""
    try:
        model.output_shape(shape[1:])
    except ShapeError as error:
        at_entrance = error.expected is not None and error.got == (1, *shape[1:])  # nothing was computed before
        wanted: tuple[Any, ...] | None = error.expected if at_entrance else None
        if model.input_shape is not None:
            wanted = ("N", *model.input_shape)
        hint = images_hint(shape, wanted[1]) if wanted and len(wanted) == 4 else ""
        if model.input_shape is not None and not hint and math.prod(shape[1:]) == math.prod(model.input_shape):
            hint = f"reshape to {(shape[0], *model.input_shape)}"
        if not hint and at_entrance:
            hint = error.hint
        elif not hint:
            hint = str(error)
            if error.got is not None:  # the layers are asked about one sample
                hint = hint.replace(f"got {error.got}", f"got {(shape[0], *error.got[1:])}")
        fitting = "that fits the model" if wanted is None else f"of shape {said(wanted)}"
        message = f"{who}: expected x {fitting}, got {shape}{hint and ': ' + hint}"
        raise ShapeError(message) from error


def check_batches(who: str, model: Model, shape: tuple[int, ...], batch_size: int) -> None:
    """Raise `ShapeError` if the last, smaller batch of an epoch would be too small for batch norm."""
    n = shape[0]
    smallest = n % batch_size or batch_size
    needed = model.min_batch(tuple(shape[1:]))
    if min(smallest, n) < needed:
        message = (
            f"{who}: expected batches of at least {needed} samples (batch norm needs more than one value per channel), "
            f"got a last batch of {min(smallest, n)} from {n} samples with batch_size={batch_size}: "
            f"choose another batch_size or leave out {min(smallest, n)} sample(s)"
        )
        raise ShapeError(message)


def check_augment(who: str, model: Model, loss: Loss, augment: Transform, x: Array, y: Array) -> None:
    """
    Raise unless the transform takes these samples and labels, and model and loss what comes out.

    Raises
    ------
    ConfigError, ShapeError, LabelError
    """
    if not isinstance(augment, Transform):
        message = f"{who}: expected augment to be a transform such as Compose([RandomCrop(28, 2)]), got {augment!r}"
        raise ConfigError(message)
    check_fits(f"{who}, after augment", model, augment.expect(x, device_like(x).asarray(y)))
    # labels can become distributions, of which only a sample tells
    _check_target(f"{who}, after augment", model, loss, *augment(model.home.asarray(x[:1, ...]), y[:1, ...], [0]))


def check_step(who: str, model: Model, loss: Loss, x: Array, y: Array) -> tuple[int, ...]:
    """
    Raise before anything is computed if a step with this batch would fail on the way; the shape of the output.

    Raises
    ------
    DtypeError, ShapeError, LabelError
    """
    xp = common(who, x=x)
    if x.dtype not in (getattr(xp, model.params_dtype), model.home.dtype(model.dtype)):
        message = f"{who}: expected x of the model's dtype {model.params_dtype}, got {x.dtype}: convert it, as in "
        message += conversion("x", x, model.params_dtype)
        raise DtypeError(message)
    if x.ndim < 2 or 0 in x.shape:
        message = f"{who}: expected x of shape (N, ...), not empty, got {tuple(x.shape)}"
        raise ShapeError(message)
    check_fits(who, model, tuple(x.shape))
    check_batches(who, model, tuple(x.shape), x.shape[0])
    return _check_target(who, model, loss, x, y)


def _check_target(who: str, model: Model, loss: Loss, x: Array, y: Array) -> tuple[int, ...]:
    """Raise unless the loss takes these targets with what the model makes of these inputs; the shape of that."""
    out = model.output_shape(tuple(x.shape[1:]))
    if loss.classifies and len(out) != 1:
        message = f"{who}: expected a model that gives scores (K,) for each sample, got {out}: end with Linear"
        raise ShapeError(message)
    shape = (x.shape[0], *out)
    loss.check(shape, y)
    return shape


def expect_here(who: str, model: Model, name: str, a: Array) -> None:
    """Raise `NamespaceError` unless `a` is a NumPy array, or one on the model's device."""
    if not is_array(a):
        kind = f"{type(a).__module__}.{type(a).__qualname__}".removeprefix("builtins.")
        message = f"{who}: expected {name} to be an array, got {kind}: convert it first, e.g. with numpy.asarray"
        raise NamespaceError(message)
    if library(a) != "numpy" and not model.home.owns(a):
        message = (
            f"{who}: expected {name} to be a NumPy array or an array on the model's device {model.device}, "
            f"got one of {library(a)}: convert it, or move the model with model.to(like={name})"
        )
        raise NamespaceError(message)
