"""Bad input gets a typed error that names the layer, what was expected and what came."""

import re

import numpy as np
import pytest

from xpcnn import layers as L
from xpcnn.errors import ConfigError, DtypeError, NamespaceError, ShapeError, XpcnnError
from xpcnn.models import Concat, Residual, Sequential

F = np.float32


def raises(error, text, call):
    """The error is ours and the builtin, and its text says what the pattern says."""
    with pytest.raises(error, match=text) as caught:
        call()
    assert isinstance(caught.value, XpcnnError)
    assert isinstance(caught.value, (ValueError, TypeError, RuntimeError))
    return str(caught.value)


def test_error_names_shape():
    """deepnet raises Exception("Invalid dimensions!")."""
    text = raises(ShapeError, "Conv2d", lambda: L.Conv2d(3, 8, 3)(np.zeros((8, 32, 32, 3), F)))
    assert text == (
        "Conv2d: expected x of shape (N, 3, H, W), got (8, 32, 32, 3): channels come first; permute to (8, 3, 32, 32)"
    )


SHAPES = [
    (L.Conv2d(3, 8, 3), (2, 4, 8, 8), r"Conv2d: expected x of shape \(N, 3, H, W\), got \(2, 4, 8, 8\)"),
    (L.Conv2d(3, 8, 3), (3, 8, 8), r"add the batch axis"),
    (L.Conv2d(1, 8, 3), (28, 28), r"Conv2d: expected x of shape \(N, 1, H, W\), got \(28, 28\)"),
    (L.Conv2d(3, 8, 3), (), r"got \(\)"),
    (L.Conv2d(3, 8, 3), (0, 3, 8, 8), "it is empty"),
    (L.Conv2d(3, 8, 3), (2, 3, 0, 8), "it is empty"),
    (L.Conv2d(3, 8, 5, padding=1), (2, 3, 2, 8), r"at least the kernel's size \(5, 5\), got \(4, 10\)"),
    (L.Conv2d(3, 8, 2, dilation=8), (2, 3, 8, 9), r"kernel's size \(9, 9\), got \(8, 9\)"),
    (L.Linear(5, 2), (2, 4), r"Linear: expected x of shape \(N, 5\), got \(2, 4\)"),
    (L.Linear(5, 2), (2, 5, 1, 1), "put Flatten"),
    (L.Linear(5, 2), (5,), r"got \(5,\)"),
    (L.Linear(5, 2), (0, 5), "it is empty"),
    (L.MaxPool2d(3), (2, 3, 2, 9), r"MaxPool2d: .*kernel's size \(3, 3\), got \(2, 9\)"),
    (L.AvgPool2d(3), (2, 3, 2, 9), r"AvgPool2d: .*kernel's size \(3, 3\), got \(2, 9\)"),
    (L.MaxPool2d(2), (2, 3, 4), r"MaxPool2d: expected x of shape \(N, C, H, W\), got \(2, 3, 4\)"),
    (L.AvgPool2d(2), (2, 3), r"AvgPool2d: expected x of shape \(N, C, H, W\), got \(2, 3\)"),
    (L.MaxPool2d(2), (0, 3, 4, 4), "it is empty"),
    (L.GlobalAvgPool2d(), (2, 3), r"GlobalAvgPool2d: expected x of shape \(N, C, H, W\)"),
    (L.GlobalAvgPool2d(), (2, 3, 0, 4), "it is empty"),
    (L.Flatten(), (0, 3), "Flatten: .*it is empty"),
    (L.Flatten(), (), r"Flatten: expected x of shape \(N"),
    (L.Softmax(), (3,), "Softmax: expected x with an axis 1"),
    (L.LogSoftmax(), (0, 3), "LogSoftmax: expected x"),
]


@pytest.mark.parametrize(("layer", "shape", "text"), SHAPES, ids=lambda v: repr(v)[:40])
@pytest.mark.parametrize("train", [False, True])
def test_wrong_shapes(layer, shape, text, train):
    raises(ShapeError, text, lambda: layer.forward(np.ones(shape, F), train=train))


@pytest.mark.parametrize(
    ("layer", "shape", "text"),
    [row for row in SHAPES if 0 not in row[1] and len(row[1]) > 1],
    ids=lambda v: repr(v)[:40],
)
def test_output_shape_refuses_what_forward_refuses(layer, shape, text):
    raises(ShapeError, type(layer).__name__, lambda: layer.output_shape(shape[1:]))


LAYERS = [
    (L.Conv2d(3, 8, 3), (2, 3, 8, 8)),
    (L.Linear(5, 2), (2, 5)),
    (L.MaxPool2d(2), (2, 3, 4, 4)),
    (L.AvgPool2d(2), (2, 3, 4, 4)),
    (L.GlobalAvgPool2d(), (2, 3, 4, 4)),
    (L.BatchNorm1d(3), (2, 3)),
    (L.BatchNorm2d(3), (2, 3, 4, 4)),
    (L.Dropout(), (2, 3)),
    (L.Flatten(), (2, 3, 4)),
    (L.ReLU(), (2, 3)),
    (L.LeakyReLU(), (2, 3)),
    (L.Sigmoid(), (2, 3)),
    (L.Tanh(), (2, 3)),
    (L.Softmax(), (2, 3)),
    (L.LogSoftmax(), (2, 3)),
    (Sequential(L.ReLU()), (2, 3)),
    (Residual(L.ReLU()), (2, 3)),
    (Concat(L.ReLU(), L.Tanh()), (2, 3)),
]


@pytest.mark.parametrize(("layer", "shape"), LAYERS, ids=lambda v: type(v).__name__)
@pytest.mark.parametrize("train", [False, True])
def test_wrong_kinds_of_numbers_and_things(layer, shape, train):
    x = np.ones(shape, F)
    for dtype in ("int64", "uint8", "bool", "complex64", "object", "U3", "datetime64[s]"):
        bad = np.ones(shape, "int64").astype(dtype)
        text = "expected .* real floating dtype, got " + re.escape(str(bad.dtype))
        raises(DtypeError, text, lambda bad=bad: layer.forward(bad, train=train))
    assert "divided by 255" in raises(DtypeError, "uint8", lambda: layer.forward(x.astype("uint8"), train=train))
    things = [x.tolist(), None, 3.0, "x", np.ma.masked_array(x), F(1.0), memoryview(x)]
    if len(shape) == 2:
        with pytest.warns(PendingDeprecationWarning):
            things.append(np.matrix(x))
    for bad in things:
        raises(NamespaceError, "expected x to be an array, got ", lambda bad=bad: layer.forward(bad, train=train))


CONFIGS = [
    (lambda: L.Conv2d(0, 1, 1), "Conv2d: expected in_channels to be an integer of at least 1, got"),
    (lambda: L.Conv2d(1, -2, 1), "Conv2d: expected out_channels to be an integer of at least 1"),
    (lambda: L.Conv2d(1, 1, 0), "Conv2d: expected kernel_size of at least 1, got 0"),
    (lambda: L.Conv2d(1, 1, (1, 2, 3)), "Conv2d: expected kernel_size to be an integer or a pair"),
    (lambda: L.Conv2d(1, 1, 2.0), "Conv2d: expected kernel_size to be an integer"),
    (lambda: L.Conv2d(1, 1, 2, stride=0), "Conv2d: expected stride of at least 1, got 0"),
    (lambda: L.Conv2d(1, 1, 2, stride=(1, -1)), "Conv2d: expected stride of at least 1"),
    (lambda: L.Conv2d(1, 1, 2, dilation=0), "Conv2d: expected dilation of at least 1, got 0"),
    (lambda: L.Conv2d(1, 1, 2, padding=-1), "Conv2d: expected padding of at least 0, got -1"),
    (lambda: L.Conv2d(1, 1, 2, padding="full"), "Conv2d: expected padding to be .*got 'full'"),
    (lambda: L.Conv2d(1, 1, 2, padding="same", stride=2), "Conv2d: padding='same' needs stride 1"),
    (lambda: L.Conv2d(4, 4, 1, groups=0), "Conv2d: expected groups to be an integer of at least 1"),
    (lambda: L.Conv2d(4, 6, 1, groups=3), "Conv2d: expected groups to divide in_channels=4, got groups=3"),
    (lambda: L.Conv2d(6, 4, 1, groups=3), "Conv2d: expected groups to divide out_channels=4, got groups=3"),
    (lambda: L.Conv2d(1, 1, 1, init="magic"), "magic"),
    (lambda: L.Linear(0, 1), "Linear: expected in_features to be an integer of at least 1"),
    (lambda: L.Linear(1, 2.5), "Linear: expected out_features to be an integer"),
    (lambda: L.Linear(1, True), "Linear: expected out_features to be an integer"),
    (lambda: L.MaxPool2d(0), "MaxPool2d: expected kernel_size of at least 1"),
    (lambda: L.MaxPool2d(2, stride=0), "MaxPool2d: expected stride of at least 1"),
    (lambda: L.MaxPool2d(2, dilation=0), "MaxPool2d: expected dilation of at least 1"),
    (lambda: L.MaxPool2d(2, padding=2), "MaxPool2d: expected padding of at most half the kernel"),
    (lambda: L.AvgPool2d(3, padding=(0, 2)), "AvgPool2d: expected padding of at most half the kernel"),
    (lambda: L.AvgPool2d(2, padding="same"), "AvgPool2d: expected padding in numbers, got 'same'"),
    (lambda: L.SoftmaxCrossEntropy(label_smoothing=1.5), "SoftmaxCrossEntropy: expected label_smoothing to be"),
    (lambda: L.SoftmaxCrossEntropy(label_smoothing=float("nan")), "SoftmaxCrossEntropy: expected label_smoothing"),
    (lambda: L.SoftmaxCrossEntropy(label_smoothing="x"), "SoftmaxCrossEntropy: expected label_smoothing"),
    (lambda: L.SoftmaxCrossEntropy(ignore_index=1.0), "SoftmaxCrossEntropy: expected ignore_index to be an integer"),
    (lambda: L.SoftmaxCrossEntropy(weight=[]), "SoftmaxCrossEntropy: expected a weight"),
    (lambda: L.SoftmaxCrossEntropy(weight=[1.0, -1.0]), "expected the weight of class 1 to be a finite number >= 0"),
    (lambda: L.SoftmaxCrossEntropy(weight=[1.0, float("nan")]), "expected the weight of class 1 to be"),
    (lambda: L.SoftmaxCrossEntropy(weight="heavy"), "SoftmaxCrossEntropy: expected a weight"),
    (lambda: L.SoftmaxCrossEntropy(weight=np.ones((2, 2))), "expected the weight of class 0 to be"),
    (lambda: L.SoftmaxCrossEntropy(weight=1.0), "SoftmaxCrossEntropy: expected a weight"),
    (lambda: L.BatchNorm2d(3, eps="x"), "BatchNorm2d: expected eps"),
    (lambda: L.BatchNorm2d(3, momentum="x"), "BatchNorm2d: expected momentum"),
    (lambda: L.SoftmaxCrossEntropy(weight=[1.0, True]), "expected the weight of class 1"),
    (lambda: L.Conv2d(1, 1, 1, bias="False"), "Conv2d: expected bias to be True or False, got 'False'"),
    (lambda: L.Linear(1, 1, bias="False"), "Linear: expected bias to be True or False, got 'False'"),
    (lambda: L.Conv2d(1, 1, np.array([3, 3])), "Conv2d: expected kernel_size to be an integer or a pair"),
    (lambda: L.Conv2d(1, 1, 1, padding=np.array([1, 1])), "Conv2d: expected padding to be an integer"),
    (lambda: L.Conv2d(1, 1, 1, padding=(1, "1")), "Conv2d: expected padding to be an integer"),
    (lambda: L.Conv2d(1, 1, 1, padding=None), "Conv2d: expected padding to be an integer"),
    (lambda: L.MaxPool2d(2, ceil_mode="no"), "MaxPool2d: expected ceil_mode to be True or False, got 'no'"),
    (lambda: L.AvgPool2d(2, count_include_pad="no"), "AvgPool2d: expected count_include_pad to be True or False"),
    (lambda: L.MaxPool2d(np.array([2, 2])), "MaxPool2d: expected kernel_size to be an integer or a pair"),
    (lambda: L.BatchNorm2d(3, eps=True), "BatchNorm2d: expected eps to be a finite number > 0, got True"),
    (lambda: L.BatchNorm2d(3, momentum=True), "BatchNorm2d: expected momentum to be a finite number"),
    (lambda: L.BatchNorm2d(3, affine=None), "BatchNorm2d: expected affine to be True or False"),
    (lambda: L.BatchNorm1d(3, track_running_stats=2), "BatchNorm1d: expected track_running_stats to be True or"),
    (lambda: L.LeakyReLU(True), "LeakyReLU: expected negative_slope to be a finite number, got True"),
    (lambda: L.Dropout(True), "Dropout: expected p, the chance to drop, to be a finite number"),
    (lambda: L.Dropout(1.5), "Dropout: expected p, the chance to drop, to be a finite number >= 0 and <= 1, got 1.5"),
    (lambda: L.Softmax(1.0), "Softmax: expected dim to be an integer, got 1.0"),
    (lambda: Concat(), "Concat: expected at least one branch"),
    (lambda: Sequential(L.ReLU), r"Sequential: expected layers, got .*did you mean ReLU\(\.\.\.\)\?"),
    (lambda: Sequential(None), "Sequential: expected layers, got None"),
    (lambda: Residual(3), "Residual: expected layers, got 3"),
    (lambda: Sequential(("a", L.ReLU()), ("a", L.ReLU())), "Sequential: expected names that differ, got 'a'"),
    (lambda: Sequential(("a.b", L.ReLU())), "Sequential: expected a name of .*got 'a.b'"),
    (lambda: Sequential(("", L.ReLU())), "Sequential: expected a name"),
    (
        lambda: Sequential(dtype="float8"),
        "Sequential: expected dtype to be one of float32, float64, bfloat16, float16, got 'float8'",
    ),
    (lambda: Sequential(device="gpu"), "device: expected 'cpu', 'cuda', 'cuda:N' or 'auto', got 'gpu'"),
    (lambda: Sequential(seed=-1), "expected seed to be an integer from 0"),
    (lambda: Sequential(seed=1.5), "expected seed to be an integer from 0"),
]


@pytest.mark.parametrize(("build", "text"), CONFIGS, ids=[text[:60] for _, text in CONFIGS])
def test_wrong_settings(build, text):
    raises(ConfigError, text, build)


def test_sizes_may_be_numpy_integers():
    """As they come out of x.shape arithmetic and of arrays."""
    layer = L.Conv2d(np.int64(1), np.int32(2), np.int64(3), stride=(np.int64(1), 2))
    assert layer.output_shape((1, 5, 5)) == (2, 3, 2)
    assert repr(layer) == "Conv2d(1, 2, 3, stride=(1, 2))"


def test_settings_may_be_numpy_scalars():
    """They are kept as Python's, which JSON can hold and which promote no array."""
    kept = [
        L.Dropout(np.float32(0.5)).p,
        L.LeakyReLU(np.float32(0.5)).negative_slope,
        L.BatchNorm2d(np.int64(1), eps=np.float32(0.5)).eps,
        L.SoftmaxCrossEntropy(label_smoothing=np.float64(0.5)).label_smoothing,
    ]
    assert kept == [0.5] * 4 and all(type(value) is float for value in kept)
    whole = [
        L.SoftmaxCrossEntropy(ignore_index=np.int64(-1)).ignore_index,
        L.Softmax(np.int64(-1)).dim,
        -L.MaxPool2d(2, padding=np.int32(1)).padding,
        -L.Conv2d(1, 1, 2, padding=[np.int32(1), 1]).padding[0],
    ]
    assert whole == [-1] * 4 and all(type(value) is int for value in whole)
    assert L.Linear(1, 1, bias=np.False_).bias is False
    assert type(Sequential(seed=np.int64(3)).seed) is int
