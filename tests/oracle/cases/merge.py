"""Layers of several inputs."""

from tests.strategies.merge import merging
from xpcnn import layers as L

A, B = (2, 3, 4), (3, 3, 4)

LAYERS = {
    "add two": merging(L.Add, [A, A]),
    "add one": merging(L.Add, [A]),
    "add four": merging(L.Add, [(5,)] * 4, 3),
    "multiply two": merging(L.Multiply, [A, A]),
    "multiply one": merging(L.Multiply, [A]),
    "multiply three": merging(L.Multiply, [(5,)] * 3, 3),
    "multiply by a gate": merging(L.Multiply, [A, (2, 1, 1)]),
    "multiply by a map": merging(L.Multiply, [(1, 3, 4), A, (2, 1, 1)]),
    "multiply, both stretched": merging(L.Multiply, [(2, 1, 4), (1, 3, 4)]),
    "concatenate channels": merging(L.Concatenate, [A, B, A]),
    "concatenate one": merging(L.Concatenate, [A]),
    "concatenate columns": merging(L.Concatenate, [(2, 3, 1), (2, 3, 4)], dim=-1),
    "concatenate rows": merging(L.Concatenate, [(2, 1, 3), (2, 2, 3)], dim=2),
}
