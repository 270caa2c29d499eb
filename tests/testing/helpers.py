"""A layer with a bug of one's choice."""

import numpy as np

from xpcnn.backend import normal
from xpcnn.layers import Layer


class Affine(Layer):
    """A right layer, and a number of wrong ones."""

    def __init__(self, bug=""):
        self.bug = bug

    def init_params(self, key):
        return {"weight": normal((3, 4), key.child("weight")), "bias": normal((3,), key.child("bias"))}

    def forward(self, x, *, train=False):
        return x @ self.params["weight"].T + self.params["bias"], self.keep(x[:, :3], x) if train else None

    def backward(self, dy, cache):
        (x,) = self.recall(dy, cache)
        dx, dw, db = dy @ self.params["weight"], dy.T @ x, dy.sum(axis=0)
        match self.bug:
            case "bias as mean":
                db = dy.mean(axis=0)
            case "one weight":
                dw[1, 2] = 0.0
            case "one percent":
                dw = dw * 1.01
            case "a millionth":
                dx = dx * (1 + 1e-6)
            case "two arrays":
                dw, db = 2.0 * dw, 2.0 * db
            case "shape":
                db = db[:, None]
            case "dtype":
                dw = dw.astype("float32")
            case "list":
                dx = dx.tolist()
            case "missing":
                return dx, {"weight": dw}
            case "other name":
                return dx, {"weight": dw, "b": db}
            case "nan":
                dx[0, 0] = np.nan
        return dx, {"weight": dw, "bias": db}
