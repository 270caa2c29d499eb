"""Activation layers that are x times a gate; the mathematics is in :mod:`xpcnn.ops.gated` and :mod:`xpcnn.ops.gelu`."""

from typing import final

from xpcnn import ops
from xpcnn.ops.gelu import gelu_variant

from .pointwise import KeepsInput

__all__ = ["GELU", "HardSwish", "Hardswish", "Mish", "SiLU"]


@final
class GELU(KeepsInput):
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
class SiLU(KeepsInput):
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
class Mish(KeepsInput):
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
class Hardswish(KeepsInput):
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
