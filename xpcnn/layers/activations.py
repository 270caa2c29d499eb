"""Activation layers; the mathematics is in :mod:`xpcnn.ops.activations` and the files named in the classes."""

from typing import final

from xpcnn import ops
from xpcnn.settings import number

from .pointwise import KeepsInput, KeepsOutput

__all__ = ["ELU", "SELU", "LeakyReLU", "ReLU", "Sigmoid", "Softplus", "Tanh"]


@final
class ReLU(KeepsOutput):
    """
    Rectifier, ``max(x, 0)``.

    Examples
    --------
    >>> import numpy as np
    >>> ReLU()(np.asarray([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """

    narrow = ("x", "y")
    _op, _op_backward = staticmethod(ops.relu), staticmethod(ops.relu_backward)


@final
class LeakyReLU(KeepsInput):
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
class Sigmoid(KeepsOutput):
    """
    Logistic function, ``1 / (1 + exp(-x))``.

    Examples
    --------
    >>> import numpy as np
    >>> Sigmoid()(np.asarray([0.0])).tolist()
    [0.5]
    """

    _op, _op_backward = staticmethod(ops.sigmoid), staticmethod(ops.sigmoid_backward)


@final
class Tanh(KeepsOutput):
    """
    Hyperbolic tangent.

    Examples
    --------
    >>> import numpy as np
    >>> Tanh()(np.asarray([0.0])).tolist()
    [0.0]
    """

    _op, _op_backward = staticmethod(ops.tanh), staticmethod(ops.tanh_backward)


@final
class ELU(KeepsInput):
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
class SELU(KeepsInput):
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
class Softplus(KeepsInput):
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
