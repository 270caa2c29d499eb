"""Images at another size."""

from tests.strategies import Case
from xpcnn import layers as L

ONE = (1, 2, 6, 5)


def _upsamples():
    sizes = [
        {"size": 7},
        {"size": (9, 4)},
        {"size": (3, 2)},
        {"size": (1, 1)},
        {"size": (6, 10)},
        {"size": (6, 5)},
        {"size": (12, 11)},
        {"scale_factor": 1},
        {"scale_factor": 2},
        {"scale_factor": (3, 2)},
        {"scale_factor": (1, 4)},
        {"scale_factor": 0.5},
        {"scale_factor": 1.1},  # the width stays, the height does not double
        {"scale_factor": 1.9},
        {"scale_factor": (2.1, 2.3)},  # the height doubles, the width does not
        {"scale_factor": (3.15, 3.1)},  # three times as large, but the factors are not 3
        {"scale_factor": (0.7, 1.5)},
        {"scale_factor": 7 / 3},
    ]
    modes = [{"mode": "nearest"}, {"mode": "bilinear"}, {"mode": "bilinear", "align_corners": True}]
    for size in sizes:
        for mode in modes:
            args = size | mode
            yield f"upsample {args}", Case(L.Upsample, args, ONE)
    yield "upsample one pixel", Case(L.Upsample, {"size": 3, "mode": "bilinear"}, (1, 1, 1, 1))
    args = {"size": (2, 5), "mode": "bilinear", "align_corners": True}
    yield "upsample one row", Case(L.Upsample, args, (1, 2, 1, 3))
    yield "upsample edges", Case(L.Upsample, {"scale_factor": 2, "mode": "bilinear", "align_corners": False}, ONE)
    # quotients that float32 rounds the other way than float64
    yield "upsample nearest 26 to 22", Case(L.Upsample, {"size": (22, 2)}, (1, 1, 26, 3))
    yield "upsample nearest 39 to 33", Case(L.Upsample, {"size": (2, 33)}, (1, 1, 3, 39))
    yield "upsample nearest 31 times 1.3", Case(L.Upsample, {"scale_factor": (1.3, 1)}, (1, 1, 31, 2))


LAYERS: dict[str, Case] = dict(_upsamples())
