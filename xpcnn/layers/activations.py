"""
Activation layers; the mathematics is in :mod:`xpcnn.ops.activations` and the files named in the classes.

Each keeps the array that its derivative is written in: y where that is short, since the next layer keeps it anyway,
else x.
"""

from collections.abc import Callable
from typing import final

from xpcnn import ops
from xpcnn.backend import Array, Key, filled
from xpcnn.ops.gelu import gelu_variant
from xpcnn.ops.prelu import check_channels
from xpcnn.settings import count, number

from .base import Cache, Cost, Layer

__all__ = [
    "ELU",
    "GELU",
    "SELU",
    "HardSwish",
    "Hardswish",
    "LeakyReLU",
    "Mish",
    "PReLU",
    "ReLU",
    "SiLU",
    "Sigmoid",
    "Softplus",
    "Tanh",
]


class _KeepsInput(Layer):
    """An activation whose derivative is a function of x; the constructor's arguments are those of the op."""

    _op: Callable[..., Array]
    _op_backward: Callable[..., Array]

    def forward(self, x: Array, *, train: bool = False) -> tuple[Array, Cache | None]:
        y = self._op(x, **self.config())
        return y, self.keep(y, x) if train else None

    def backward(self, dy: Array, cache: Cache | None) -> tuple[Array, dict[str, Array]]:
        (x,) = self.recall(dy, cache)
        return self._op_backward(dy, x, **self.config()), {}

    def cost(self, input_shape: tuple[int, ...], itemsize: int) -> Cost:
        return Cost(keeps_input=True)


@final
class ReLU(Layer):
    """
    Rectifier, ``max(x, 0)``.

    Examples
    --------
    >>> import numpy as np
    >>> ReLU()(np.asarray([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """

    def forward(self, x: Array, *, train: bool = False) -> tuple[Array, Cache | None]:
        y = ops.relu(x)
        return y, self.keep(y, y) if train else None

    def backward(self, dy: Array, cache: Cache | None) -> tuple[Array, dict[str, Array]]:
        (y,) = self.recall(dy, cache)
        return ops.relu_backward(dy, y), {}

    def cost(self, input_shape: tuple[int, ...], itemsize: int) -> Cost:
        return Cost(keeps_output=True)


@final
class LeakyReLU(_KeepsInput):
    """
    ``x`` where positive, ``negative_slope * x`` elsewhere.

    Parameters
    ----------
    negative_slope : float

    Raises
    ------
    ConfigError
        If the slope is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> LeakyReLU(0.5)(np.asarray([-1.0, 2.0])).tolist()
    [-0.5, 2.0]
    """

    _op, _op_backward = staticmethod(ops.leaky_relu), staticmethod(ops.leaky_relu_backward)

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = number(self, "negative_slope", negative_slope)


@final
class Sigmoid(Layer):
    """
    Logistic function, ``1 / (1 + exp(-x))``.

    Examples
    --------
    >>> import numpy as np
    >>> Sigmoid()(np.asarray([0.0])).tolist()
    [0.5]
    """

    def forward(self, x: Array, *, train: bool = False) -> tuple[Array, Cache | None]:
        y = ops.sigmoid(x)
        return y, self.keep(y, y) if train else None

    def backward(self, dy: Array, cache: Cache | None) -> tuple[Array, dict[str, Array]]:
        (y,) = self.recall(dy, cache)
        return ops.sigmoid_backward(dy, y), {}

    def cost(self, input_shape: tuple[int, ...], itemsize: int) -> Cost:
        return Cost(keeps_output=True)


@final
class Tanh(Layer):
    """
    Hyperbolic tangent.

    Examples
    --------
    >>> import numpy as np
    >>> Tanh()(np.asarray([0.0])).tolist()
    [0.0]
    """

    def forward(self, x: Array, *, train: bool = False) -> tuple[Array, Cache | None]:
        y = ops.tanh(x)
        return y, self.keep(y, y) if train else None

    def backward(self, dy: Array, cache: Cache | None) -> tuple[Array, dict[str, Array]]:
        (y,) = self.recall(dy, cache)
        return ops.tanh_backward(dy, y), {}

    def cost(self, input_shape: tuple[int, ...], itemsize: int) -> Cost:
        return Cost(keeps_output=True)


@final
class ELU(_KeepsInput):
    """
    ``x`` where positive, ``alpha (exp(x) - 1)`` elsewhere; see :func:`xpcnn.ops.elu`.

    Parameters
    ----------
    alpha : float

    Raises
    ------
    ConfigError
        If alpha is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> ELU()(np.asarray([-1e4, 2.0])).tolist()
    [-1.0, 2.0]
    """

    _op, _op_backward = staticmethod(ops.elu), staticmethod(ops.elu_backward)

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = number(self, "alpha", alpha)


@final
class SELU(_KeepsInput):
    """
    ELU with the scales that keep mean 0 and variance 1; see :func:`xpcnn.ops.selu`.

    Meant for weights of variance 1 / fan-in (LeCun's).

    Examples
    --------
    >>> import numpy as np
    >>> SELU()(np.asarray([-1e4, 1.0])).round(6).tolist()
    [-1.758099, 1.050701]
    """

    _op, _op_backward = staticmethod(ops.selu), staticmethod(ops.selu_backward)


@final
class GELU(_KeepsInput):
    """
    ``x`` times the chance that a standard normal number is below it; see :func:`xpcnn.ops.gelu`.

    Parameters
    ----------
    approximate : {"none", "tanh"}
        Exact, or with tanh in place of the error function, which is off by 5e-4 at most.

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> import numpy as np
    >>> GELU()(np.asarray([0.0, 1.0])).round(6).tolist()
    [0.0, 0.841345]
    """

    _op, _op_backward = staticmethod(ops.gelu), staticmethod(ops.gelu_backward)

    def __init__(self, approximate: str = "none") -> None:
        self.approximate = gelu_variant(approximate)


@final
class SiLU(_KeepsInput):
    """
    ``x sigmoid(x)``, also called Swish; see :func:`xpcnn.ops.silu`.

    Examples
    --------
    >>> import numpy as np
    >>> SiLU()(np.asarray([0.0, 1.0])).round(6).tolist()
    [0.0, 0.731059]
    """

    _op, _op_backward = staticmethod(ops.silu), staticmethod(ops.silu_backward)


@final
class Mish(_KeepsInput):
    """
    ``x tanh(softplus(x))``; see :func:`xpcnn.ops.mish`.

    Examples
    --------
    >>> import numpy as np
    >>> Mish()(np.asarray([0.0, 1.0])).round(6).tolist()
    [0.0, 0.865098]
    """

    _op, _op_backward = staticmethod(ops.mish), staticmethod(ops.mish_backward)


@final
class Hardswish(_KeepsInput):
    """
    ``x min(max(x + 3, 0), 6) / 6``; see :func:`xpcnn.ops.hardswish`. Also to be had as `HardSwish`.

    Examples
    --------
    >>> import numpy as np
    >>> Hardswish()(np.asarray([1.5, 4.0])).tolist()
    [1.125, 4.0]
    """

    _op, _op_backward = staticmethod(ops.hardswish), staticmethod(ops.hardswish_backward)


HardSwish = Hardswish  # the paper's spelling; PyTorch's is the one that is printed and saved


@final
class Softplus(_KeepsInput):
    """
    ``log(1 + exp(beta x)) / beta``; see :func:`xpcnn.ops.softplus`.

    Parameters
    ----------
    beta : float, > 0
        How sharp the corner is.
    threshold : float, >= 0
        Where ``beta x`` is greater, y is x.

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> import numpy as np
    >>> Softplus()(np.asarray([0.0, 1e4])).round(6).tolist()
    [0.693147, 10000.0]
    """

    _op, _op_backward = staticmethod(ops.softplus), staticmethod(ops.softplus_backward)

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        self.beta = number(self, "beta", beta, above=0)
        self.threshold = number(self, "threshold", threshold, least=0)


@final
class PReLU(Layer):
    """
    ``x`` where positive, ``weight * x`` elsewhere, with a slope that is learned; see :func:`xpcnn.ops.prelu`.

    Parameters
    ----------
    num_parameters : int
        1 for one slope, or the number C of channels for one each.
    init : float
        What the slopes start from.

    Attributes
    ----------
    params : ``weight`` of shape (num_parameters,)
        Leave weight decay off: it would make the slopes zero.

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> import numpy as np
    >>> PReLU()(np.asarray([[-1.0, 2.0]], dtype="float32")).tolist()
    [[-0.25, 2.0]]
    """

    def __init__(self, num_parameters: int = 1, init: float = 0.25) -> None:
        self.num_parameters = count(self, "num_parameters", num_parameters)
        self.init = number(self, "init", init)

    def init_params(self, key: Key) -> dict[str, Array]:
        return {"weight": filled((self.num_parameters,), self.init)}

    def forward(self, x: Array, *, train: bool = False) -> tuple[Array, Cache | None]:
        y = ops.prelu(x, self.params["weight"])
        return y, self.keep(y, x) if train else None

    def backward(self, dy: Array, cache: Cache | None) -> tuple[Array, dict[str, Array]]:
        (x,) = self.recall(dy, cache)
        dx, dw = ops.prelu_backward(dy, x, self.params["weight"])
        return dx, {"weight": dw}

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        check_channels((1, *input_shape), self.num_parameters)
        return tuple(input_shape)

    def cost(self, input_shape: tuple[int, ...], itemsize: int) -> Cost:
        return Cost(keeps_input=True)
