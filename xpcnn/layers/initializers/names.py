"""Initializers by name."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

from xpcnn.backend import Array, Key, is_undrawn
from xpcnn.errors import ConfigError
from xpcnn.settings import like, number

from .constants import constant, ones, zeros
from .matrices import orthogonal
from .scaled import (
    he_normal,
    he_uniform,
    lecun_normal,
    lecun_uniform,
    torch_default,
    xavier_normal,
    xavier_uniform,
)

__all__ = ["Initializer", "get"]

Initializer: TypeAlias = Callable[[tuple[int, ...], Key], Array]

_NAMED: dict[str, Initializer] = {
    f.__name__: f
    for f in (
        xavier_uniform, xavier_normal, he_uniform, he_normal, lecun_uniform, lecun_normal, torch_default, orthogonal,
        zeros, ones,
    )
}  # fmt: skip

# name: function, and the argument that a number after the colon is for
_VALUED: dict[str, tuple[Callable[..., Array], str]] = {
    "orthogonal": (orthogonal, "gain"),
    "constant": (constant, "value"),
}


def get(initializer: str | Initializer) -> Initializer:
    """
    The initializer of a name; a function is passed through.

    Parameters
    ----------
    initializer : str or callable
        One of "xavier_uniform", "xavier_normal", "he_uniform", "he_normal", "lecun_uniform", "lecun_normal",
        "torch_default", "orthogonal", "orthogonal:GAIN", "constant:VALUE", "zeros", "ones", with a number where a word
        is in capitals. A callable takes ``(shape, key)``.

    Raises
    ------
    ConfigError
        If there is no such name, or its value is no finite number.

    Examples
    --------
    >>> get("he_normal") is he_normal
    True
    >>> get("constant:0.5")((2,), Key(0)).tolist()
    [0.5, 0.5]
    """
    if is_undrawn():  # a model file brings the weights
        return zeros
    if callable(initializer):
        return initializer
    name, colon, text = initializer.partition(":") if isinstance(initializer, str) else ("", "", "")
    if name in _NAMED and not colon:
        return _NAMED[name]
    if name in _VALUED:
        f, argument = _VALUED[name]
        return partial(f, **{argument: number(f"initializers.get, {initializer!r}", argument, _float(text))})
    names = ", ".join(repr(name) for name in (*_NAMED, "orthogonal:GAIN", "constant:VALUE"))
    message = f"initializers.get: expected a function (shape, key) or one of {names}, got {initializer!r}"
    ours = name.lower().replace("kaiming", "he").replace("glorot", "xavier")  # PyTorch's and Keras' names of the same
    raise ConfigError(message + like(ours, (*_NAMED, *_VALUED)))


def _float(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text  # which `number` then refuses
