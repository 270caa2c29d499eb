"""Pooling."""

from tests.strategies import Case
from xpcnn import layers as L

from .common import IMAGE, THREE


def _pools():
    both = {
        "2": {"kernel_size": 2},
        "1": {"kernel_size": 1},
        "3 stride 2": {"kernel_size": 3, "stride": 2},
        "3 stride 1": {"kernel_size": 3, "stride": 1},
        "(2, 3)": {"kernel_size": (2, 3)},
        "(3, 1) stride (1, 2)": {"kernel_size": (3, 1), "stride": (1, 2)},
        "2 stride 3": {"kernel_size": 2, "stride": 3},
        "3 padding 1": {"kernel_size": 3, "padding": 1},
        "(2, 3) padding (1, 0) stride 2": {"kernel_size": (2, 3), "padding": (1, 0), "stride": 2},
        "4 padding four": {"kernel_size": 4, "stride": 2, "padding": (0, 2, 1, 0)},
        "2 ceil": {"kernel_size": 2, "ceil_mode": True},
        "3 stride 2 padding 1 ceil": {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
        "2 stride (3, 2) ceil": {"kernel_size": 2, "stride": (3, 2), "ceil_mode": True},
        "(3, 2) stride 3 padding 1 ceil": {"kernel_size": (3, 2), "stride": 3, "padding": 1, "ceil_mode": True},
        "2 stride 4 padding 1 ceil": {"kernel_size": 2, "stride": 4, "padding": 1, "ceil_mode": True},
    }
    for name, args in both.items():
        for shape in (IMAGE, (1, 1, 7, 7)):
            yield f"max pool {name} of {shape[2:]}", Case(L.MaxPool2d, args, shape)
            yield f"avg pool {name} of {shape[2:]}", Case(L.AvgPool2d, args, shape)
            if "padding" in args and len(str(args["padding"])) < 9:
                without = args | {"count_include_pad": False}
                yield f"avg pool {name} of {shape[2:]}, border not counted", Case(L.AvgPool2d, without, shape)
    yield "max pool dilation 2", Case(L.MaxPool2d, {"kernel_size": 2, "dilation": 2, "stride": 1}, THREE)
    yield "max pool dilation (1, 3)", Case(L.MaxPool2d, {"kernel_size": (3, 2), "dilation": (1, 3), "stride": 2}, THREE)
    yield "max pool dilation 2 ceil", Case(L.MaxPool2d, {"kernel_size": 2, "dilation": 2, "ceil_mode": True}, THREE)
    for k, p, d in ((2, 1, 2), (3, 1, 2), ((3, 2), (1, 1), (2, 1)), (4, 2, 2)):
        args = {"kernel_size": k, "padding": p, "dilation": d, "stride": 1}
        yield f"max pool {k} dilation {d} padding {p}", Case(L.MaxPool2d, args, THREE)
        args = args | {"ceil_mode": True, "stride": 2}
        yield f"max pool {k} dilation {d} padding {p} ceil", Case(L.MaxPool2d, args, THREE)
    yield "max pool of more than 256", Case(L.MaxPool2d, {"kernel_size": 17}, (1, 1, 18, 17))
    yield "global avg pool", Case(L.GlobalAvgPool2d, {}, (2, 3, 4, 5))
    yield "global max pool", Case(L.GlobalMaxPool2d, {}, (2, 3, 4, 5))
    yield "global max pool of one", Case(L.GlobalMaxPool2d, {}, (1, 1, 1, 1))
    yield "global max pool of more than 256", Case(L.GlobalMaxPool2d, {}, (1, 2, 2, 300))
    for size in (1, 2, 3, 4, 7, 9, (2, 5), (5, 2), (None, 2), (3, None), (None, None)):
        for shape in (IMAGE, THREE):
            args = {"output_size": size}
            yield f"adaptive avg pool {size} of {shape[2:]}", Case(L.AdaptiveAvgPool2d, args, shape)
            yield f"adaptive max pool {size} of {shape[2:]}", Case(L.AdaptiveMaxPool2d, args, shape)
    yield "adaptive max pool of more than 256", Case(L.AdaptiveMaxPool2d, {"output_size": (1, 2)}, (1, 1, 2, 601))
    yield "global avg pool of one", Case(L.GlobalAvgPool2d, {}, (1, 1, 1, 1))


LAYERS: dict[str, Case] = dict(_pools())
