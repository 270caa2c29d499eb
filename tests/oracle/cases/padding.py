"""Borders."""

from tests.strategies import Case
from xpcnn import layers as L

from .common import IMAGE

# left, right, top, bottom of images of 6 rows and 5 columns
FOUR = ((1, 2, 3, 0), (4, 0, 0, 5), (0, 4, 5, 0), (-1, 2, 3, -2), (-3, 4, -5, 5), (0, -4, -5, 0))


def _pads():
    for cls in (L.ZeroPad2d, L.ReflectionPad2d, L.ReplicationPad2d):
        name = cls.__name__
        for padding in (0, 1, 3, -1, *FOUR):
            yield f"{name} {padding}", Case(cls, {"padding": padding}, IMAGE)
    for cls in (L.ZeroPad2d, L.ReplicationPad2d):
        yield f"{cls.__name__} wider than the image", Case(cls, {"padding": (3, 4, 2, 5)}, (1, 2, 1, 2))
    yield "ReplicationPad2d of what is cut away", Case(L.ReplicationPad2d, {"padding": (-3, 4, 5, -3)}, (1, 2, 2, 2))


LAYERS: dict[str, Case] = dict(_pads())
