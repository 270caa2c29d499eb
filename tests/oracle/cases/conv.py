"""Convolutions."""

from tests.strategies import Case
from xpcnn import layers as L

from .common import IMAGE, THREE

SEQUENCE = (2, 3, 8)


def conv(shape, out=2, kernel=3, cls=L.Conv2d, **args):
    groups = args.get("groups", 1)
    return Case(cls, {"in_channels": shape[1], "out_channels": out * groups, "kernel_size": kernel, **args}, shape)


def conv1d(shape=SEQUENCE, out=2, kernel=3, **args):
    return conv(shape, out, kernel, L.Conv1d, **args)


def transpose(shape=THREE, out=2, kernel=3, **args):
    return conv(shape, out, kernel, L.ConvTranspose2d, **args)


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
    "conv1d": conv1d(),
    "conv1d one of everything": conv1d((1, 1, 1), 1, 1),
    "conv1d no bias": conv1d(bias=False),
    "conv1d kernel fills the sequence": conv1d(kernel=8),
    "conv1d stride 3, unused end": conv1d(kernel=2, stride=3),
    "conv1d stride beyond the kernel": conv1d(kernel=2, stride=3, padding=1),
    "conv1d causal": conv1d(padding=(2, 0)),
    "conv1d padding (1, 3), dilation 2, stride 2": conv1d(padding=(1, 3), dilation=2, stride=2),
    "conv1d same, even kernel": conv1d(kernel=4, padding="same"),
    "conv1d same, dilation": conv1d(kernel=2, dilation=3, padding="same"),
    "conv1d valid": conv1d(padding="valid", dilation=3),
    "conv1d two groups": conv1d((2, 4, 7), 2, groups=2, padding=1),
    "conv1d depthwise": conv1d(out=1, groups=3, stride=2),
    "transpose": transpose(),
    "transpose one of everything": transpose((1, 1, 1, 1), 1, 1),
    "transpose no bias": transpose(bias=False),
    "transpose kernel (1, 3)": transpose(kernel=(1, 3)),
    "transpose stride 2": transpose(stride=2),
    "transpose stride beyond the kernel": transpose(kernel=2, stride=3),
    "transpose doubles": transpose(kernel=4, stride=2, padding=1),
    "transpose padding (0, 2)": transpose(padding=(0, 2)),
    "transpose four paddings": transpose(padding=(0, 1, 2, 1)),
    "transpose four paddings, stride": transpose(padding=(2, 0, 0, 1), stride=(1, 2), output_padding=(0, 1)),
    "transpose padding leaves one pixel": transpose((2, 3, 1, 1), padding=1),
    "transpose output padding": transpose(stride=2, padding=1, output_padding=1),
    "transpose output padding (2, 0)": transpose(kernel=2, stride=(3, 1), output_padding=(2, 0)),
    "transpose output padding beyond the stride": transpose(kernel=2, stride=2, dilation=(4, 3), output_padding=(3, 2)),
    "transpose dilation (1, 3)": transpose(kernel=(3, 2), dilation=(1, 3)),
    "transpose dilation, stride, padding": transpose(dilation=(2, 3), stride=(2, 1), padding=(1, 2)),
    "transpose same, even kernel": transpose(kernel=(2, 4), padding="same"),
    "transpose same, dilation": transpose(kernel=2, padding="same", dilation=(3, 2)),
    "transpose valid": transpose(padding="valid", stride=2),
    "transpose two groups": transpose((2, 4, 3, 2), 2, groups=2, stride=2),
    "transpose depthwise": transpose((2, 3, 3, 4), 1, groups=3, padding=1, stride=2),
}
