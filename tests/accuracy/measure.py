"""The errors of both, against PyTorch in float64 on the same float32 inputs."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch

from tests.accuracy.cases import Hard
from tests.oracle import torch_model
from tests.strategies import LossCase
from xpcnn.backend import Key, normal

torch.set_num_threads(1)

# a quarter of float32's unit roundoff of 2^-24; rounding costs 2^-25.3 on average, less only where numbers are lucky
LEAST = 2.0**-26


class Row(NamedTuple):
    """
    One array of one case.

    ``ours`` and ``torchs`` are errors, root mean square over the root mean square of the array; ``rounding`` is that of
    the exact array rounded to float32: nothing can be better.
    """

    family: str
    name: str
    array: str
    ours: float
    torchs: float
    rounding: float

    @property
    def ratio(self) -> float:
        """Ours over PyTorch's; what is below the error of rounding counts as rounding."""
        least = max(self.rounding, LEAST)
        return max(self.ours, least) / max(self.torchs, least)


def rms(a: np.ndarray) -> float:
    """Root mean square, of numbers of any size: scaled, so that no square overflows or vanishes."""
    largest = float(np.max(np.abs(a), initial=0.0))
    return largest * math.sqrt(float(np.mean((a / largest) ** 2))) if largest else 0.0


def rows_of(hard: Hard) -> Iterator[Row]:
    exact, theirs, own = (run(hard) for run in (_exact, _theirs, _ours))
    for array, truth in exact.items():
        scale = rms(truth)
        if not scale or not np.isfinite(truth).all():
            continue
        rounded = truth.astype("float32").astype("float64")
        errors = (rms(a - truth) / scale for a in (own[array], theirs[array], rounded))
        yield Row(hard.family, hard.name, array, *errors)


def measure(cases: list[Hard]) -> list[Row]:
    return [row for hard in cases for row in rows_of(hard)]


def geometric_mean(rows: list[Row]) -> float:
    return math.exp(sum(math.log(row.ratio) for row in rows) / len(rows))


def _inputs(hard: Hard) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """x, dy and parameters in float32, the same for all three."""
    layer = hard.case.layer()
    x = hard.x(normal(hard.case.shape, Key(1, "x"))).astype("float32")
    dy = normal((x.shape[0], *layer.output_shape(x.shape[1:])), Key(1, "dy")).astype("float32")
    params = {name: (p + 0.1 * normal(p.shape, Key(1, name))).astype("float32") for name, p in layer.params.items()}
    return x, dy, params


def _ours(hard: Hard) -> dict[str, np.ndarray]:
    case = hard.case
    if isinstance(case, LossCase):
        value, gradient = case.loss()(case.prediction.astype("float32"), _target(case, "float32"))
        return _doubles({"value": value, "gradient": gradient})
    layer = case.layer()
    x, dy, params = _inputs(hard)
    layer.params.update(params)
    with np.errstate(all="ignore"):
        y, cache = layer.forward(x, train=True)
        dx, grads = layer.backward(dy, cache)
    return _doubles({"y": y, "dx": dx, **{f"d {name}": g for name, g in grads.items()}, **layer.buffers})


def _theirs(hard: Hard) -> dict[str, np.ndarray]:
    return _torch(hard, torch.float32)


def _exact(hard: Hard) -> dict[str, np.ndarray]:
    return _torch(hard, torch.float64)


def _torch(hard: Hard, dtype: torch.dtype) -> dict[str, np.ndarray]:
    case = hard.case
    if isinstance(case, LossCase):
        z = torch.from_numpy(case.prediction.astype("float32")).to(dtype).requires_grad_()
        target = torch.from_numpy(_target(case, "float32"))
        target = target.to(dtype) if target.is_floating_point() else target
        value = torch_model.LOSSES[case.cls](z, target, dict(case.args))
        (gradient,) = torch.autograd.grad(value, z)
        return _doubles({"value": value.detach().numpy(), "gradient": gradient.numpy()})
    x, dy, params = _inputs(hard)
    module = torch_model.build(case).to(dtype)
    named = {n.replace("inner.", ""): t for n, t in [*module.named_parameters(), *module.named_buffers()]}
    with torch.no_grad():
        for name, p in params.items():
            named[name].copy_(torch.from_numpy(p))
    x_torch = torch.from_numpy(x).to(dtype).requires_grad_()
    y = module(x_torch)
    grads = torch.autograd.grad(y, [x_torch, *(named[name] for name in params)], torch.from_numpy(dy).to(dtype))
    out = {"y": y.detach(), "dx": grads[0]}
    out |= {f"d {name}": g for name, g in zip(params, grads[1:], strict=True)}
    out |= {name: t for name, t in module.named_buffers() if t.is_floating_point()}
    return _doubles({name: t.detach().numpy() for name, t in out.items()})


def _target(case: LossCase, dtype: str) -> np.ndarray:
    return case.target.astype(dtype) if case.target.dtype.kind == "f" else case.target


def _doubles(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: np.asarray(a, dtype="float64") for name, a in arrays.items() if np.asarray(a).dtype.kind == "f"}
