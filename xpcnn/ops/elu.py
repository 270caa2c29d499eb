"""ELU and SELU: straight to the right of zero, an exponential that levels off to the left."""

from xpcnn.backend import Array

from .checks import check_gradient, common
from .elementwise import elementwise

__all__ = ["elu", "elu_backward", "selu", "selu_backward"]

# of which a normal distribution of mean 0 and variance 1 is a stable fixed point; Klambauer et al., equation 14
SELU_ALPHA = 1.6732632423543772848
SELU_SCALE = 1.0507009873554804934


@elementwise
def elu(x: Array, alpha: float = 1.0) -> Array:
    """
    ``y = x`` where ``x > 0``, else ``alpha (exp(x) - 1)``.

    Source: Clevert, Unterthiner and Hochreiter (2016), "Fast and accurate deep network learning by exponential linear
    units (ELUs)", equation 2.

    Examples
    --------
    >>> import numpy as np
    >>> elu(np.asarray([-1e4, -1e-12, 2.0]), 2.0).tolist()
    [-2.0, -1.999999999999e-12, 2.0]
    """
    xp = common("ELU", x=x)
    return xp.maximum(x, 0.0) + alpha * xp.expm1(xp.minimum(x, 0.0))


@elementwise
def elu_backward(dy: Array, x: Array, alpha: float = 1.0) -> Array:
    """
    ``dx = dy`` where ``x > 0``, else ``alpha exp(x) dy``; at the kink alpha, as in PyTorch.

    From x and not from y, of which one could not tell the side where alpha is negative.

    Examples
    --------
    >>> import numpy as np
    >>> elu_backward(np.ones(3), np.asarray([-1e4, 0.0, 2.0]), 2.0).tolist()
    [0.0, 2.0, 1.0]
    """
    xp = common("ELU", x=x, dy=dy)
    check_gradient("ELU", dy, x.shape)
    right = xp.astype(x > 0.0, x.dtype)
    return dy * (right + (1.0 - right) * (alpha * xp.exp(xp.minimum(x, 0.0))))


@elementwise
def selu(x: Array) -> Array:
    """
    Self-normalizing: an ELU with alpha 1.6733, times 1.0507.

    Source: Klambauer, Unterthiner, Mayr and Hochreiter (2017), "Self-normalizing neural networks", equation 2.

    Examples
    --------
    >>> import numpy as np
    >>> selu(np.asarray([-1e4, 1.0])).round(6).tolist()
    [-1.758099, 1.050701]
    """
    common("SELU", x=x)
    return SELU_SCALE * elu(x, SELU_ALPHA)


@elementwise
def selu_backward(dy: Array, x: Array) -> Array:
    """
    ``dx = 1.0507 dy`` where ``x > 0``, else ``1.0507 * 1.6733 exp(x) dy``; at the kink the latter, as in PyTorch.

    Examples
    --------
    >>> import numpy as np
    >>> selu_backward(np.ones(2), np.asarray([0.0, 1.0])).round(6).tolist()
    [1.758099, 1.050701]
    """
    common("SELU", x=x, dy=dy)
    return SELU_SCALE * elu_backward(dy, x, SELU_ALPHA)
