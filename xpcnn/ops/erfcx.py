"""
The scaled complementary error function, which the Array API standard does not have.

All of the normal distribution follows from it without loss of digits: the chance to lie beyond z is
``exp(-z^2 / 2) erfcx(z / sqrt(2)) / 2``, also far out, where ``1 - erf`` would leave nothing.
"""

from xpcnn.backend import Array, kernel, library

from .checks import common

__all__ = ["erfcx"]

# coefficients of the Chebyshev polynomials T_0, T_1, ... in t
_SERIES = (
    0.8066939119400186,
    -0.1954653439317546,
    0.017425553434085122,
    0.010933867622445576,
    -0.006456210613483561,
    0.0018739548755596022,
    -0.00031218862300132737,
    1.5221915465608214e-05,
    5.637240722327109e-06,
    -1.0976237713237858e-06,
    -6.267337507377988e-08,
    3.922084903559632e-08,
    1.5353795167892507e-11,
    -1.3845066608338955e-09,
    2.5863691023503545e-11,
    5.3483028083283435e-11,
    -5.224500830456973e-13,
    -2.251766053897863e-12,
    -5.574817394713612e-14,
    9.839893237175343e-14,
    8.195535732506328e-15,
    -4.134373628504171e-15,
    -7.199888721801522e-16,
    1.4553245769136912e-16,
    5.095474792331063e-17,
    -2.3839591286011107e-18,
)
_ENOUGH_FOR_FLOAT32 = 12


def erfcx(x: Array) -> Array:
    """
    ``exp(x^2) erfc(x)`` for numbers from 0 on; it falls from 1 as ``1 / (x sqrt(pi))``.

    Parameters
    ----------
    x : array, >= 0

    Returns
    -------
    y : array, shape of `x`, in [0, 1]
        Without meaning where x is negative: nobody looks, since that would wait for the device.

    Notes
    -----
    One formula for all x, without cases::

        (1 + 9/8 x) erfcx(x) = sum_n a_n T_n(t),     t = (x - 3) / (x + 3)

    a Chebyshev series in t from -1 to 1, summed by Clenshaw's recurrence ``b_n = a_n + 2 t b_{n+1} - b_{n+2}``.

    Source: Shepherd and Laframboise (1981), "Chebyshev approximation of (1 + 2x) exp(x^2) erfc x in 0 <= x < infinity",
    Mathematics of Computation 36. Their 2 and 3.75 are 9/8 and 3 here, with coefficients computed in 50 digits: since
    ``9/8 ~ 2 / sqrt(pi)`` the left side is level at 0, and the rounding of t, which is worst there, costs nothing. The
    relative error, measured against 40 digits from 1e-30 to 1e30, is at most 1.4 epsilon in float64 and float32
    (2.7 with their constants).

    Examples
    --------
    >>> import numpy as np
    >>> erfcx(np.asarray([0.0, 1.0, 1e300])).round(12).tolist()
    [1.0, 0.427583576156, 0.0]
    """
    xp = common("erfcx", x=x)
    fast = kernel("erfcx", library(x))
    if fast is not None:
        return fast(x)
    series = _SERIES if x.dtype == xp.float64 else _SERIES[:_ENOUGH_FOR_FLOAT32]
    twice = 2.0 - 12.0 / (x + 3.0)  # 2 t, and no inf / inf
    now, last = twice * series[-1] + series[-2], xp.full_like(x, series[-1])
    for a in series[-3:0:-1]:
        following = twice * now
        following -= last
        following += a
        now, last = following, now
    return (twice * now * 0.5 - last + series[0]) / (1.0 + 1.125 * x)
