"""Which layers a model file may name. A file never decides what is imported: it can only choose from this table."""

from typing import Any, TypeVar

from xpcnn import layers
from xpcnn.errors import CheckpointError, ConfigError
from xpcnn.layers import Layer

from .blocks import Concat, Residual
from .container import Container
from .graph import Graph
from .sequential import Sequential
from .squeeze_excite import SqueezeExcite

__all__ = ["build", "describe", "register"]

T = TypeVar("T", bound=type[Layer])

_DEEPEST = 50
_MOST = 10_000  # layers of a file

_known: dict[str, type[Layer]] = {
    cls.__name__: cls
    for cls in (getattr(layers, name) for name in layers.__all__)
    if isinstance(cls, type) and issubclass(cls, Layer) and not cls.__abstractmethods__
}
_known.update({cls.__name__: cls for cls in (Sequential, Graph, Residual, Concat, SqueezeExcite)})


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


def describe(layer: Layer, seen: dict[int, int] | None = None) -> dict[str, Any]:
    """
    A layer's class name and settings, as JSON can hold them.

    A layer at a second place is said to be the same as the first, by its number in the order of description.
    """
    seen = {} if seen is None else seen
    if id(layer) in seen:
        return {"same": seen[id(layer)]}
    name = type(layer).__name__
    if _known.get(name) is not type(layer):
        message = f"save: expected known layers, got {name}: decorate your class with @xpcnn.register"
        raise CheckpointError(message)
    description = {"class": name, **{key: _plain(value, name, key, seen) for key, value in layer.config().items()}}
    if not isinstance(layer, Container):  # a container twice is two of the same layers
        seen[id(layer)] = len(seen)
    return description


def _plain(value: Any, owner: str, key: str, seen: dict[int, int]) -> Any:
    if isinstance(value, Layer):
        return describe(value, seen)
    if isinstance(value, (list, tuple)):
        return [_plain(item, owner, key, seen) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if hasattr(value, "__index__"):
        return int(value)  # NumPy's integers
    message = f"save: expected {owner}.{key} to be numbers, strings, lists or layers, got {value!r}: use a name"
    raise CheckpointError(message)


def build(description: Any, depth: int = 0, built: list[Layer] | None = None) -> Layer:
    """
    The layer that a description says, fresh; every setting is checked by the class' constructor.

    Raises
    ------
    CheckpointError
        If the description is not one, or names an unknown class.
    """
    if depth > _DEEPEST:
        message = f"load: expected at most {_DEEPEST} layers inside of one another"
        raise CheckpointError(message)
    built = [] if built is None else built
    if len(built) >= _MOST:
        message = f"load: expected at most {_MOST:,} layers, got more"
        raise CheckpointError(message)
    if isinstance(description, dict) and set(description) == {"same"}:
        number = description["same"]
        if not isinstance(number, int) or not 0 <= number < len(built):
            message = f"load: expected the number of one of {len(built)} layers before, got {str(number)[:80]!r}"
            raise CheckpointError(message)
        return built[number]
    if not isinstance(description, dict) or not isinstance(description.get("class"), str):
        message = f"load: expected the description of a layer, got {str(description)[:80]!r}"
        raise CheckpointError(message)
    settings = {key: _restore(value, depth, built) for key, value in description.items() if key != "class"}
    cls = _known.get(description["class"])
    if cls is None:
        message = (
            f"load: expected a known layer, got {description['class'][:80]!r}: "
            "if it is your own, import the module that registers it with @xpcnn.register"
        )
        raise CheckpointError(message)
    try:
        if issubclass(cls, Container):
            return cls.from_config(settings)
        built.append(cls(**settings))
        return built[-1]
    except (TypeError, KeyError, ValueError) as error:
        message = f"load: {description['class']} does not take these settings ({error})"
        raise CheckpointError(message) from error


def _restore(value: Any, depth: int, built: list[Layer]) -> Any:
    if isinstance(value, dict):
        return build(value, depth + 1, built)
    if isinstance(value, list):
        items = [_restore(item, depth, built) for item in value]
        return items if any(isinstance(item, (Layer, tuple)) for item in items) else tuple(items)
    return value
