"""Which layers a model file may name. A file never decides what is imported: it can only choose from this table."""

from typing import Any, TypeVar

from xpcnn import layers
from xpcnn.errors import CheckpointError, ConfigError
from xpcnn.layers import Layer

from .blocks import Concat, Residual
from .sequential import Sequential

__all__ = ["build", "describe", "register"]

T = TypeVar("T", bound=type[Layer])

_known: dict[str, type[Layer]] = {
    cls.__name__: cls
    for cls in (getattr(layers, name) for name in layers.__all__)
    if isinstance(cls, type) and issubclass(cls, Layer) and cls is not Layer
}
_known.update({"Sequential": Sequential, "Residual": Residual, "Concat": Concat})


def register(cls: T) -> T:
    """
    Let model files name a layer class of your own; use it as a decorator.

    The class needs an attribute for each argument of its constructor, of the same name and made of numbers, strings,
    lists, None or layers. Whoever loads the file must have registered the class, too.

    Raises
    ------
    ConfigError
        If it is no layer class, or its name is taken by another.

    Examples
    --------
    >>> class Double(Layer):
    ...     def forward(self, x, *, train=False):
    ...         return x * 2.0, self.keep(x) if train else None
    ...     def backward(self, dy, cache):
    ...         return dy * 2.0, {}
    >>> register(Double).__name__
    'Double'
    """
    if not (isinstance(cls, type) and issubclass(cls, Layer)):
        message = f"register: expected a class derived from Layer, got {cls!r}"
        raise ConfigError(message)
    old = _known.get(cls.__name__, cls)
    if old is not cls and (old.__module__, old.__qualname__) != (cls.__module__, cls.__qualname__):
        taken = f"{old.__module__}.{old.__qualname__}"
        message = f"register: expected a name that is free, got {cls.__name__!r}, which is {taken}"
        raise ConfigError(message)
    _known[cls.__name__] = cls
    return cls


def describe(layer: Layer) -> dict[str, Any]:
    """A layer's class name and settings, as JSON can hold them."""
    name = type(layer).__name__
    if _known.get(name) is not type(layer):
        message = f"save: expected known layers, got {name}: decorate your class with @xpcnn.register"
        raise CheckpointError(message)
    return {"class": name, **{key: _plain(value, name, key) for key, value in layer.config().items()}}


def _plain(value: Any, owner: str, key: str) -> Any:
    if isinstance(value, Layer):
        return describe(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item, owner, key) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    message = f"save: expected {owner}.{key} to be numbers, strings, lists or layers, got {value!r}: use a name"
    raise CheckpointError(message)


def build(description: Any, depth: int = 0) -> Layer:
    """
    The layer that a description says, fresh; every setting is checked by the class' constructor.

    Raises
    ------
    CheckpointError
        If the description is not one, or names an unknown class.
    """
    if depth > 50:
        message = "load: expected at most 50 layers inside of one another"
        raise CheckpointError(message)
    if not isinstance(description, dict) or not isinstance(description.get("class"), str):
        message = f"load: expected the description of a layer, got {str(description)[:80]!r}"
        raise CheckpointError(message)
    settings = {key: _restore(value, depth) for key, value in description.items() if key != "class"}
    cls = _known.get(description["class"])
    if cls is None:
        message = (
            f"load: expected a known layer, got {description['class'][:80]!r}: "
            "if it is your own, import the module that registers it with @xpcnn.register"
        )
        raise CheckpointError(message)
    try:
        if cls is Sequential:
            return Sequential(*map(tuple, settings.pop("layers")), **settings)
        if cls is Concat:
            return Concat(*settings.pop("branches"), **settings)
        return cls(**settings)
    except (TypeError, KeyError, ValueError) as error:
        message = f"load: {description['class']} does not take these settings ({error})"
        raise CheckpointError(message) from error


def _restore(value: Any, depth: int) -> Any:
    if isinstance(value, dict):
        return build(value, depth + 1)
    if isinstance(value, list):
        items = [_restore(item, depth) for item in value]
        return items if any(isinstance(item, (Layer, tuple)) for item in items) else tuple(items)
    return value
