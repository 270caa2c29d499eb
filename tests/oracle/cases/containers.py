"""Layers made of layers."""

from tests.strategies import Case
from xpcnn import layers as L
from xpcnn import models as M

from .common import IMAGE
from .conv import conv


def _containers():
    c3 = conv(IMAGE, padding=1)
    norm = Case(L.BatchNorm2d, {"num_features": 2}, IMAGE)
    relu = Case(L.LeakyReLU, {}, IMAGE)
    body = Case(M.Sequential, {}, IMAGE, parts=(c3, norm, relu))
    yield "residual", Case(M.Residual, {"body": body}, IMAGE)
    yield "residual with shortcut", Case(
        M.Residual, {"body": conv(IMAGE, 3, stride=2, padding=1), "shortcut": conv(IMAGE, 3, 1, stride=2)}, IMAGE
    )
    yield "concat", Case(M.Concat, {}, IMAGE, parts=(conv(IMAGE, 1, 1), body, conv(IMAGE, 3, padding="same")))
    tail = (Case(L.Flatten, {}, IMAGE), Case(L.Linear, {"in_features": 60, "out_features": 3}, (2, 60)))
    yield "nested, one layer twice", Case(M.Sequential, {}, IMAGE, parts=(c3, relu, c3, body, *tail))


LAYERS: dict[str, Case] = dict(_containers())
