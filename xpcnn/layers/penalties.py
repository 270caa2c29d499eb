"""
Penalties on large weights, to be added to the loss and its gradients.

``value, grads = penalty(model.params)``. They weigh on weights, which are the parameters of two or more axes; biases
and the scales of norms stay free.
"""

from abc import ABC, abstractmethod
from typing import final

from xpcnn.backend import Array, array_namespace
from xpcnn.errors import ConfigError, DtypeError
from xpcnn.settings import number

__all__ = ["L1", "L2", "Penalty"]


class Penalty(ABC):
    """
    A function of the weights that grows with their size.

    Parameters
    ----------
    lam : float, >= 0
        How strongly it weighs beside the loss.

    Raises
    ------
    ConfigError
        If `lam` is negative or no number.
    """

    def __init__(self, lam: float) -> None:
        self.lam = number(self, "lam", lam, least=0)

    @abstractmethod
    def of_weight(self, w: Array) -> tuple[Array, Array]:
        """Value, 0-d, and gradient, like `w`, for one weight."""

    def __call__(self, params: dict[str, Array]) -> tuple[Array, dict[str, Array]]:
        """
        Penalty on all weights among the parameters, and its gradients.

        Parameters
        ----------
        params : dict[str, Array]
            At least one; not modified.

        Returns
        -------
        value : 0-d array on the device of the parameters
        grads : dict[str, Array]
            For the weights only: add them to those of the loss.

        Raises
        ------
        ConfigError
            If there is no parameter, so that nobody could say where the value belongs.
        NamespaceError
            If a parameter is no array, or they come from two libraries.
        DtypeError
            If a parameter does not hold real floating-point numbers.
        """
        who = type(self).__name__
        if not params:
            message = f"{who}: expected at least one parameter, got none: leave the penalty away for this model"
            raise ConfigError(message)
        xp = array_namespace(*params.values())
        for name, p in params.items():
            if not xp.isdtype(p.dtype, "real floating"):
                message = f"{who}: expected parameter {name!r} of a real floating-point dtype, got {p.dtype}"
                raise DtypeError(message)
        parts = {name: self.of_weight(w) for name, w in params.items() if w.ndim >= 2}
        if not parts:
            return xp.zeros_like(xp.asarray(xp.sum(next(iter(params.values()))))), {}
        value = xp.asarray(sum(value for value, _ in parts.values()))  # NumPy's sums are scalars, not arrays
        return value, {name: grad for name, (_, grad) in parts.items()}

    def __repr__(self) -> str:
        return f"{type(self).__name__}(lam={self.lam!r})"


@final
class L1(Penalty):
    """
    Sum of absolute values: ``lam * sum(|w|)``, gradient ``lam * sign(w)``, which is 0 at 0.

    It draws every weight to zero with the same force, and so makes many of them vanish (Tibshirani, "Regression
    shrinkage and selection via the lasso", 1996).

    Examples
    --------
    >>> import numpy as np
    >>> value, grads = L1(0.5)({"weight": np.asarray([[3.0, -1.0, 0.0]]), "bias": np.ones(1)})
    >>> float(value), grads["weight"].tolist()
    (2.0, [[0.5, -0.5, 0.0]])
    """

    def of_weight(self, w: Array) -> tuple[Array, Array]:
        xp = array_namespace(w)
        return self.lam * xp.sum(xp.abs(w)), self.lam * xp.sign(w)


@final
class L2(Penalty):
    """
    Half the sum of squares: ``lam / 2 * sum(w**2)``, gradient ``lam * w``.

    With plain SGD this is the optimizer's ``weight_decay=lam`` (Krogh and Hertz, "A simple weight decay can improve
    generalization", 1991); it differs in that the value is part of the loss.

    Examples
    --------
    >>> import numpy as np
    >>> value, grads = L2(0.5)({"weight": np.asarray([[3.0, -1.0, 0.0]]), "bias": np.ones(1)})
    >>> float(value), grads["weight"].tolist()
    (2.5, [[1.5, -0.5, 0.0]])
    """

    def of_weight(self, w: Array) -> tuple[Array, Array]:
        return 0.5 * self.lam * array_namespace(w).sum(w * w), self.lam * w
