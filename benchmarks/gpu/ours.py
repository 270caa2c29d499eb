"""This library, step by step as Python calls it, and as a captured step where `Trainer` can do that."""

import inspect
from typing import Any

import numpy as np

from .clocks import Clock, cupy_clock
from .job import Job, Ready, Refused
from .prepare import batch
from .works import LR, MOMENTUM


def ready(job: Job) -> Ready:
    """Model, data and step on the device."""
    import xpcnn
    from xpcnn.backend import to_numpy
    from xpcnn.errors import ConfigError, DtypeError, StateDictError

    try:
        net = getattr(xpcnn.models, job.model)(device=job.device, dtype=job.dtype, seed=0, **job.options)
        net.load_state_dict(job.weights())
        settings = trainer_settings(job.contender, job.tf32)
        if job.optimizer:
            trainer = xpcnn.Trainer(net, "softmax_cross_entropy", _optimizer(job.optimizer), **settings)
    except (ConfigError, DtypeError, StateDictError) as error:  # a precision or an option that it does not have
        raise Refused(str(error)) from error
    for _, layer in net.leaves():
        if job.same_sums and isinstance(layer, xpcnn.Dropout):
            layer.p = 0.0
    images, labels = batch(job.shape, job.batch, job.classes)
    x, y = net.home.asarray(images), net.home.asarray(labels)
    about, clock = f"xpcnn {xpcnn.__version__}, NumPy {np.__version__}", Clock()
    if job.device != "cpu":
        import cupy

        about, clock = f"xpcnn {xpcnn.__version__}, CuPy {cupy.__version__}", cupy_clock(cupy)
    if job.optimizer is None:
        return Ready(lambda: net(x), to_numpy, clock, about)
    return Ready(lambda: trainer.step(x, y), to_numpy, clock, about)


def trainer_settings(contender: str, tf32: bool) -> dict[str, Any]:
    """
    What `Trainer` is told, as far as this version of it has such arguments.

    Raises
    ------
    Refused
        If it lacks one that the contender needs.
    """
    import xpcnn

    known = inspect.signature(xpcnn.Trainer).parameters
    settings: dict[str, Any] = {}
    if contender.endswith("compiled"):
        settings["compile"] = "auto"
    elif "compile" in known and known["compile"].default == "auto":
        settings["compile"] = False
    if tf32:
        settings["allow_tf32"] = True
    for name in settings:
        if name not in known:
            message = f"xpcnn.Trainer has no argument {name} in this version"
            raise Refused(message)
    return settings


def _optimizer(name: str) -> Any:
    from xpcnn import optimizers

    if name == "adam":
        return optimizers.Adam(LR[name])
    return optimizers.SGD(LR[name], momentum=MOMENTUM)
