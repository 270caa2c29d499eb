"""Settings of optimizers and schedules, written out again as plain data; and all that changes while they are used."""

import inspect
from collections.abc import Mapping
from typing import Any, TypeAlias, TypeVar

from xpcnn.backend import Array, array_namespace, device_like
from xpcnn.errors import ConfigError, StateDictError

__all__ = ["Configured", "Counts", "below"]

Counts: TypeAlias = dict[str, int | float | None]


V = TypeVar("V")


class Configured:
    """Something whose attributes are named as its constructor's arguments."""

    def config(self) -> dict[str, Any]:
        """
        Class name and constructor arguments, as JSON can hold them.

        Raises
        ------
        ConfigError
            If an argument is a function of the caller's own, which plain data cannot hold.

        Examples
        --------
        >>> from xpcnn.optimizers import StepLR
        >>> StepLR(0.1, step_size=30).config()
        {'name': 'StepLR', 'lr': 0.1, 'step_size': 30, 'gamma': 0.1}
        """
        return {"name": type(self).__name__, **{name: self._plain(name) for name in self.arguments()}}

    def __repr__(self) -> str:
        inside = ", ".join(f"{name}={value!r}" for name, value in self.arguments().items())
        return f"{type(self).__name__}({inside})"

    def arguments(self) -> dict[str, Any]:
        """
        The constructor's arguments as they are now.

        Examples
        --------
        >>> from xpcnn.optimizers import ExponentialLR
        >>> ExponentialLR(0.1, gamma=0.5).arguments()
        {'lr': 0.1, 'gamma': 0.5}
        """
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def _plain(self, name: str) -> Any:
        def plain(value: Any) -> Any:
            if isinstance(value, Configured):
                return value.config()
            if isinstance(value, (list, tuple)):
                return [plain(item) for item in value]
            if callable(value):
                who = type(self).__name__
                message = f"{who}.config: {name}={value!r} is a function: only the schedules of xpcnn can be kept"
                raise ConfigError(message)
            return value

        return plain(getattr(self, name))

    # What changes while it is used. Who holds arrays or counts of its own adds them to `slots` and `counts`, and takes
    # them in `take`; who holds others like it names them in `parts`.

    def parts(self) -> "dict[str, Configured]":
        """What is inside that has slots or counts itself, by a name without a slash: schedules, other optimizers."""
        return {}

    def slots(self) -> dict[str, Array]:
        """
        Every array that using it changes: the arrays themselves, no copies.

        Together with :meth:`counts` and :meth:`config` they say all about it; nothing else follows from its past.

        Returns
        -------
        slots : dict[str, Array]
            By a path such as ``"state/0.weight/exp_avg"``. What is of a part begins with its name:
            ``"optimizer/state/0.weight/exp_avg"``, ``"1/state/..."`` of the second group. Paths stay the same from step
            to step; the first update may add some.

        Examples
        --------
        >>> import numpy as np
        >>> from xpcnn.optimizers import SGD
        >>> opt = SGD(lr=0.5, momentum=0.5)
        >>> opt.update({"w": np.zeros(1)}, {"w": np.ones(1)})
        >>> opt.slots(), opt.counts()
        ({'state/w/momentum_buffer': array([1.])}, {'steps': 1})
        """
        return {f"{name}/{path}": a for name, part in self.parts().items() for path, a in part.slots().items()}

    def counts(self) -> Counts:
        """
        Every plain number that using it changes, by a path as in :meth:`slots`; JSON can hold them.

        Such as ``"steps"``, ``"waiting"`` of an `Accumulate`, ``"lr/best"`` of a `ReduceLROnPlateau`. Which paths there
        are follows from the settings alone.
        """
        return {f"{name}/{path}": n for name, part in self.parts().items() for path, n in part.counts().items()}

    def load_slots(self, slots: Mapping[str, Array], counts: Mapping[str, int | float | None]) -> None:
        """
        Go on where another one of the same settings was.

        Parameters
        ----------
        slots : dict of arrays
            What :meth:`slots` gave; copied. They may lie anywhere, such as in NumPy's arrays: what is used next moves
            them to its parameters.
        counts : dict of numbers
            What :meth:`counts` gave.

        Raises
        ------
        StateDictError
            If the paths are not those of such a one; lists what is missing or has no place. Nothing is changed then.
        ConfigError
            If a count is none. Nothing is changed then.
        """
        who = type(self).__name__
        before = self.slots(), self.counts()
        if before[1].keys() != counts.keys():
            raise StateDictError(_differ(who, "counts", before[1], counts))
        copies = {}
        for path, a in slots.items():
            with device_like(a).active():
                copies[path] = array_namespace(a).asarray(a, copy=True)
        try:
            self.take(copies, dict(counts))
            if self.slots().keys() != copies.keys():
                raise StateDictError(_differ(who, "slots", self.slots(), copies))
        except BaseException:
            self.take(*before)
            raise

    def take(self, slots: dict[str, Array], counts: Counts) -> None:
        """The second half of :meth:`load_slots`: put arrays and counts in their places; what has none is left out."""
        for name, part in self.parts().items():
            part.take(below(name, slots), below(name, counts))


def below(name: str, values: Mapping[str, V]) -> dict[str, V]:
    """
    What belongs to a part, by the rest of its path.

    Examples
    --------
    >>> below("lr", {"lr/best": 0.5, "steps": 3})
    {'best': 0.5}
    """
    return {path[len(name) + 1 :]: value for path, value in values.items() if path.startswith(f"{name}/")}


def _differ(who: str, what: str, own: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    missing, unexpected = sorted(own.keys() - given.keys()), sorted(given.keys() - own.keys())
    return (
        f"{who}.load_slots: expected {what} of one with the same settings, got none of {missing} and unexpected "
        f"{unexpected}: make it with the settings that it had"
    )
