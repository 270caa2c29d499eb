"""Captured steps, on a GPU that is not there: what a replay does, what it follows, and what cannot be captured."""

import copy
import gc
import logging
import weakref

import numpy as np
import pytest

from xpcnn import (
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    Linear,
    MaxPool2d,
    ReLU,
    Sequential,
    Softmax,
    Trainer,
)
from xpcnn.backend import Key, cuda, normal
from xpcnn.errors import ConfigError
from xpcnn.layers import L2, Layer, SoftmaxCrossEntropy
from xpcnn.optimizers import SGD, Accumulate, AdamW, LossScale, Muon, ParamGroups, Rule, StepLR


def net(gpu, **options):
    layers = Conv2d(1, 3, 3, padding=1), BatchNorm2d(3), ReLU(), MaxPool2d(2), Dropout(0.25), Flatten(), Linear(12, 3)
    return Sequential(*layers, device=gpu.device, seed=3, **options)


def batch(gpu, n=4, i=0):
    x = normal((n, 1, 4, 4), Key(i, "x")).astype("float32")
    return gpu.upload(x), gpu.upload(np.arange(n) % 3)


def state(trainer):
    weights = {name: a.get() for name, a in trainer.model.state_dict().items()}
    rules = trainer.optimizer.rules() or []
    slots = {(n, s): a.get() for r in rules for n, state in r.state.items() for s, a in state.items()}
    return {**weights, **slots, "step": trainer.model.step, "steps": trainer.optimizer.steps}


def equal(a, b):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=str(name))


OPTIMIZERS = {
    "adamw": lambda: AdamW(lr=StepLR(0.01, step_size=3, gamma=0.5), weight_decay=0.1, clip_norm=1.0),
    "momentum": lambda: SGD(lr=0.05, momentum=0.9, nesterov=True),
    "groups": lambda: ParamGroups({"*.bias": {"lr": 0.5, "weight_decay": 0.0}}, rest=AdamW(lr=0.01)),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_replays_give_the_bits_of_eager_steps(gpu, name):
    losses, ends = [], []
    for compile in (False, "auto"):
        trainer = Trainer(net(gpu), optimizer=OPTIMIZERS[name](), penalty=L2(1e-3), compile=compile)
        losses.append([trainer.step(*batch(gpu, i=i)).get() for i in range(9)])
        ends.append(state(trainer))
    assert gpu.done.count("graph") == 7
    np.testing.assert_array_equal(losses[0], losses[1])
    assert len(set(map(float, losses[0]))) == 9
    equal(*ends)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_replays_of_16_bits_give_the_bits_of_eager_steps_and_nearly_those_of_float32(gpu, dtype):
    losses, ends = [], []
    for used, compile in (("float32", False), (dtype, False), (dtype, "auto")):
        trainer = Trainer(net(gpu, dtype=used), optimizer="adam", compile=compile)
        losses.append([float(trainer.step(*batch(gpu, i=i)).get()) for i in range(7)])
        ends.append(state(trainer))
    assert gpu.done.count("graph") == 5
    assert losses[1] == losses[2]
    equal(ends[1], ends[2])
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.05)


def test_nothing_in_a_replay_waits_for_the_device_and_little_is_started(gpu):
    trainer = Trainer(net(gpu), optimizer=AdamW())
    x, y = batch(gpu)
    for _ in range(3):
        trainer.step(x, y)
    waits, gpu.done = gpu.waits, []
    trainer.step(x, y)
    assert gpu.waits == waits
    assert gpu.done.count("graph") == 1
    # the batch is put into its place, and the loss taken out
    outside = len(gpu.done) - 1 - len(next(iter(trainer._captured._kinds.values())).graph._graph.tasks)
    assert outside <= 3


def test_all_that_is_captured_has_run_before(gpu):
    x, y = (a.get() for a in batch(gpu, n=12))
    trainer = Trainer(net(gpu), optimizer=AdamW(weight_decay=0.1, clip_norm=1.0), penalty=L2(0.1))
    trainer.fit(x, y, epochs=2, batch_size=3, verbose=0)
    trainer.model.predict(x, batch_size=3)
    assert gpu.done.count("graph") == 8
    assert not gpu.unrehearsed


def test_the_users_own_work_in_between_changes_nothing_else(gpu):
    ends = []
    for interleaved in (False, True):
        trainer = Trainer(net(gpu), optimizer="adam")
        for i in range(8):
            trainer.step(*batch(gpu, i=i))
            if interleaved:
                trainer.model.evaluate(*batch(gpu, n=6), batch_size=2)
                noise = gpu.upload(np.ones((50, 50), "float32"))
                noise += noise
        ends.append(state(trainer))
    equal(*ends)


def change_lr(trainer):
    trainer.optimizer.lr = 0.3


def change_momentum(trainer):
    trainer.optimizer.momentum = 0.5


def change_dropout(trainer):
    trainer.model.children["4"].p = 0.75


def freeze(trainer):
    trainer.model.freeze("0")


def load(trainer):
    state = trainer.model.state_dict()
    trainer.model.load_state_dict({name: a * 2 for name, a in state.items()})


def assign(trainer):
    params = trainer.model.params
    params["6.weight"] = params["6.weight"] * 0.5


def forget(trainer):
    trainer.optimizer.state = {}


def halve_state(trainer):
    trainer.optimizer.state = {
        name: {slot: a * 0.5 for slot, a in state.items()} for name, state in trainer.optimizer.state.items()
    }


def jump(trainer):
    trainer.model.step = 100


def undo_statistics(trainer):
    buffers = trainer.model.buffers
    for name, a in buffers.items():
        buffers[name] = a * 0


@pytest.mark.parametrize(
    "change", [change_lr, change_momentum, change_dropout, freeze, load, assign, forget, halve_state, jump]
    + [undo_statistics]
)
def test_what_is_changed_between_two_steps_is_followed(gpu, change):
    ends = []
    for compile in (False, "auto"):
        trainer = Trainer(net(gpu), optimizer=SGD(lr=0.05, momentum=0.9), compile=compile)
        for i in range(12):
            if i == 5:
                change(trainer)
            trainer.step(*batch(gpu, i=i))
        ends.append(state(trainer))
    assert gpu.done.count("graph") >= 8
    equal(*ends)


def test_each_kind_of_batch_has_its_graph(gpu):
    ends = []
    for compile in (False, "auto"):
        trainer = Trainer(net(gpu), optimizer="adam", compile=compile)
        for i in range(10):
            x, y = batch(gpu, n=4 + i % 2, i=i)
            trainer.step(x, y, gpu.upload(np.ones(len(y), "float32")) if i % 3 == 0 else None)
        ends.append(state(trainer))
    equal(*ends)


def test_fit_is_the_same_either_way(gpu):
    x, y = (a.get() for a in batch(gpu, n=22))
    found = []
    for compile in (False, "auto"):
        trainer = Trainer(net(gpu), optimizer="adam", compile=compile)
        history = trainer.fit(x, y, epochs=4, batch_size=4, validation_split=0.3, verbose=0, metrics=["top_2"])
        found.append((history.history, state(trainer)))
    assert "graph" in gpu.done
    assert found[0][0] == found[1][0]
    equal(found[0][1], found[1][1])


def test_prediction_replays_a_graph_from_the_third_batch_of_a_kind_on(gpu):
    model = net(gpu)
    x = normal((11, 1, 4, 4), Key(1, "x")).astype("float32")
    expected = np.concatenate([model(gpu.upload(x[i : i + 2])).get() for i in range(0, 11, 2)])
    probabilities = model.predict_proba(x, batch_size=2)
    assert gpu.done.count("graph") == 3
    shifted = np.exp(expected - expected.max(axis=1, keepdims=True))
    np.testing.assert_allclose(probabilities, shifted / shifted.sum(axis=1, keepdims=True), rtol=1e-5)


def test_what_is_handed_out_is_not_overwritten(gpu):
    model = Sequential(Flatten(), Linear(16, 3), Softmax(), device=gpu.device)
    x = normal((10, 1, 4, 4), Key(1, "x")).astype("float32")
    expected = np.concatenate([model(gpu.upload(x[i : i + 2])).get() for i in range(0, 10, 2)])
    np.testing.assert_array_equal(model.predict_proba(x, batch_size=2), expected)
    assert gpu.done.count("graph") == 3


class Peeking(Layer):
    """A layer that looks at a number."""

    def forward(self, x, *, train=False):
        if float(x[0, 0]) > 1e9:
            raise AssertionError
        return x, self.keep(x) if train else None

    def backward(self, dy, cache):
        self.recall(dy, cache)
        return dy, {}


def test_what_cannot_be_captured_is_computed_as_it_is_and_said_once(gpu, caplog):
    ends = []
    for compile in (False, "auto"):
        model = Sequential(("head", Flatten()), ("peek", Peeking()), ("last", Linear(16, 3)), device=gpu.device)
        trainer = Trainer(model, optimizer="sgd", compile=compile)
        with caplog.at_level(logging.WARNING, "xpcnn"):
            for i in range(6):
                trainer.step(*batch(gpu, i=i))
        ends.append(state(trainer))
    (record,) = [r for r in caplog.records if "not captured" in r.getMessage()]
    assert "at layer 'peek'" in record.getMessage() and "float" in record.getMessage()
    equal(*ends)


@pytest.mark.parametrize("optimizer", [Accumulate(SGD(), 2), ParamGroups({"ndim>=2": Muon()}, rest=AdamW())])
def test_optimizers_whose_updates_differ_are_not_captured(gpu, caplog, optimizer):
    expected = Trainer(net(gpu), optimizer=copy.deepcopy(optimizer), compile=False)
    trainer = Trainer(net(gpu), optimizer=optimizer)
    for i in range(5):
        expected.step(*batch(gpu, i=i))
        trainer.step(*batch(gpu, i=i))
    assert "graph" not in gpu.done
    assert f"{type(optimizer).__name__} does not change each number" in caplog.text
    equal(state(trainer), state(expected))


def test_compile_true_raises_what_auto_says(gpu):
    trainer = Trainer(net(gpu), optimizer=Accumulate(SGD(), 2), compile=True)
    trainer.step(*batch(gpu))
    before = state(trainer)
    with pytest.raises(ConfigError, match="Accumulate does not change each number"):
        trainer.step(*batch(gpu))
    equal(state(trainer), before)


def test_compile_true_needs_a_gpu():
    trainer = Trainer(Sequential(Linear(2, 2)), compile=True)
    with pytest.raises(ConfigError, match=r"expected a GPU .* got 'cpu'"):
        trainer.step(np.zeros((1, 2), "float32"), np.zeros(1, "int64"))


def test_only_three_words_are_taken():
    with pytest.raises(ConfigError, match="expected compile to be 'auto', True or False, got 'always'"):
        Trainer(Sequential(Linear(2, 2)), compile="always")


def test_generic_kernels_are_not_captured(gpu, monkeypatch):
    monkeypatch.setenv("XPCNN_KERNELS", "generic")
    assert not gpu.device.captures()


def test_a_graph_that_broke_off_leaves_the_stream_usable(gpu):
    gpu.fail_at = "max_pool"
    trainer = Trainer(net(gpu), optimizer="adam")
    for i in range(4):
        trainer.step(*batch(gpu, i=i))
    assert gpu.tasks is None and gpu.stream.ptr == 0 and gpu.pool is gpu.default_pool
    with pytest.raises(NotImplementedError):
        cuda.Graph(lambda: gpu.do("max_pool", lambda: None), cuda.Room())


def test_old_kinds_are_forgotten(gpu):
    trainer = Trainer(Sequential(Flatten(), Linear(16, 3), device=gpu.device), optimizer="sgd")
    for n in range(1, 20):
        trainer.step(*batch(gpu, n=n))
    assert len(trainer._captured._kinds) == 8


def test_graphs_go_with_their_model_and_their_trainer(gpu):
    trainer = Trainer(net(gpu), optimizer="adam")
    for i in range(4):
        trainer.step(*batch(gpu, i=i))
        trainer.model.predict(batch(gpu)[0])
    graphs = [weakref.ref(kind.graph) for kind in trainer._captured._kinds.values()]
    model = weakref.ref(trainer.model)
    gc.disable()
    try:
        del trainer
        assert graphs and all(graph() is None for graph in graphs)
    finally:
        gc.enable()
    gc.collect()  # layers know their children, and caches their layers
    assert model() is None


def test_copies_of_a_trainer_have_graphs_of_their_own(gpu):
    trainer = Trainer(net(gpu), optimizer="adam")
    for i in range(4):
        trainer.step(*batch(gpu, i=i))
    copied = copy.deepcopy(trainer)
    before = state(copied)
    trainer.step(*batch(gpu, i=5))
    equal(state(copied), before)
    copied.step(*batch(gpu, i=5))
    equal(state(copied), state(trainer))


@pytest.mark.gpu
def test_a_gpu_replays_a_thousand_steps_to_the_bit(space):
    if space.name != "cupy":
        pytest.skip("graphs are CuPy's")
    device = space.device
    x = device.asarray(normal((64, 1, 16, 16), Key(0, "x")), "float32")
    y = device.asarray(np.arange(64) % 10)
    ends, losses = [], []
    for compile in (False, True):
        layers = Conv2d(1, 16, 3), BatchNorm2d(16), ReLU(), MaxPool2d(2), Dropout(0.25), Flatten(), Linear(784, 10)
        model = Sequential(*layers, device=device, seed=1, deterministic=True)
        trainer = Trainer(model, optimizer=AdamW(lr=StepLR(1e-3, 100), clip_norm=1.0), compile=compile)
        found = []
        for i in range(1000):
            found.append(trainer.step(x, y))
            if i % 97 == 0:
                noise = device.xp.ones((1000, 1000), dtype=x.dtype)
                noise += noise
                model.predict(x, batch_size=16)
        losses.append([float(a) for a in found])
        ends.append(state(trainer))
    assert losses[0] == losses[1]
    equal(*ends)


@pytest.mark.gpu
def test_twenty_deterministic_runs_end_in_the_same_bits(space):
    if space.name != "cupy":
        pytest.skip("the others have their own tests")
    x, y = normal((256, 3, 16, 16), Key(0, "x")).astype("float32"), np.arange(256) % 10
    ends = []
    for _ in range(20):
        layers = Conv2d(3, 32, 3, padding=1), BatchNorm2d(32), ReLU(), Conv2d(32, 32, 3), ReLU(), Flatten()
        model = Sequential(*layers, Linear(32 * 14 * 14, 10), device=space.device, deterministic=True)
        trainer = Trainer(model, optimizer="momentum")
        trainer.fit(x, y, epochs=2, batch_size=64, verbose=0)
        ends.append(state(trainer))
    for end in ends[1:]:
        equal(ends[0], end)


# What a capture must not leave behind, and what it must see.


@pytest.mark.parametrize("ignored", [-100, 1])
def test_loss_and_metrics_of_a_step_are_six_launches_and_those_of_eager_steps(gpu, monkeypatch, ignored):
    x, y = (a.get() for a in batch(gpu, n=24))
    histories = []
    for compile in (False, "auto"):
        loss = SoftmaxCrossEntropy(ignore_index=ignored)
        trainer = Trainer(net(gpu), loss, optimizer="adam", compile=compile)
        gpu.done.clear()
        histories.append(trainer.fit(x, y, epochs=2, batch_size=4, verbose=0, metrics=["top_2"]).history)
    assert histories[0] == histories[1]
    step = gpu.done[-gpu.done[::-1].index("graph", 1) :]  # the last one
    names = ["count_labels", "softmax_cross_entropy", "add_values", "reduced_value", "tally_samples", "tally_sums"]
    assert [name for name in step if name in names] == names
    assert not {"sum", "where", "argmax", "eq"} & set(step)
    monkeypatch.setenv("XPCNN_KERNELS", "generic")
    trainer = Trainer(net(gpu, dtype="float32"), SoftmaxCrossEntropy(ignore_index=ignored), optimizer="adam")
    generic = trainer.fit(x, y, epochs=2, batch_size=4, verbose=0, metrics=["top_2"]).history
    for name, values in generic.items():
        np.testing.assert_allclose(values, histories[0][name], rtol=1e-4, err_msg=name)


def scale_now(trainer):
    trainer.loss_scale.scale = trainer.model.home.asarray(np.asarray(4.0, "float32"))


def scale_interval(trainer):
    trainer.loss_scale.growth_interval = 2


def scale_other(trainer):
    trainer.loss_scale = LossScale(init_scale=8.0)


def scale_rehearsed(trainer):
    x, y = (a.get() for a in batch(trainer.model.home.native.gpu, n=4))
    trainer.fit(x, y, dry_run=True, verbose=0)


@pytest.mark.parametrize("change", [scale_now, scale_interval, scale_other, scale_rehearsed])
def test_the_loss_scale_is_followed(gpu, change):
    ends = []
    for compile in (False, "auto"):
        trainer = Trainer(net(gpu), optimizer="sgd", compile=compile, loss_scale=LossScale(init_scale=64.0))
        for i in range(10):
            if i == 5:
                change(trainer)
            trainer.step(*batch(gpu, i=i))
        scale = {name: a.get() for name, a in vars(trainer.loss_scale).items() if hasattr(a, "get")}
        assert scale
        ends.append({**state(trainer), **scale})
    equal(*ends)


class Stored(Rule):
    """A rule that gives itself a new array at each step, by a function that kernels do not know."""

    elementwise = True

    def __init__(self, lr=0.1):
        super().__init__(lr, 0.0, None, None, True)

    def init_state(self, p):
        return {"m": p * 0.0}

    def apply(self, p, g, state, lr):
        xp = p.__array_namespace__()
        state["m"] = state["m"] * 0.9 + xp.sin(g)
        p -= state["m"] * lr


def test_a_rule_that_is_no_kernel_is_not_captured(gpu, caplog):
    ends = []
    for compile in (False, "auto"):
        trainer = Trainer(net(gpu), optimizer=Stored(), compile=compile)
        for i in range(6):
            trainer.step(*batch(gpu, i=i))
        ends.append(state(trainer))
    assert "Stored is no formula of single numbers" in caplog.text
    equal(*ends)


class Private(Peeking):
    """A layer with a setting that is not public."""

    def __init__(self):
        super().__init__()
        self._factor = 1.0

    def forward(self, x, *, train=False):
        return x * self._factor, self.keep(x) if train else None


def test_private_settings_are_followed(gpu):
    ends = []
    for compile in (False, "auto"):
        trainer = Trainer(Sequential(Flatten(), Private(), Linear(16, 3), device=gpu.device), compile=compile)
        for i in range(8):
            trainer.model.children["1"]._factor = 1.0 + (i > 4)
            trainer.step(*batch(gpu, i=i))
        ends.append(state(trainer))
    equal(*ends)


@pytest.mark.parametrize("metrics", [["f1"], ["top_2", "precision"]])
@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("shares", [False, True])
def test_metrics_are_counted_once_also_where_a_capture_fails(gpu, metrics, fails, shares):
    x, y = (a.get() for a in batch(gpu, n=12))
    y = np.eye(3, dtype="float32")[y] if shares else y  # of shares the shapes alone tell how many there are
    found = []
    for compile in (False, "auto"):
        gpu.fail_at = "max_pool" if fails else None
        trainer = Trainer(net(gpu), optimizer="sgd", compile=compile)
        found.append(trainer.fit(x, y, epochs=2, batch_size=2, verbose=0, metrics=metrics).history)
    assert ("graph" in gpu.done) != fails
    assert found[0] == found[1]


def test_an_error_of_the_users_is_raised_and_does_not_end_capturing(gpu):
    calls = []

    def penalty(params):
        calls.append(1)
        if len(calls) == 2:
            raise ZeroDivisionError
        return L2(0.1)(params)

    trainer = Trainer(net(gpu), optimizer="sgd", penalty=penalty)
    trainer.step(*batch(gpu))
    with pytest.raises(ZeroDivisionError):
        trainer.step(*batch(gpu))
    for i in range(3):
        trainer.step(*batch(gpu, i=i))
    assert "graph" in gpu.done


def test_where_memory_runs_out_in_a_capture_all_goes_on_without(gpu, caplog, monkeypatch):
    class OutOfMemoryError(MemoryError):
        pass

    OutOfMemoryError.__module__ = "cupy.cuda.memory"

    def memory(size):
        message = f"Out of memory allocating {size:,} bytes"
        raise OutOfMemoryError(message)

    gpu.cuda.Memory = memory
    ends = []
    for compile in (False, "auto"):
        trainer = Trainer(net(gpu), optimizer="adam", compile=compile)
        for i in range(5):
            trainer.step(*batch(gpu, i=i))
        ends.append(state(trainer))
    assert "not captured" in caplog.text and "graph" not in gpu.done
    assert not trainer._captured._kinds
    equal(*ends)


def test_a_room_holds_what_its_pool_would_give_back_until_it_is_released(gpu):
    room = cuda.Room()
    room.pool.malloc(10)
    memory = weakref.ref(room._held[0])
    room.pool.free_all_blocks()  # as CuPy does when a request fails
    assert memory() is not None
    room.release()
    assert memory() is None


def test_the_data_of_a_fit_are_let_go_at_its_end(gpu):
    x, y = (a.get() for a in batch(gpu, n=12))
    trainer = Trainer(net(gpu), optimizer="sgd")
    trainer.step(*batch(gpu))
    trainer.fit(x, y, epochs=2, batch_size=3, verbose=0)
    assert "graph" in gpu.done
    assert [name[0] for name in trainer._captured._kinds] == [0]
    alone = Trainer(net(gpu), optimizer="sgd")
    alone.fit(x, y, epochs=2, batch_size=3, verbose=0)
    assert gpu.done.count("graph") > 2 and not alone._captured._room._held
    alone.fit(x, y, epochs=2, batch_size=3, verbose=0)  # and it can be captured in again
    assert not alone._captured._refused


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("optimizer", [
        lambda: Accumulate(SGD(lr=0.05, momentum=0.9), every=2),
        lambda: ParamGroups({"ndim>=2": Muon(lr=0.02)}, rest=SGD(lr=0.05)),
    ])
def test_batches_are_dropped_by_optimizers_that_no_graph_holds(gpu, optimizer):
    x, y = (a.get() for a in batch(gpu, n=16))
    x[4:8] = np.nan  # the second batch of four
    model = net(gpu)
    trainer = Trainer(model, optimizer=optimizer(), on_nonfinite="skip")
    history = trainer.fit(x, y, epochs=2, batch_size=4, shuffle=False, verbose=0, metrics=["f1"]).history
    assert all(np.isfinite(a.get()).all() for a in model.state_dict().values())
    assert all(np.isfinite(values).all() for values in history.values())


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("optimizer", [lambda: SGD(lr=0.05, momentum=0.9), lambda: AdamW(lr=0.01, clip_norm=1.0)])
def test_dropped_batches_leave_what_training_without_them_gives(gpu, optimizer):
    x, y = (a.get() for a in batch(gpu, n=16))
    bad = x.copy()
    bad[4:8] = np.nan
    keep = [*range(4), *range(8, 16)]
    ends, histories = [], []
    for images, labels in ((bad, y), (x[keep], y[keep])):
        layers = Conv2d(1, 3, 3, padding=1), BatchNorm2d(3), ReLU(), Flatten(), Linear(48, 3)
        model = Sequential(*layers, device=gpu.device)
        trainer = Trainer(model, optimizer=optimizer(), on_nonfinite="skip")
        options = {"epochs": 4, "batch_size": 4, "shuffle": False, "verbose": 0, "metrics": ["top_2"]}
        histories.append(trainer.fit(images, labels, **options).history)
        ends.append({name: a.get() for name, a in model.state_dict().items()})
        ends[-1].update({name: a.get() for name, a in trainer.optimizer.slots().items()})
    assert gpu.done.count("graph")
    equal(*ends)
    for name, values in histories[1].items():
        np.testing.assert_allclose(histories[0][name], values, rtol=1e-6)
