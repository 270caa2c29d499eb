"""
A layer of your own: forward, backward, checked gradients, trained in a network, saved and loaded.

    python examples/04_write_your_own_layer.py

PReLU: y = x where x > 0, else a * x, with a learned slope a for each channel.
Source: He, Zhang, Ren and Sun (2015), "Delving deep into rectifiers", section 2.1.
"""

import tempfile
from pathlib import Path

import numpy as np

import xpcnn
from xpcnn.backend import array_namespace, filled
from xpcnn.layers import Conv2d, Flatten, Linear, MaxPool2d
from xpcnn.ops.checks import check_images, common
from xpcnn.testing import GradientError, check_gradients


@xpcnn.register  # lets a model file name it
class PReLU(xpcnn.Layer):
    """Rectifier with a learned slope for each channel of images (N, C, H, W)."""

    def __init__(self, channels, slope=0.25):
        self.channels, self.slope = channels, slope  # under the arguments' names: so they can be saved

    def init_params(self, key):
        return {"weight": filled((self.channels,), self.slope)}

    def forward(self, x, *, train=False):
        a = self.params["weight"]
        xp = common("PReLU", x=x, weight=a)  # one library, device and dtype
        check_images("PReLU", x.shape, self.channels)
        y = xp.maximum(x, 0.0) + xp.minimum(x, 0.0) * xp.reshape(a, (1, -1, 1, 1))
        return y, self.keep(y, x) if train else None

    def backward(self, dy, cache):
        # dx = dy where x > 0, else a dy;    da[c] = sum over n, h, w with x < 0 of dy x
        (x,) = self.recall(dy, cache)
        xp = array_namespace(x)
        positive = xp.astype(x > 0.0, x.dtype)
        a = xp.reshape(self.params["weight"], (1, -1, 1, 1))
        da = xp.sum(dy * xp.minimum(x, 0.0), axis=(0, 2, 3))
        return dy * (positive + (1.0 - positive) * a), {"weight": da}


class Forgetful(PReLU):
    """The same with a typical slip: the slope's gradient is the mean over the batch, not the sum."""

    def backward(self, dy, cache):
        dx, grads = super().backward(dy, cache)
        return dx, {"weight": grads["weight"] / dy.shape[0]}


# 1. Are the gradients right? Every array is compared with differences of the forward pass, in float64.

x = np.random.default_rng(0).normal(size=(4, 3, 5, 5))
check_gradients(PReLU(3), x)
print("PReLU: gradients agree with finite differences to 1e-7")
try:
    check_gradients(Forgetful(3), x)
except GradientError as error:
    print(f"caught: {error}")

# 2. In a network it is a layer as any other.

data = xpcnn.datasets.load("mnist-mini")
x_train, y_train = data.x_train[:2000], data.y_train[:2000]
model = xpcnn.Sequential(
    Conv2d(1, 8, 5, padding=2),
    PReLU(8),
    MaxPool2d(4),
    Flatten(),
    Linear(8 * 7 * 7, 10),
    input_shape=(1, 28, 28),
)
before = model.evaluate(data.x_test, data.y_test)
model.fit(x_train, y_train, epochs=2, batch_size=32, verbose=2)
after = model.evaluate(data.x_test, data.y_test)
print(f"test accuracy before {before['accuracy']:.4f}")
print(f"test accuracy after {after['accuracy']:.4f}")
print("learned slopes, 0.25 before:", *(f"{slope:.2f}" for slope in model.params["1.weight"]))

# 3. A file names it; who loads the file must have registered the class.

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "prelu.safetensors"
    model.save(path)
    loaded = xpcnn.load(path)
same = bool((loaded.predict_proba(data.x_test) == model.predict_proba(data.x_test)).all())
print(f"loaded {loaded[1]!r}; it gives the same bits: {same}")
