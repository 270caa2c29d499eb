"""Two checks of a second: is a gradient right, and does training go as it went where xpcnn was made?"""

import time
from collections.abc import Callable
from typing import Any

from xpcnn import datasets, models, optimizers
from xpcnn.backend import Device, Key, normal
from xpcnn.data import batches
from xpcnn.layers import BatchNorm2d, Conv2d, Flatten, Linear, MaxPool2d, ReLU
from xpcnn.models import Sequential
from xpcnn.testing import check_gradients
from xpcnn.training import Trainer

__all__ = ["check"]

# deepnotes(seed=0), ten steps of momentum at 0.01 with 32 digits each: float32 and float64 agree to 1e-6
FIRST, LAST, TOLERANCE = 2.463878, 1.328152, 0.01


def check(device: Device) -> dict[str, dict[str, Any]]:
    """
    Run the checks on a device.

    Returns
    -------
    results : dict
        By the check's name: ``ok``, ``text`` and ``seconds``. Whatever goes wrong is a result, not an exception.
    """
    return {name: _timed(test, device) for name, test in (("gradients", _gradients), ("training", _training))}


def _timed(test: Callable[[Device], tuple[bool, str]], device: Device) -> dict[str, Any]:
    started = time.perf_counter()
    try:
        ok, text = test(device)
    except Exception as error:  # a broken library may raise anything, and that is what is to be found out
        line = next(iter(str(error).strip().splitlines()), "")
        ok, text = False, f"{type(error).__name__}: {line}"
    return {"ok": ok, "text": text, "seconds": round(time.perf_counter() - started, 3)}


def _gradients(device: Device) -> tuple[bool, str]:
    model = Sequential(
        Conv2d(2, 3, 3, padding=1), BatchNorm2d(3), ReLU(), MaxPool2d(2), Flatten(), Linear(48, 4),
        dtype="float64", device=device,
    )  # fmt: skip
    check_gradients(model, device.asarray(normal((3, 2, 8, 8), Key(0, "selftest"))))
    return True, "a small network agrees with finite differences within 1e-7"


def _training(device: Device) -> tuple[bool, str]:
    data = datasets.load("mnist-mini")
    trainer = Trainer(models.deepnotes(seed=0, device=device), optimizer=optimizers.get("momentum", 0.01))
    x, y = device.asarray(data.x_train[:320]), device.asarray(data.y_train[:320])
    losses = [float(trainer.step(*batch)) for batch in batches(x, y, 32, seed=0)]
    ok = abs(losses[0] / FIRST - 1.0) < TOLERANCE and abs(losses[-1] / LAST - 1.0) < TOLERANCE
    text = f"the loss falls from {losses[0]:.3f} to {losses[-1]:.3f} in {len(losses)} steps of deepnotes"
    return ok, text if ok else f"{text}, expected {FIRST:.3f} to {LAST:.3f}"
