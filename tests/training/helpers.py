"""Small data and nets that train in a blink."""

import numpy as np

from xpcnn import BatchNorm2d, Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU, Sequential


def digits(n=24, classes=3, size=6, seed=0):
    """Images whose class is a bright stripe in row ``class``, with noise; easy, but not linear in one pixel."""
    rng = np.random.Generator(np.random.Philox(seed))
    y = np.arange(n) % classes
    x = rng.random((n, 1, size, size)) * 0.3
    x[np.arange(n), 0, y, :] += 1.0
    return x.astype("float32"), y


def small_net(dropout=0.2, dtype="float32", seed=0, **options):
    return Sequential(
        Conv2d(1, 4, 3, padding=1, bias=False),
        BatchNorm2d(4),
        ReLU(),
        MaxPool2d(2),
        Flatten(),
        Dropout(dropout),
        Linear(36, 3),
        dtype=dtype,
        seed=seed,
        **options,
    )


def weights(model):
    return {name: np.asarray(a).copy() for name, a in model.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)
