"""
Every error that xpcnn raises on purpose.

All of them are `XpcnnError`, and each is also the builtin that a caller would catch: a wrong shape is a
``ValueError``, a wrong type a ``TypeError``, a wrong moment or machine a ``RuntimeError``, memory that ran out a
``MemoryError``, training that diverged an ``ArithmeticError``. The text always says who complains, what was expected,
what came, and how to mend it.
"""

from collections.abc import Sequence

__all__ = [
    "CheckpointError",
    "ConfigError",
    "DataError",
    "DeviceMismatchError",
    "DeviceUnavailable",
    "DownloadError",
    "DtypeError",
    "LabelError",
    "NamespaceError",
    "OutOfMemory",
    "ShapeError",
    "StateDictError",
    "StateError",
    "TrainingDiverged",
    "XpcnnError",
]


class XpcnnError(Exception):
    """Root of all errors raised by xpcnn on purpose."""


class ShapeError(XpcnnError, ValueError):
    """
    An array has the wrong rank or size, or an output would be empty.

    Attributes
    ----------
    expected, got : tuple, or None
        The shape wanted, with a letter for any number, and the one that came, where it is a matter of one array.
    hint : str
        How to mend it, the end of the text.
    """

    expected: tuple[int | str, ...] | None = None
    got: tuple[int, ...] | None = None
    hint: str = ""


class ConfigError(XpcnnError, ValueError):
    """A setting (stride, learning rate, name, ...) is outside of what makes sense."""


class LabelError(XpcnnError, ValueError):
    """Class labels are out of range, of the wrong kind, or not as many as the samples."""


class DtypeError(XpcnnError, TypeError):
    """An array holds the wrong kind of numbers."""


class NamespaceError(XpcnnError, TypeError):
    """Something is no array, or arrays of two libraries were mixed."""


class DeviceMismatchError(XpcnnError, RuntimeError):
    """Arrays of one library live on two devices."""


class DeviceUnavailable(XpcnnError, RuntimeError):
    """A device was asked for that does not work here; the text says why and what mends it."""


class OutOfMemory(XpcnnError, MemoryError):
    """
    A GPU's memory ran out; what the call held was let go, and a smaller batch can follow.

    Attributes
    ----------
    asked, free : int
        Bytes that were wanted when it ran out, and those that are free now.
    batch : int, or None
        A number of samples that may fit, where it is known how many there were.
    """

    asked: int = 0
    free: int = 0
    batch: int | None = None


class StateError(XpcnnError, RuntimeError):
    """A call came at the wrong moment, for example backward without the cache of a training forward."""


class TrainingDiverged(XpcnnError, ArithmeticError):
    """
    The loss, or a weight, is NaN or infinite; the text names the step and the first layer that gave such numbers.

    Attributes
    ----------
    layer : str
        Path of the first layer whose output was not finite; "" where all were.
    """

    layer: str = ""


class StateDictError(XpcnnError, ValueError):
    """A state_dict does not fit the model; the text lists every difference."""


class CheckpointError(XpcnnError, ValueError):
    """
    A model file is damaged, foreign or of a newer format, cannot be written, or is of another run.

    Attributes
    ----------
    different : list of str
        In what the other run differs, as ``fit(..., allow_different=...)`` takes it.
    """

    different: Sequence[str] = ()


class DataError(XpcnnError, ValueError):
    """A data file is damaged, swapped or missing."""


class DownloadError(DataError):
    """A data set could not be fetched; the text says where to put the file by hand."""
