"""Small networks that hold every kind of layer, and the ready-made ones."""

from xpcnn import layers as L
from xpcnn import models as M
from xpcnn.models import Concat, Graph, Residual, Sequential


def nested(**options) -> Sequential:
    """Named, nested, branching, with one layer at two places; (N, 2, 6, 6) to (N, 3)."""
    shared = L.Conv2d(4, 4, 3, padding="same", groups=2)
    return Sequential(
        ("stem", L.Conv2d(2, 4, (3, 1), padding=(0, 0, 1, 1))),
        L.BatchNorm2d(4, momentum=None),
        Residual(Sequential(shared, L.Tanh(), ("again", shared)), L.Conv2d(4, 4, 1, bias=False)),
        Concat(L.MaxPool2d(2), Sequential(L.AvgPool2d(2, ceil_mode=True), L.LeakyReLU(0.2))),
        L.Dropout(0.25),
        L.Flatten(),
        L.Linear(72, 5, init="xavier_uniform"),
        L.BatchNorm1d(5, affine=False),
        L.Sigmoid(),
        L.Linear(5, 3, bias=False),
        **{"input_shape": (2, 6, 6), **options},
    )


def plain(**options) -> Sequential:
    return Sequential(L.Conv2d(1, 2, 3), L.BatchNorm2d(2), L.ReLU(), L.Flatten(), L.Linear(8, 3), **options)


def branching(**options) -> Graph:
    """One layer at two nodes, one output at three, blocks inside; (N, 2, 6, 6) to (N, 3); not in order."""
    shared = L.Conv2d(4, 4, 3, padding=1)
    return Graph(
        {
            "head": (L.Linear(8, 3), "mean"),
            "stem": (L.Conv2d(2, 4, 3, padding=1), "input"),
            "norm": (L.BatchNorm2d(4), "stem"),
            "a": (shared, "norm"),
            "b": (shared, "a"),
            "body": (Sequential(L.Conv2d(4, 4, 1), Residual(L.Tanh()), L.Dropout(0.2)), "norm"),
            "sum": (L.Add(), ["a", "body", "norm"]),
            "wide": (L.Concatenate(), "sum", "b"),
            "mean": (L.GlobalAvgPool2d(), "wide"),
        },
        "head",
        **{"input_shape": (2, 6, 6), **options},
    )


# name: maker, parameters counted by hand or by the source it is after, shape of one input
READY_MADE = {
    "deepnotes": (M.deepnotes, 202_738, (1, 28, 28)),
    "keras_mnist": (M.keras_mnist, 34_826, (1, 28, 28)),
    "fashion_small": (M.fashion_small, 110_410, (1, 28, 28)),
    "fashion": (M.fashion, 303_338, (1, 28, 28)),
    "lenet5": (M.lenet5, 61_706, (1, 28, 28)),
    "torch_mnist": (M.torch_mnist, 1_199_882, (1, 28, 28)),
    "small_vgg": (M.small_vgg, 288_746, (3, 32, 32)),
    "resnet9": (M.resnet9, 6_573_120, (3, 32, 32)),
    "resnet18": (M.resnet18, 11_173_962, (3, 32, 32)),
    "resnet50": (M.resnet50, 23_520_842, (3, 32, 32)),
}
