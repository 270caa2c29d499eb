"""Training in 16 bits: against PyTorch's autocast, against float32, and where float16 overflows."""

import copy
from contextlib import contextmanager, nullcontext

import numpy as np
import pytest

from tests.optimizers.helpers import forbid_reading
from tests.training.helpers import digits, same, small_net, weights
from xpcnn import Trainer, datasets, lr_find, optimizers
from xpcnn import layers as L
from xpcnn.backend import Key, cast, narrow_dtype, normal
from xpcnn.errors import ConfigError, DtypeError
from xpcnn.models import Sequential
from xpcnn.optimizers import SGD, Adam, LossScale

pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed: pip install ml_dtypes")

both = pytest.mark.parametrize("dtype", ["bfloat16", "float16"])


def net(dtype, seed=0):
    return Sequential(
        L.Conv2d(1, 8, 3, padding=1), L.BatchNorm2d(8), L.ReLU(), L.MaxPool2d(2),
        L.Conv2d(8, 8, 3, padding=1), L.GELU(), L.AvgPool2d(2), L.Flatten(), L.Linear(72, 10), dtype=dtype, seed=seed,
    )  # fmt: skip


def batch(i, n=16):
    return normal((n, 1, 12, 12), Key(i, "x")).astype("float32"), (np.arange(n) * 7 + i) % 10


@pytest.mark.oracle
@pytest.mark.parametrize(("dtype", "init"), [("bfloat16", None), ("float16", 2.0**10), ("float16", 2.0**16)])
def test_losses_step_by_step_are_those_of_torchs_autocast(dtype, init):
    """The default scale is too large for the first step, and both leave it out."""
    torch = pytest.importorskip("torch")
    nn = torch.nn
    ours = net(dtype)
    theirs = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, padding=1), nn.GELU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(72, 10),
    )  # fmt: skip
    plain = copy.deepcopy(theirs)
    for one in (theirs, plain):
        one.load_state_dict({name: torch.from_numpy(a.copy()) for name, a in ours.state_dict().items()})
    scale = None if init is None else LossScale(init_scale=init)
    trainer = Trainer(ours, optimizer=SGD(lr=0.05, momentum=0.9), loss_scale=scale)
    losses = {"ours": [], "theirs": [], "float32": []}
    rule = torch.optim.SGD(theirs.parameters(), lr=0.05, momentum=0.9)
    exact = torch.optim.SGD(plain.parameters(), lr=0.05, momentum=0.9)
    scaler = torch.amp.GradScaler("cpu", enabled=init is not None, init_scale=init or 1.0)
    for i in range(10):
        x, y = batch(i % 2)
        losses["ours"].append(float(trainer.step(x, y)))
        x, y = torch.from_numpy(x), torch.from_numpy(y)
        rule.zero_grad(), exact.zero_grad()
        with torch.autocast("cpu", dtype=getattr(torch, dtype)):
            value = nn.functional.cross_entropy(theirs(x), y)
        scaler.scale(value).backward()
        scaler.step(rule)
        scaler.update()
        losses["theirs"].append(value.item())
        value = nn.functional.cross_entropy(plain(x), y)
        value.backward()
        exact.step()
        losses["float32"].append(value.item())
    found = {name: np.asarray(values) for name, values in losses.items()}
    near = 0.02 if dtype == "bfloat16" else 0.003
    np.testing.assert_allclose(found["ours"], found["theirs"], atol=near)
    if scale is None or scaler.get_scale() == init:
        np.testing.assert_allclose(found["ours"], found["float32"], atol=near)
    if scale is not None:
        assert float(scale.scale) == scaler.get_scale() == min(init, 2.0**15)
    assert found["ours"][-1] < 0.8 * found["ours"][0]
    for name, a in ours.state_dict().items():
        np.testing.assert_allclose(a, theirs.state_dict()[name].numpy(), atol=near, err_msg=name)


@both
def test_real_digits_are_learned_as_well_as_in_float32(dtype):
    data, reached = datasets.load("mnist-mini"), {}
    for one in ("float32", dtype):
        model = Sequential(
            L.Conv2d(1, 8, 5, stride=2), L.BatchNorm2d(8), L.ReLU(), L.MaxPool2d(2), L.Flatten(), L.Linear(288, 10),
            dtype=one,
        )  # fmt: skip
        model.fit(data.x_train, data.y_train, epochs=2, batch_size=100, optimizer=Adam(lr=0.01), verbose=0)
        reached[one] = model.evaluate(data.x_test, data.y_test)["accuracy"]
    assert reached["float32"] > 0.93
    assert abs(reached[dtype] - reached["float32"]) <= 0.01


@both
def test_a_step_is_the_lines_of_a_step_by_hand(dtype):
    x, y = digits()
    trained, by_hand = small_net(dtype=dtype), small_net(dtype=dtype)
    trainer, loss, optimizer = Trainer(trained, "softmax_cross_entropy", Adam(lr=0.01)), L.SoftmaxCrossEntropy(), Adam()
    optimizer.lr, scale = 0.01, LossScale() if dtype == "float16" else None
    for _ in range(4):
        logits, cache = by_hand.forward(x, train=True)
        value, dlogits = loss(logits, y)
        assert logits.dtype == dlogits.dtype == value.dtype == np.float32
        if scale is None:
            _, grads = by_hand.backward(dlogits, cache)
            optimizer.update(by_hand.trainable, grads)
        else:
            _, grads = by_hand.backward(scale.scaled(dlogits), cache)
            scale.update(optimizer, by_hand.trainable, scale.unscaled(grads))
        assert float(trainer.step(x, y)) == float(value)
    assert same(weights(trained), weights(by_hand))
    assert trained.step == by_hand.step == 4


def test_only_float16_has_a_scale_unless_one_is_given():
    assert [Trainer(small_net(dtype=d)).loss_scale for d in ("float32", "float64", "bfloat16")] == [None] * 3
    assert Trainer(small_net(dtype="float16")).loss_scale.config() == LossScale().config()
    mine = LossScale(init_scale=4.0)
    assert Trainer(small_net(), loss_scale=mine).loss_scale is mine
    with pytest.raises(ConfigError, match=r"expected loss_scale to be a LossScale or None, got 4\.0"):
        Trainer(small_net(), loss_scale=4.0)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_scale_of_a_power_of_two_changes_nothing_where_nothing_overflows(dtype):
    x, y = digits()
    plain, scaled = (small_net(dtype=dtype) for _ in range(2))
    one, other = Trainer(plain), Trainer(scaled, loss_scale=LossScale(init_scale=8.0))
    for _ in range(3):
        assert float(one.step(x, y)) == float(other.step(x, y))
    for name, a in weights(plain).items():
        np.testing.assert_allclose(weights(scaled)[name], a, rtol=1e-5, atol=1e-7)


def test_gradients_that_float16_would_lose_are_kept_by_the_scale():
    x, y = np.full((1, 2), 1e-3, dtype="float32"), np.zeros((1, 2), dtype="float32")
    found = []
    for init in (1.0, 2.0**16):
        model = Sequential(L.Linear(2, 2, init="ones"), dtype="float16")
        model.params["0.weight"][...] = 1e-2
        trainer = Trainer(model, L.MSE(), SGD(lr=1.0), loss_scale=LossScale(init_scale=init))
        trainer.step(x, y)
        found.append(1e-2 - model.params["0.weight"])
    lost, kept = found
    np.testing.assert_allclose(kept, 1e-3 * 2e-5, rtol=0.05)
    assert np.abs(lost - 1e-3 * 2e-5).max() > 0.5e-3 * 2e-5


def test_an_overflow_leaves_weights_and_state_as_they_are_and_halves_the_scale():
    x, y = digits()
    model, optimizer = small_net(dtype="float16"), Adam(lr=0.01)
    trainer = Trainer(model, "softmax_cross_entropy", optimizer, loss_scale=LossScale(init_scale=2.0**40))
    params = {name: p.copy() for name, p in model.params.items()}
    trainer.step(x, y)
    assert same(params, dict(model.params))
    assert not any(a.any() for slots in optimizer.state.values() for a in slots.values())
    assert float(trainer.loss_scale.scale) == 2.0**39
    while float(trainer.loss_scale.scale) > 2.0**16:
        trainer.step(x, y)
    before = float(trainer.step(x, y))
    for _ in range(10):
        last = float(trainer.step(x, y))
    assert last < before
    assert not same(params, dict(model.params))


@both
def test_penalties_are_not_scaled(dtype):
    x, y = digits()
    found = []
    for one in ("float32", dtype):
        model = small_net(dtype=one)
        trainer = Trainer(model, optimizer=SGD(lr=0.1), penalty=L.L2(0.1), loss_scale=LossScale(init_scale=256.0))
        trainer.step(x, y)
        found.append(weights(model))
    for name, a in found[0].items():
        np.testing.assert_allclose(found[1][name], a, atol=0.01, err_msg=name)


@both
def test_whole_arrays_come_in_as_they_are_and_answers_are_float32(dtype):
    x, y = digits()
    model = small_net(dtype=dtype)
    history = model.fit(x.astype("float64"), y, epochs=3, batch_size=8, verbose=0, sample_weight=np.ones(24))
    assert all(np.isfinite(history.history["loss"]))
    assert model.predict_proba(x).dtype == np.float32
    np.testing.assert_allclose(model.predict_proba(x).sum(axis=1), 1.0, rtol=1e-6)
    assert model.predict(x).shape == (24,)
    assert np.isfinite(model.evaluate(x, y)["loss"])


@both
def test_a_step_takes_float32_or_the_16_bits(dtype):
    x, y = digits()
    values = []
    for kind in (np.dtype("float32"), np.dtype(narrow_dtype(np, dtype))):
        values.append(float(Trainer(small_net(dtype=dtype)).step(cast(x, kind), y)))
    assert values[0] == values[1]
    with pytest.raises(DtypeError, match="float32, got float64"):
        Trainer(small_net(dtype=dtype)).step(x.astype("float64"), y)


def test_rehearsals_put_the_scale_back():
    x, y = digits()
    trainer = Trainer(small_net(dtype="float16"), loss_scale=LossScale(init_scale=2.0**40))
    trainer.step(x, y)
    trainer.fit(x, y, batch_size=8, verbose=0, dry_run=True)
    lr_find(trainer, x, y, steps=3, batch_size=8)
    assert float(trainer.loss_scale.scale) == 2.0**39


@both
def test_a_step_is_explained_in_float32(dtype):
    x, y = digits(n=2)
    plain, mixed = small_net(dropout=0.0), small_net(dropout=0.0, dtype=dtype)
    assert str(mixed.explain_step(x, y, optimizer=optimizers.SGD(lr=0.1))) == str(
        plain.explain_step(x, y, optimizer=optimizers.SGD(lr=0.1))
    )
    assert mixed.dtype == dtype


@pytest.mark.oracle
@both
def test_no_value_of_a_step_is_read_back(dtype, monkeypatch):
    """Labels apart, which a loss reads where that costs nothing."""
    torch = pytest.importorskip("torch")
    model, x, y = small_net(dtype=dtype).to(like=torch.zeros(1)), *map(torch.from_numpy, digits())
    loss, optimizer, scale = L.SoftmaxCrossEntropy(), Adam(clip_norm=1.0), LossScale()

    def step(check):
        with check():
            logits, cache = model.forward(x, train=True)
        _, dlogits = loss(logits, y)
        with check():
            _, grads = model.backward(scale.scaled(dlogits), cache, input_grad=False)
            scale.update(optimizer, model.trainable, scale.unscaled(grads))

    @contextmanager
    def unread():
        with monkeypatch.context() as patch:
            forbid_reading(patch, x)
            yield

    step(nullcontext)
    step(unread)
