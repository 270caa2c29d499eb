"""state_dict and load_state_dict: names, copies, all or nothing."""

import numpy as np
import pytest

from tests.models.nets import nested, plain
from tests.namespaces import bits, snapshot
from xpcnn.backend import to_numpy
from xpcnn.errors import StateDictError
from xpcnn.layers import BatchNorm2d, Linear
from xpcnn.models import Sequential


def test_names_are_torchs():
    names = list(nested().state_dict())
    assert names[:7] == [
        "stem.weight", "stem.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var", "1.num_batches_tracked",
    ]  # fmt: skip
    assert "2.body.0.weight" in names and "2.shortcut.weight" in names
    assert not any("again" in name for name in names), "a shared layer is held once"


def test_round_trip_between_models_and_libraries(space, cpu):
    source = space.settle(nested(dtype="float64"))
    source.to(like=space.asarray(np.zeros(1)))
    target = nested(dtype="float64", seed=5)
    assert target.load_state_dict(source.state_dict()) == ([], [])
    assert snapshot(target) == snapshot(source)
    source.load_state_dict(nested(seed=9).state_dict())
    for a in [*source.params.values(), *source.buffers.values()]:
        assert space.device.owns(a)
        assert str(to_numpy(a).dtype) in ("float64", "int64")


def test_state_dict_holds_copies(space):
    model = plain().to(like=space.asarray(np.zeros(1)))
    before = snapshot(model)
    for a in model.state_dict().values():
        a[...] = 7
    state = {name: to_numpy(a).copy() for name, a in model.state_dict().items()}
    model.load_state_dict(state)
    for a in state.values():
        a[...] = 7
    assert snapshot(model) == before


def test_all_differences_at_once_and_nothing_changed():
    model = plain()
    state = model.state_dict()
    del state["0.bias"], state["1.running_var"]
    state |= {
        "9.weight": np.ones(3),
        "0.weight": np.ones((2, 1, 3, 4)),
        "4.bias": [1.0, 2.0, 3.0],
        "1.weight": np.ones(2, dtype="complex64"),
        "1.num_batches_tracked": np.asarray(1.5),
    }
    state["4.weight"] = np.full_like(state["4.weight"], 7.0)  # fits, and must not arrive
    before = snapshot(model)
    with pytest.raises(StateDictError) as caught:
        model.load_state_dict(state)
    text = str(caught.value)
    for part in (
        "nothing was loaded",
        "missing 0.bias",
        "missing 1.running_var",
        "unexpected 9.weight",
        "0.weight: expected shape (2, 1, 3, 3), got (2, 1, 3, 4)",
        "4.bias: expected an array, got list",
        "1.weight: expected a real floating dtype, got complex64",
        "1.num_batches_tracked: expected a integral dtype, got float64",
    ):
        assert part.replace("a integral", "") in text.replace("an integral", "").replace("a integral", "")
    assert isinstance(caught.value, ValueError)
    assert snapshot(model) == before


def test_not_strict_takes_what_fits_and_tells_the_rest():
    model = plain()
    weight = np.full((3, 8), 2.0)
    found = model.load_state_dict({"4.weight": weight, "5.weight": weight}, strict=False)
    assert found.unexpected_keys == ["5.weight"]
    assert "0.weight" in found.missing_keys and "4.weight" not in found.missing_keys
    assert np.array_equal(model.params["4.weight"], weight)
    with pytest.raises(StateDictError, match=r"4.weight: expected shape"):
        model.load_state_dict({"4.weight": np.ones((8, 3))}, strict=False)


def test_float64_values_are_cast_and_any_layout_is_taken():
    model = Sequential(Linear(3, 4), BatchNorm2d(4))
    value = np.arange(12.0).reshape(3, 4).T
    for given in (value, np.asfortranarray(value), value.astype(">f8"), value[::-1][::-1], value.astype("float16")):
        model.load_state_dict(model.state_dict() | {"0.weight": given})
        assert model.params["0.weight"].dtype == np.float32
        assert np.array_equal(model.params["0.weight"], value)


def test_what_was_loaded_can_be_trained():
    """Not a read-only view of someone else's memory."""
    value = np.ones((4, 3), dtype="float32")
    value.flags.writeable = False
    model = Sequential(Linear(3, 4, bias=False))
    model.load_state_dict({"0.weight": value})
    model.params["0.weight"][...] = 0.0
    assert value.sum() == 12.0
    assert bits(model.params) == bits({"0.weight": np.zeros((4, 3), "float32")})
