"""What a set of samples is, in a few bytes: enough to notice that it is another one."""

from __future__ import annotations

import hashlib
import re
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

from xpcnn.backend import Array, is_array, to_numpy

from .samples import Samples

__all__ = ["fingerprint", "said"]

MOST = 1 << 26  # bytes of an array that are read
BLOCKS = 1024  # in which they lie, where that is not all
ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")  # of functions inside of something: another one in each process


def fingerprint(samples: Samples) -> dict[str, str]:
    """
    Dtype, shape and SHA-256 of inputs, targets and weights.

    Of an array of more than 64 MiB a part is read, at even distances, the first sample and the last one included.

    Parameters
    ----------
    samples : Samples
        Wherever they lie; reading waits for the device.

    Examples
    --------
    >>> import numpy as np
    >>> samples = Samples(np.zeros((3, 2), dtype="float32"), np.asarray([0, 1, 2]))
    >>> fingerprint(samples)["x"]
    'float32 [3, 2] 9d908ecfb6b256de'
    """
    return {name: _of(a) for name, a in samples._asdict().items() if a is not None}


def said(one: object) -> str:
    """
    An object's settings as text that is the same in another process: its attributes, and theirs.

    Examples
    --------
    >>> class Own:
    ...     def __init__(self):
    ...         self.scale, self.inside = 2.0, None
    >>> said(Own())
    'Own(scale=2.0, inside=None)'
    """
    return _said(one, ())


def _said(one: Any, around: tuple[int, ...]) -> str:
    if is_array(one):
        return _of(one)
    if isinstance(one, (FunctionType, BuiltinFunctionType, MethodType, type)):
        return one.__qualname__
    if id(one) in around:
        return "..."
    around = (*around, id(one))
    if isinstance(one, (list, tuple)):
        return f"{type(one).__name__}({', '.join(_said(item, around) for item in one)})"
    if isinstance(one, (set, frozenset)):
        return f"{type(one).__name__}({', '.join(sorted(_said(item, around) for item in one))})"
    if isinstance(one, dict):
        return f"dict({', '.join(f'{key}={_said(item, around)}' for key, item in one.items())})"
    if isinstance(one, (bool, int, float, complex, str, bytes, type(None))):
        return repr(one)
    attributes = getattr(one, "__dict__", {})
    if not attributes and type(one).__repr__ is not object.__repr__:  # NumPy's numbers, partial functions, paths
        return ADDRESS.sub("", repr(one))
    settings = ", ".join(f"{name}={_said(value, around)}" for name, value in attributes.items())
    return f"{type(one).__name__}({settings})"


def _of(a: Array) -> str:
    if a.ndim == 0:
        return repr(to_numpy(a).tolist())
    n = a.shape[0]
    most = max(MOST // max(to_numpy(a[:1, ...]).nbytes, 1), BLOCKS)  # samples
    digest = hashlib.sha256()
    if n <= most:
        digest.update(to_numpy(a).tobytes())
    else:
        size = most // BLOCKS
        for i in range(BLOCKS):
            start = i * (n - size) // (BLOCKS - 1)
            digest.update(to_numpy(a[start : start + size, ...]).tobytes())
    return f"{str(a.dtype).rpartition('.')[2]} {list(a.shape)} {digest.hexdigest()[:16]}"
