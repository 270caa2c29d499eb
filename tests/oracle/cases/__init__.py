"""The recorded cases: layers and losses with options and shapes; a file for each family, as in tests/strategies."""

from types import ModuleType

from . import activations, basic, containers, conv, losses, merge, norm, padding, pool, upsample

FAMILIES: dict[str, ModuleType] = {
    family.__name__.rpartition(".")[2]: family
    for family in (activations, basic, containers, conv, losses, merge, norm, padding, pool, upsample)
}


LAYERS = {name: case for family in FAMILIES.values() for name, case in getattr(family, "LAYERS", {}).items()}
LOSSES = {name: case for family in FAMILIES.values() for name, case in getattr(family, "LOSSES", {}).items()}
