"""Layers that a GPU computes together, beside the same layers one by one."""

import logging

import numpy as np
import pytest

from tests.namespaces import make_space
from xpcnn import layers as L
from xpcnn.backend import Key, normal, to_numpy
from xpcnn.errors import DeviceUnavailable, DtypeError, ShapeError
from xpcnn.models import Graph, Residual, Sequential, fused
from xpcnn.training import Trainer

DTYPES = ["float32", "float64", "bfloat16", "float16"]
EPS = {"float32": 2.0**-23, "float64": 2.0**-52, "bfloat16": 2.0**-8, "float16": 2.0**-11}


def block(shortcut=False, stride=1):
    body = Sequential(
        *(L.Conv2d(4, 4, 3, stride, padding=1, bias=False), L.BatchNorm2d(4), L.ReLU()),
        *(L.Conv2d(4, 4, 3, padding=1, bias=False), L.BatchNorm2d(4)),
    )
    return Residual(body, Sequential(L.Conv2d(4, 4, 1, stride), L.BatchNorm2d(4)) if shortcut else None)


def net(gpu, dtype="float32", **options):
    model = Sequential(
        *(L.Conv2d(2, 4, 3, padding=1), L.ReLU(), L.Conv2d(4, 4, 3), L.BatchNorm2d(4), L.ReLU()),
        *(block(), L.ReLU(), block(shortcut=True, stride=2), L.ReLU(), L.Dropout(0.25)),
        *(L.Flatten(), L.Linear(36, 5), L.ReLU(), L.Linear(5, 3)),
        device=gpu.device, dtype=dtype, seed=1, **options,
    )  # fmt: skip
    for i, (name, a) in enumerate(sorted(model.buffers.items())):
        if name.endswith(("mean", "var")):  # as after some training
            found = normal(a.shape, Key(i, "buffers"))
            model.buffers[name] = model.home.asarray(np.exp(found) if name.endswith("var") else found, str(a.dtype))
    return model


def images(gpu, model, n=4):
    return gpu.upload(normal((n, 2, 8, 8), Key(0, "x")).astype(model.params_dtype))


def step(gpu, model, input_grad=True):
    """All that a step gives, and the kernels that it took."""
    gpu.launched.clear()
    gpu.done = []
    y, cache = model.forward(images(gpu, model), train=True)
    dy = gpu.upload(normal(y.shape, Key(1, "dy")).astype(y.dtype))
    dx, grads = model.backward(dy, cache, input_grad=input_grad)
    arrays = {"y": y, "dx": dx, **grads, **model.buffers}
    return {name: None if a is None else a.host.copy() for name, a in arrays.items()}, list(gpu.done)


def kernels(done):
    """Those that are ours, cuDNN's and cuBLAS'."""
    ours = {"normalize", "fold", "bias_relu", "gradient_sums", "batch_norm_backward", "max_pool", "gemm"}
    return [name for name in done if name in ours or name.startswith(("conv", "xpcnn"))]


@pytest.fixture
def apart(monkeypatch):
    """Turns it off."""
    return lambda: monkeypatch.setattr(fused, "fuses", lambda x: False)


def equal(found, expected):
    assert list(found) == list(expected)
    for name, a in expected.items():
        np.testing.assert_array_equal(found[name], a, err_msg=name)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_step_has_the_bits_of_layers_one_by_one_and_fewer_kernels(gpu, apart, dtype):
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    found, done = step(gpu, net(gpu, dtype))
    apart()
    expected, one_by_one = step(gpu, net(gpu, dtype))
    equal(found, expected)
    assert np.count_nonzero(found["dx"])
    convs = 0 if dtype == "float64" else 1
    # forward: 1 + 3 + 2 + 1 rectifiers less, in float64 but that behind the convolution; backward: the three of norms
    assert one_by_one.count("xpcnn_relu") == 7 and done.count("xpcnn_relu") == 1 - convs
    assert one_by_one.count("xpcnn_relu_backward") == 7 and done.count("xpcnn_relu_backward") == 4
    assert done.count("xpcnn_add_relu") == 2 and done.count("bias_relu") == 1
    assert done.count("conv_fprop+bias+relu") == convs
    assert len(kernels(one_by_one)) - len(kernels(done)) == (9 if convs else 8)


@pytest.mark.parametrize("dtype", DTYPES)
def test_inference_differs_by_a_few_roundings_and_is_a_kernel_for_each_convolution(gpu, apart, dtype):
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    model = net(gpu, dtype)
    gpu.done = []
    found = model(images(gpu, model)).host
    done = kernels(gpu.done)
    apart()
    expected = model(images(gpu, model)).host
    slack = 16 * EPS[dtype] * np.abs(expected).max()
    np.testing.assert_allclose(found, expected, atol=slack, rtol=0)
    if dtype == "float64":  # no plans of cuDNN
        np.testing.assert_array_equal(found, expected)
        return
    assert done == [
        *("conv_fprop+bias+relu", "fold", "conv_fprop+bias+relu"),
        *("fold", "conv_fprop+bias+relu", "fold", "conv_fprop+bias+add+relu"),
        *("fold", "conv_fprop+bias", "fold", "conv_fprop+bias+relu", "fold", "conv_fprop+bias+add+relu"),
        *("gemm", "bias_relu", "gemm"),
    ]


@pytest.mark.parametrize("refused", ["relu", "add", "bias"])
def test_without_a_plan_the_ops_go_one_by_one_with_their_bits(gpu, apart, caplog, refused):
    gpu.cudnn.refused.add(refused)
    caplog.set_level(logging.INFO, "xpcnn")
    model = net(gpu)
    found, done = step(gpu, model)
    answer = model(images(gpu, model)).host
    if refused != "bias":  # which convolution itself has, and says so
        assert not caplog.records
    assert ("conv_fprop+bias+relu" in done) == (refused == "add")
    apart()
    model = net(gpu)
    expected, _ = step(gpu, model)
    equal(found, expected)
    np.testing.assert_allclose(answer, model(images(gpu, model)).host, rtol=1e-5, atol=1e-5)


def test_a_sum_that_has_no_plan_is_added_to_the_folded_convolution(gpu):
    gpu.cudnn.refused.add("add")
    model = Sequential(block(), L.ReLU(), block(), device=gpu.device)
    gpu.done = []
    model(gpu.upload(normal((2, 4, 6, 6), Key(0)).astype("float32")))
    end = ["fold", "conv_fprop+bias"]
    assert kernels(gpu.done) == [
        *("fold", "conv_fprop+bias+relu", *end, "xpcnn_add_relu", "fold", "conv_fprop+bias+relu", *end, "xpcnn_plus")
    ]


def test_a_sum_without_a_rectifier_is_a_part_of_the_convolution_too(gpu, apart):
    model = Sequential(block(), device=gpu.device)
    x = gpu.upload(normal((2, 4, 6, 6), Key(0)).astype("float32"))
    gpu.done = []
    found = model(x).host
    assert kernels(gpu.done)[-1] == "conv_fprop+bias+add"
    assert found.min() < 0
    apart()
    np.testing.assert_allclose(found, model(x).host, rtol=1e-5, atol=1e-5)


def test_a_norm_is_folded_where_there_are_fewer_weights_than_numbers_in_the_images(gpu):
    model = Sequential(L.Conv2d(6, 5, 3, bias=False), L.BatchNorm2d(5), L.ReLU(), device=gpu.device)
    for n, folded in ((5, False), (6, True)):  # a filter has 54 numbers, its image 9
        gpu.done = []
        model(gpu.upload(np.ones((n, 6, 5, 5), "float32")))
        few = kernels(gpu.done)
        assert few == (["fold", "conv_fprop+bias+relu"] if folded else ["conv_fprop", "normalize"])


def change_all(model):
    for a in (*model.params.values(), *model.buffers.values()):
        a *= 2


@pytest.mark.parametrize("change", ["in place", "replaced", "loaded"])
def test_what_is_changed_between_two_calls_is_followed(gpu, apart, change):
    model = net(gpu)
    x = images(gpu, model)
    before = model(x).host.copy()
    if change == "in place":
        change_all(model)
    elif change == "replaced":
        model.params.update({name: a * 2 for name, a in model.params.items()})
        model.buffers.update({name: a * 2 for name, a in model.buffers.items()})
    else:
        model.load_state_dict({name: a * 2 for name, a in model.state_dict().items()})
    found = model(x).host
    apart()
    expected = model(x).host
    assert np.abs(found - before).max() > 1.0
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_a_captured_forward_pass_follows_weights_that_are_changed_in_place(gpu):
    model = net(gpu)
    x = images(gpu, model).host
    answers = [model.predict_proba(x) for _ in range(4)]
    assert gpu.done.count("graph") == 2
    change_all(model)
    found = model.predict_proba(x)
    assert gpu.done.count("graph") == 3
    assert np.abs(found - answers[0]).max() > 0.01
    expected = Sequential(*model.children.values(), device=gpu.device)(images(gpu, model)).host
    expected = np.exp(expected - expected.max(axis=1, keepdims=True))
    np.testing.assert_allclose(found, expected / expected.sum(axis=1, keepdims=True), rtol=1e-5, atol=1e-6)


def test_replays_have_the_bits_of_steps_one_by_one(gpu, apart):
    ends = []
    for compile in ("auto", False):
        model = net(gpu)
        trainer = Trainer(model, optimizer="adam", compile=compile)
        for i in range(6):
            x = gpu.upload(normal((4, 2, 8, 8), Key(i, "x")).astype("float32"))
            trainer.step(x, gpu.upload(np.arange(4) % 3))
        ends.append({name: a.host for name, a in model.state_dict().items()})
        assert gpu.done.count("graph") == 4
        apart()  # for the second one
    equal(*ends)


@pytest.mark.parametrize("frozen", [("0",), ("0", "2", "3"), ("3",), ("0", "2", "3", "5", "7"), ("11",), ("*.bias",)])
def test_frozen_layers_and_no_gradient_at_the_input(gpu, apart, frozen):
    found, done = step(gpu, net(gpu).freeze(*frozen), input_grad=False)
    apart()
    expected, one_by_one = step(gpu, net(gpu).freeze(*frozen), input_grad=False)
    equal(found, expected)
    assert found["dx"] is None
    assert done.count("conv_dgrad") == one_by_one.count("conv_dgrad")
    assert done.count("conv_wgrad") == one_by_one.count("conv_wgrad")
    assert not any(name.startswith("0.") for name in found) or "0" not in frozen


def test_somebody_who_listens_hears_every_layer(gpu):
    model, heard = net(gpu), []

    def listen(name, x, *rest):
        heard.append(name)
        return type(model)._forward_child(model, name, x, *rest)

    vars(model)["_forward_child"] = listen
    y, cache = model.forward(images(gpu, model), train=True)
    model.backward(y, cache)
    assert heard == list(model.children)
    heard.clear()
    model(images(gpu, model))
    assert heard == list(model.children)


def test_a_block_of_which_somebody_hears_the_layers_adds_by_itself(gpu):
    model = Sequential(block(), device=gpu.device)
    x = gpu.upload(normal((2, 4, 6, 6), Key(0)).astype("float32"))
    expected = model(x).host
    for listened in (model["0"], model["0"].body):
        heard = {}

        def listen(name, *rest, listened=listened, heard=heard):
            y, cache = type(listened)._forward_child(listened, name, *rest)
            heard[name] = y.host
            return y, cache

        vars(listened)["_forward_child"] = listen
        found = model(x).host
        assert list(heard) == list(listened.children)
        np.testing.assert_array_equal(found, heard[name_of_last(listened)] + x.host)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
        del vars(listened)["_forward_child"]


def name_of_last(container):
    return list(container.children)[-1]


def test_without_kernels_nothing_is_computed_together(gpu, monkeypatch):
    monkeypatch.setenv("XPCNN_KERNELS", "generic")
    model = net(gpu)
    assert not fused.fuses(images(gpu, model))
    step(gpu, model)
    assert not gpu.launched and not gpu.cudnn.graphs


def test_numpys_arrays_have_runs_of_their_own():
    assert not fused.fuses(np.ones((1, 2, 8, 8), "float32"))


@pytest.mark.parametrize("train", [True, False])
def test_nan_and_infinity_go_where_they_go_one_by_one(gpu, apart, train):
    layers = L.Conv2d(2, 3, 1), L.ReLU(), L.Conv2d(3, 3, 1), L.BatchNorm2d(3), L.ReLU()
    model = Sequential(*layers, device=gpu.device, seed=2)
    x = normal((4, 2, 3, 3), Key(0, "x")).astype("float32")
    x[0, 0, 0, 0], x[1, 0, 1, 1], x[2, 1, 1, 1] = np.nan, np.inf, -np.inf
    first = Sequential(*layers[:2], device=gpu.device, seed=2)
    found = [m.forward(gpu.upload(x), train=train)[0].host for m in (first, model)]
    apart()
    for m, a in zip((first, model), found, strict=True):
        with np.errstate(all="ignore"):
            expected = m.forward(gpu.upload(x), train=train)[0].host
        assert np.isnan(a).any()
        np.testing.assert_array_equal(np.isnan(a), np.isnan(expected))


def test_an_error_is_that_of_the_layers_one_by_one(gpu, apart):
    wrong = Residual(Sequential(L.Conv2d(4, 4, 3), L.BatchNorm2d(4)))
    model = Sequential(L.Conv2d(4, 4, 1), L.BatchNorm2d(4), wrong, L.ReLU(), device=gpu.device)
    bad = [np.ones((2, 4, 6, 6), "float32"), np.ones((2, 4, 6, 6)), np.ones((2, 3, 6, 6), "float32")]
    bad = [*bad, np.ones((2, 4, 6), "float32"), np.ones((2, 4, 6, 6), "float16")]
    for train in (False, True):
        texts = []
        with pytest.MonkeyPatch.context() as patch:
            for together in (True, False):
                if not together:
                    patch.setattr(fused, "fuses", lambda x: False)
                for x in bad:
                    with pytest.raises((ShapeError, DtypeError)) as error:
                        model.forward(gpu.upload(x), train=train)
                    texts.append(str(error.value))
        assert texts[: len(bad)] == texts[len(bad) :]
        assert "(layer '2' of Sequential)" in texts[0] and "(layer '0' of Sequential)" in texts[1]


def test_weights_are_drawn_once(gpu, monkeypatch):
    drawn, draw = [], L.Conv2d.init_params
    monkeypatch.setattr(L.Conv2d, "init_params", lambda layer, key: drawn.append(key) or draw(layer, key))
    model = Sequential(L.Conv2d(2, 2, 1), L.ReLU(), device=gpu.device)
    for _ in range(3):
        model(gpu.upload(np.ones((1, 2, 3, 3), "float32")))
    assert len(drawn) == 1


def test_the_first_step_of_all_moves_the_models_own_statistics(gpu):
    model = Sequential(L.BatchNorm2d(2), L.ReLU(), device=gpu.device)
    model.forward(gpu.upload(np.full((2, 2, 3, 3), 5.0, "float32")), train=True)
    np.testing.assert_allclose(model.buffers["0.running_mean"].host, 0.5)


def test_a_layer_that_two_places_share_gets_both_gradients(gpu, apart):
    ends = []
    for _ in range(2):
        shared, relu = L.Conv2d(2, 2, 3, padding=1), L.ReLU()
        model = Sequential(shared, relu, shared, relu, device=gpu.device, seed=3)
        ends.append(step(gpu, model)[0])
        apart()
    assert "0.weight" in ends[0] and "2.weight" not in ends[0]
    equal(*ends)


def test_layers_that_only_look_alike_stay_apart(gpu):
    class Mine(L.Layer):
        def forward(self, x, *, train=False):
            return x, None

        def backward(self, dy, cache):
            return dy, {}

    chain = [L.Conv2d(2, 2, 1), Mine(), L.ReLU(), L.Conv2d(2, 2, 1), L.BatchNorm2d(2, track_running_stats=False)]
    chain += [L.LeakyReLU(), L.Conv2d(2, 2, 1), L.BatchNorm2d(3), L.ConvTranspose2d(2, 2, 1), L.ReLU()]
    named = {str(i): layer for i, layer in enumerate(chain)}
    for train in (False, True):
        assert [s.names for s in fused.segments(named, train)] == [(name,) for name in named]


def test_explained_is_what_is_computed(gpu):
    model = net(gpu)

    def rows(dtype="float32", **options):
        model.place(gpu.device, dtype, model._key)
        lines = model.explain((2, 8, 8), batch=4, **options).splitlines()[4:]
        return {line.split()[0]: line.split(maxsplit=2)[2] for line in lines}

    training = rows(train=True)
    assert training["0"] == "kernel conv2d and conv2d_backward of cuDNN, with ReLU"
    assert training["3"] == "kernel batch_norm and batch_norm_backward of backend/cuda/norm.cu, with ReLU"
    assert training["1"] == training["4"] == training["6"] == training["12"] == "in the kernel before it"
    assert training["5"] == "the sum: kernel add of its formula with ReLU"
    assert training["11"] == "kernel matmul of cuBLAS, with ReLU"
    assert training["5.body.4"] == "kernel batch_norm and batch_norm_backward of backend/cuda/norm.cu"
    inference = rows(train=False)
    assert inference["2"] == "kernel conv2d of cuDNN, with BatchNorm2d and ReLU"
    assert inference["3"] == inference["4"] == "in the kernel before it"
    assert inference["7.body.3"] == "kernel conv2d of cuDNN, with BatchNorm2d"
    assert inference["7"].startswith("the sum: in the convolution before it where cuDNN has a plan")
    double = rows(dtype="float64", train=False)
    assert double["0"] == double["2"] == "generic, since cuDNN is not asked for float64"
    assert double["1"] == "one kernel each way, made from its formula"
    assert double["3"] == "kernel batch_norm of backend/cuda/norm.cu, with ReLU"


def test_explained_is_what_is_not_worth_it(gpu):
    layers = L.Conv2d(6, 5, 3, bias=False), L.BatchNorm2d(5), L.ReLU(), L.Flatten(), L.Linear(45, 2, bias=False)
    model = Sequential(*layers, L.ReLU(), device=gpu.device)
    for batch, how in ((5, "kernel conv2d of cuDNN"), (6, "kernel conv2d of cuDNN, with BatchNorm2d and ReLU")):
        lines = model.explain((6, 5, 5), batch=batch, train=False).splitlines()[4:]
        assert lines[0].endswith(f"  {how}")
        assert lines[-2].endswith("  kernel matmul of cuBLAS")
        assert lines[-1].endswith("  one kernel each way, made from its formula")
    assert "kernel batch_norm of backend/cuda/norm.cu, with ReLU" in model.explain((6, 5, 5), batch=5, train=False)


def test_a_graph_model_goes_node_by_node(gpu):
    nodes = {"conv": (L.Conv2d(2, 2, 1), "input"), "act": (L.ReLU(), "conv")}
    graph = Graph(nodes, device=gpu.device)
    gpu.done = []
    graph(gpu.upload(np.ones((1, 2, 3, 3), "float32")))
    assert kernels(gpu.done) == ["conv_fprop+bias", "xpcnn_relu"]


@pytest.fixture
def real(monkeypatch):
    """CuPy's arrays, with the kernels on."""
    monkeypatch.delenv("XPCNN_KERNELS", raising=False)
    try:
        return make_space("cupy")
    except DeviceUnavailable as error:
        pytest.skip(str(error))


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("allow_tf32", [False, True])
def test_on_a_gpu_layers_together_give_what_they_give_one_by_one(real, monkeypatch, dtype, allow_tf32):
    near = 2.0**-9 if allow_tf32 and dtype == "float32" else EPS[dtype]
    found = []
    for together in (True, False):
        if not together:
            monkeypatch.setattr(fused, "fuses", lambda x: False)
        model = net(real, dtype, allow_tf32=allow_tf32)
        x = real.asarray(normal((16, 2, 8, 8), Key(0, "x")), model.params_dtype)
        answer = model(x)
        y, cache = model.forward(x, train=True)
        dx, grads = model.backward(y, cache)
        found.append({name: to_numpy(a) for name, a in {"answer": answer, "y": y, "dx": dx, **grads}.items()})
    assert list(found[0]) == list(found[1])
    for name, expected in found[1].items():
        # a rounding more or less may turn a rectifier off, but not many
        off = np.abs(found[0][name] - expected) > 256 * near * max(1.0, np.abs(expected).max())
        assert off.mean() < 0.01, name


@pytest.mark.gpu
def test_on_a_gpu_a_nan_stays_one(real):
    model = Sequential(L.Conv2d(1, 1, 1, init="ones"), L.ReLU(), device=real.device)
    x = real.asarray(np.asarray([np.nan, np.inf, -np.inf, -1.0, 2.0]).reshape(5, 1, 1, 1), "float32")
    np.testing.assert_array_equal(to_numpy(model(x)).ravel(), [np.nan, np.inf, 0.0, 0.0, 2.0])
