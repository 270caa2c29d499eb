"""
The same lines on two array libraries: same initial weights, same dropout masks, and losses that differ by rounding.

    python examples/02_same_code_on_two_devices.py

NumPy is compared with each of these that is here: CuPy, if a GPU works; array-api-strict, whose "device1" is a stand-in
for a GPU, because NumPy cannot read what lies on it; PyTorch on the CPU.
"""

import sys

import numpy as np

import xpcnn
from xpcnn.backend import Key, to_numpy
from xpcnn.errors import DeviceUnavailable
from xpcnn.layers import Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU

STEPS, BATCH = 5, 16


def make_model(dtype):
    return xpcnn.Sequential(
        Conv2d(1, 8, 5, padding=2),
        ReLU(),
        MaxPool2d(4),
        Flatten(),
        Dropout(0.5),
        Linear(8 * 7 * 7, 10),
        dtype=dtype,
        seed=7,
    )


def second_places():
    """How to move a model to each place but NumPy's that there is on this machine."""
    try:
        make_model("float32").to("cuda")
    except DeviceUnavailable as error:
        print(f"left out: {error}\n")
    else:
        yield {"device": "cuda"}
    try:
        import array_api_strict as strict
    except ImportError:
        print("left out: array-api-strict is not installed\n")
    else:
        yield {"like": strict.zeros(1, device=strict.Device("device1"))}
    try:
        import torch
    except ImportError:
        print("left out: PyTorch is not installed\n")
    else:
        yield {"like": torch.zeros(1)}


def first_mask(model):
    """Where dropout lets ones pass, in the first step of this model."""
    ones = model.home.asarray(np.ones((BATCH, 8 * 7 * 7)), model.dtype)
    y, _ = Dropout(0.5).forward(ones, train=True, key=Key(model.seed, "forward", step=0).child("4"))
    return to_numpy(y) > 0


def train(model, x, y):
    trainer = xpcnn.Trainer(model, "softmax_cross_entropy", xpcnn.optimizers.SGD(lr=0.05, momentum=0.9))
    losses = []
    for i in range(STEPS):
        part = slice(i * BATCH, (i + 1) * BATCH)
        losses.append(float(to_numpy(trainer.step(x[part], y[part]))))
    return losses


def compare(dtype, place):
    here, there = make_model(dtype), make_model(dtype).to(**place)
    weights = zip(here.params.values(), there.params.values(), strict=True)
    same_weights = all((to_numpy(a) == to_numpy(b)).all() for a, b in weights)
    same_masks = (first_mask(here) == first_mask(there)).all()

    x, y = data.x_train.astype(dtype), data.y_train
    a, b = train(here, x, y), train(there, x, y)
    difference = max(abs(p - q) / abs(p) for p, q in zip(a, b, strict=True))

    print(f"{here.device} and {there.device}, {dtype}")
    print(f"  initial weights are the same bits: {same_weights}")
    print(f"  dropout masks are the same bits: {same_masks}")
    for name, losses in ((here.device, a), (there.device, b)):
        print(f"  losses on {name}: " + " ".join(f"{value:.9f}" for value in losses))
    print(f"  largest relative difference of the losses: {difference:.1e}\n")


data = xpcnn.datasets.load("mnist-mini")
places = list(second_places())
if not places:
    sys.exit("needs one of them beside NumPy: pip install array-api-strict")
for place in places:
    for dtype in ("float64", "float32"):
        compare(dtype, place)
