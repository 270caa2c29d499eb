"""This library: steps and batches as Python starts them, and as captured graphs."""

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
    from xpcnn.training.compiled import forward

    captured = job.contender.endswith("compiled")
    settings = {"device": job.device, "dtype": job.dtype, "seed": 0, "allow_tf32": job.tf32}
    try:
        net = getattr(xpcnn.models, job.model)(**settings, **job.options)
        net.load_state_dict(job.weights())
        if job.optimizer:
            compile = "auto" if captured else False
            trainer = xpcnn.Trainer(net, "softmax_cross_entropy", _optimizer(job.optimizer), compile=compile)
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
        return Ready(lambda: forward(net, x) if captured else net(x), to_numpy, clock, about)
    return Ready(lambda: trainer.step(x, y), to_numpy, clock, about)


def _optimizer(name: str) -> Any:
    from xpcnn import optimizers

    if name == "adam":
        return optimizers.Adam(LR[name])
    return optimizers.SGD(LR[name], momentum=MOMENTUM)
