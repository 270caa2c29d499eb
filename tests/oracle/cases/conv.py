"""Convolutions."""

from tests.strategies import Case
from xpcnn import layers as L

from .common import IMAGE, THREE


def conv(shape, out=2, kernel=3, **args):
    groups = args.get("groups", 1)
    return Case(L.Conv2d, {"in_channels": shape[1], "out_channels": out * groups, "kernel_size": kernel, **args}, shape)


LAYERS: dict[str, Case] = {
    "conv": conv(IMAGE),
    "conv one of everything": conv((1, 1, 1, 1), 1, 1),
    "conv no bias": conv(IMAGE, bias=False),
    "conv 1x1": conv(IMAGE, 3, 1),
    "conv kernel fills the image": conv(IMAGE, 2, (6, 5)),
    "conv kernel (1, 3)": conv(IMAGE, kernel=(1, 3)),
    "conv kernel (3, 2)": conv(IMAGE, kernel=(3, 2)),
    "conv stride 2, unused border": conv(IMAGE, stride=2),
    "conv stride (1, 3)": conv(IMAGE, stride=(1, 3)),
    "conv stride beyond the kernel": conv(THREE, kernel=2, stride=3),
    "conv padding 1": conv(IMAGE, padding=1),
    "conv padding (0, 2)": conv(IMAGE, padding=(0, 2)),
    "conv padding (1, 0), stride (2, 1)": conv(IMAGE, padding=(1, 0), stride=(2, 1)),
    "conv four paddings": conv(IMAGE, padding=(0, 1, 2, 3)),
    "conv four paddings, stride 2": conv(IMAGE, padding=(3, 0, 0, 1), stride=2),
    "conv same": conv(IMAGE, padding="same"),
    "conv same, even kernel": conv(IMAGE, kernel=(2, 4), padding="same"),
    "conv same, dilation": conv(IMAGE, kernel=2, padding="same", dilation=(3, 2)),
    "conv valid": conv(IMAGE, padding="valid", stride=2),
    "conv dilation 2": conv(THREE, dilation=2),
    "conv dilation (1, 3)": conv(THREE, kernel=(3, 2), dilation=(1, 3)),
    "conv dilation, stride, padding": conv(THREE, dilation=(2, 3), stride=(2, 1), padding=(1, 2)),
    "conv two groups": conv((2, 4, 4, 5), 1, groups=2),
    "conv three groups of two": conv((1, 6, 4, 4), 2, 2, groups=3),
    "conv depthwise": conv((2, 3, 5, 4), 1, groups=3, padding=1),
    "conv depthwise, two each, stride": conv((2, 3, 5, 4), 2, 2, groups=3, stride=2, bias=False),
}
