"""Local response normalization: channels damped by their neighbours' energy."""

from xpcnn.backend import Array, array_namespace

from .checks import check_gradient, check_shape, common

__all__ = ["check_response", "local_response_norm", "local_response_norm_backward"]

WHO = "LocalResponseNorm"


def local_response_norm(
    x: Array, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> tuple[Array, Array]:
    """
    Divide each number by a power of the energy in the channels around it, at its own place.

    Parameters
    ----------
    x : array, shape (N, C, ...)
    size : int
        Channels in the window.
    alpha, beta, k : float
        The window's mean square counts alpha times, and k is added; beta is the power.

    Returns
    -------
    y : array, shape of `x`
    d : array, shape of `x`
        The energy, which the backward pass needs.

    Raises
    ------
    ShapeError, DtypeError, NamespaceError

    Notes
    -----
    ::

        d[n, c, p] = k + (alpha / size) sum_{j = c - size // 2}^{c + (size - 1) // 2} x[n, j, p]^2
        y[n, c, p] = x[n, c, p] / d[n, c, p]^beta

    where channels that do not exist count as zero. An even window reaches one channel further back than forth.

    Source: Krizhevsky, Sutskever and Hinton (2012), section 3.3, in PyTorch's variant: alpha is divided by the size,
    which it is not in the paper.

    Examples
    --------
    >>> import numpy as np
    >>> local_response_norm(np.asarray([[[3.0], [1.0]]]), 1, alpha=1.0, beta=1.0)[0].round(6).tolist()
    [[[0.3], [0.5]]]
    """
    common(WHO, x=x)
    check_response(x.shape)
    d = _window(x * x, size // 2, (size - 1) // 2) * (alpha / size) + k
    return x * d**-beta, d


def local_response_norm_backward(
    dy: Array, x: Array, d: Array, size: int, alpha: float = 1e-4, beta: float = 0.75
) -> Array:
    """
    Gradient of :func:`local_response_norm`, given ``dy = dL/dy``.

    Parameters
    ----------
    dy, x, d : arrays, shape (N, C, ...)
        Gradient at the output; input and energy of the forward pass.

    Returns
    -------
    dx : array, shape (N, C, ...)

    Notes
    -----
    x[c] acts on its own y, and through the energy on those y[j] whose window it lies in. The adjoint of the window
    from ``c - before`` to ``c + after`` is the one from ``c - after`` to ``c + before``::

        dx[c] = dy[c] d[c]^-beta
                - (2 alpha beta / size) x[c] sum_{j = c - (size - 1) // 2}^{c + size // 2} dy[j] x[j] d[j]^(-beta - 1)

    Examples
    --------
    >>> import numpy as np
    >>> x = np.asarray([[[3.0], [1.0]]])
    >>> _, d = local_response_norm(x, 1, 1.0, 1.0)
    >>> local_response_norm_backward(np.ones_like(x), x, d, 1, 1.0, 1.0).round(6).tolist()
    [[[-0.08], [0.0]]]
    """
    common(WHO, x=x, d=d, dy=dy)
    check_gradient(WHO, dy, x.shape)
    direct = dy * d**-beta
    return direct - x * _window(direct * x / d, (size - 1) // 2, size // 2) * (2.0 * alpha * beta / size)


def check_response(shape: tuple[int, ...]) -> None:
    """Raise `ShapeError` unless `shape` is (N, C, ...) with at least one axis of places."""
    check_shape(WHO, "x", shape, ("N", "C", *("HWDEF"[: max(len(shape) - 2, 1)])))


def _window(a: Array, before: int, after: int) -> Array:
    """Sums over the channels from ``c - before`` to ``c + after``, as far as they exist."""
    total = array_namespace(a).asarray(a, copy=True)
    channels = a.shape[1]
    for offset in range(max(-before, 1 - channels), min(after, channels - 1) + 1):
        if offset:
            first, stop = max(0, -offset), channels - max(0, offset)
            total[:, first:stop, ...] += a[:, first + offset : stop + offset, ...]
    return total
