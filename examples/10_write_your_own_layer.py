"""
A layer of your own: forward, backward, checked gradients, trained in a network, saved and loaded.

    python examples/10_write_your_own_layer.py [--seed N] [--plot FILE.png]

Swish: y = x s(b x) with s the logistic function, and a learned b for each channel: b = 0 is a straight line of slope
1/2, a large b nearly ReLU. Source: Ramachandran, Zoph and Le (2017), "Searching for activation functions", section 4.

1. check_gradients accepts the layer, and catches a copy of it with a typical slip.
2. In a network it is a layer as any other: test accuracy before and after, and what became of each b.
3. A model file can name it, once it is registered; the loaded model gives the same bits.
"""

import tempfile
from pathlib import Path

import numpy as np
from _show import options, picture, table

import xpcnn
from xpcnn import ops
from xpcnn.backend import filled
from xpcnn.layers import Conv2d, Flatten, Linear, MaxPool2d
from xpcnn.ops.checks import check_images, common
from xpcnn.testing import GradientError, check_gradients


@xpcnn.register  # lets a model file name it
class Swish(xpcnn.Layer):
    """y = x s(b x) with a learned b for each channel of images (N, C, H, W)."""

    def __init__(self, channels, b=1.0):
        self.channels, self.b = channels, b  # under the arguments' names: so they can be saved

    def init_params(self, key):
        return {"weight": filled((self.channels,), self.b)}

    def forward(self, x, *, train=False):
        b = self.params["weight"]
        xp = common("Swish", x=x, weight=b)  # one library, device and dtype
        check_images("Swish", x.shape, self.channels)
        s = ops.sigmoid(x * xp.reshape(b, (1, -1, 1, 1)))
        y = x * s
        return y, self.keep(y, x, s) if train else None

    def backward(self, dy, cache):
        # s' = s (1 - s), so:    dx = dy (s + x b s')    db[c] = sum over n, h, w of dy x x s'
        x, s = self.recall(dy, cache)
        b = self.params["weight"]
        xp = common("Swish", x=x, weight=b)
        slope = s * (1.0 - s)
        dx = dy * (s + x * xp.reshape(b, (1, -1, 1, 1)) * slope)
        return dx, {"weight": xp.sum(dy * x * x * slope, axis=(0, 2, 3))}


class Forgetful(Swish):
    """The same with a typical slip: the gradient of b is the mean over the batch, not the sum."""

    def backward(self, dy, cache):
        dx, grads = super().backward(dy, cache)
        return dx, {"weight": grads["weight"] / dy.shape[0]}


def main():
    args = options(__doc__, seed=True).parse_args()

    print("1. Are the gradients right? Each array against differences of the forward pass, in float64")
    x = np.random.default_rng(args.seed).normal(size=(4, 3, 5, 5))
    errors = check_gradients(Swish(3), x)
    table(["gradient of", "relative error"], [(name, f"{error:.1e}") for name, error in errors.items()])
    try:
        check_gradients(Forgetful(3), x)
    except GradientError as error:
        print(f"caught: {error}")

    print("\n2. Two epochs on 2,000 digits")
    data = xpcnn.datasets.load("mnist-mini")
    model = xpcnn.Sequential(
        Conv2d(1, 8, 5, padding=2),
        Swish(8),
        MaxPool2d(4),
        Flatten(),
        Linear(8 * 7 * 7, 10),
        input_shape=(1, 28, 28),
        seed=args.seed,
    )
    adam = xpcnn.optimizers.Adam(lr=0.01)
    before = model.evaluate(data.x_test, data.y_test)["accuracy"]
    model.fit(data.x_train[:2000], data.y_train[:2000], epochs=2, optimizer=adam, verbose=0)
    after = model.evaluate(data.x_test, data.y_test)["accuracy"]
    learned = model.params["1.weight"]
    table(["", "test accuracy", "b of the channels"], [
        ("before", f"{before:.3f}", " ".join(["1.00"] * 8)),
        ("after", f"{after:.3f}", " ".join(f"{b:.2f}" for b in learned)),
    ])  # fmt: skip

    print("\n3. Saved and loaded")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "swish.safetensors"
        model.save(path)
        loaded = xpcnn.load(path)
    same = bool((loaded.predict_proba(data.x_test) == model.predict_proba(data.x_test)).all())
    print(f"loaded {loaded[1]!r}; it gives the same bits: {same}")

    def draw(figure):
        left, right = figure.subplots(1, 2)
        points = np.linspace(-5, 5, 201)
        for b in (0.0, 0.5, 1.0, 5.0):
            left.plot(points, points * ops.sigmoid(b * points), label=f"b = {b:g}")
        left.set(title="y = x s(b x)", xlabel="x", ylabel="y")
        left.legend()
        right.bar(range(8), learned, label="after training")
        right.axhline(1.0, color="black", linestyle="--", label="before")
        right.set(title="What the channels learned", xlabel="channel", ylabel="b", ylim=(0, 1.25 * learned.max()))
        right.set_xticks(range(8))
        right.legend(ncols=2)

    picture(args.plot, draw)


if __name__ == "__main__":
    main()
