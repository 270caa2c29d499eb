"""Model files: what is written comes back, and what is damaged is refused as a whole."""

import json
import os
import random
import struct

import numpy as np
import pytest

from tests.models.nets import READY_MADE, nested, plain
from tests.namespaces import snapshot
from xpcnn import load
from xpcnn.backend import Key, normal
from xpcnn.errors import CheckpointError, ConfigError, XpcnnError
from xpcnn.layers import Conv2d, Layer, Linear, MaxPool2d, ReLU
from xpcnn.models import Sequential, register


@register
class Scaled(Layer):
    """A layer of somebody's own."""

    def __init__(self, factor=2.0, labels=("a", "b")):
        self.factor, self.labels = factor, labels

    def init_params(self, key):
        return {"weight": normal((3,), key)}

    def forward(self, x, *, train=False):
        return x * self.params["weight"] * self.factor, self.keep(x, x) if train else None

    def backward(self, dy, cache):
        (x,) = self.recall(dy, cache)
        return dy * self.params["weight"] * self.factor, {"weight": (dy * x * self.factor).sum(axis=0)}


class Stranger(Scaled):
    """Not registered."""


MODELS = {
    **{name: make for name, (make, _, _) in READY_MADE.items() if not name.startswith("resnet")},
    "nested": nested,
    "empty": lambda **options: Sequential(**options),
    "own layer": lambda **options: Sequential(Linear(4, 3), Scaled(0.5, ("x",)), **options),
    "sizes of NumPy": lambda **options: Sequential(
        Conv2d(np.int64(1), np.int32(2), 3), MaxPool2d((np.int64(2), np.int16(1))), **options
    ),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", MODELS)
def test_round_trip(name, dtype, tmp_path):
    model = MODELS[name](dtype=dtype, seed=2**63 + 11)
    for a in model.params.values():
        a += 0.25
    model.step = 7
    model.save(tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    assert repr(again) == repr(model)
    assert snapshot(again) == snapshot(model)
    assert (again.dtype, again.seed, again.step, again.input_shape) == (dtype, 2**63 + 11, 7, model.input_shape)
    assert again.aliases == model.aliases
    for a in again.params.values():
        a += 1.0  # nobody else's memory


@pytest.mark.parametrize("name", ["resnet9", "resnet18", "resnet50"])
def test_round_trip_of_large_ones(name, tmp_path):
    model = READY_MADE[name][0]()
    model.save(tmp_path / "m")
    again = load(tmp_path / "m")
    assert repr(again) == repr(model)
    assert all(np.array_equal(p, again.params[n]) for n, p in model.params.items())


def test_a_loaded_model_answers_the_same(tmp_path):
    model, x = nested(), normal((3, 2, 6, 6), Key(0)).astype("float32")
    model.forward(x, train=True)
    model.save(tmp_path / "m")
    assert np.array_equal(load(tmp_path / "m")(x), model(x))


def test_shared_layers_stay_shared(tmp_path):
    layer = Linear(3, 3)
    inner = Sequential(layer, ReLU())
    Sequential(layer, inner, inner, ("last", layer)).save(tmp_path / "m")
    again = load(tmp_path / "m")
    assert list(again.params) == ["0.weight", "0.bias"]
    assert again[0] is again["last"] is again[1][0] is again[2][0]


def test_saved_from_any_library_loads_to_the_cpu(space, tmp_path):
    model = plain(seed=3)
    expected = snapshot(model)
    model.to(like=space.asarray(np.zeros(1))).save(tmp_path / "m")
    again = load(tmp_path / "m")
    assert again.device == "cpu"
    assert snapshot(again) == expected


LAYOUTS = {
    "transposed": lambda a: np.ascontiguousarray(a.T).T,
    "fortran": np.asfortranarray,
    "reversed": lambda a: np.ascontiguousarray(a[::-1])[::-1],
    "strided": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "broadcast": lambda a: np.broadcast_to(a[:1], a.shape),
    "big-endian": lambda a: a.astype(">f4"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_parameters_of_any_memory_layout_are_saved_right(layout, tmp_path):
    """safetensors 0.8.0 writes others than C order wrongly, without an error."""
    model = plain()
    for _, leaf in model.leaves():  # the model's own dict would refuse the foreign byte order
        leaf.params.update({name: LAYOUTS[layout](a) for name, a in leaf.params.items()})
    expected = {name: np.array(a) for name, a in model.params.items()}
    model.save(tmp_path / "m")
    for name, a in load(tmp_path / "m").params.items():
        assert np.array_equal(a, expected[name])


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "model.safetensors"
    plain(seed=1).save(path)
    return path


def test_truncated_files_are_refused(saved):
    whole = saved.read_bytes()
    lengths = {*range(0, 200), *range(200, len(whole), 37), len(whole) - 1}
    for length in sorted(lengths):
        saved.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=r"model.safetensors"):
            load(saved)
    saved.write_bytes(whole + b"\0")
    with pytest.raises(CheckpointError):
        load(saved)
    saved.write_bytes(whole)
    assert load(saved)


def test_flipped_bits_are_refused(saved):
    """Anywhere: in weights, in the description, in names. Only white space may change and mean the same."""
    whole = saved.read_bytes()
    expected, text = snapshot(load(saved)), repr(load(saved))
    draw = random.Random(0)
    for _ in range(1200):
        place, bit = draw.randrange(len(whole)), draw.randrange(8)
        damaged = bytearray(whole)
        damaged[place] ^= 1 << bit
        saved.write_bytes(damaged)
        try:
            model = load(saved)
        except CheckpointError as error:
            assert str(saved) in str(error)
        else:
            assert (snapshot(model), repr(model), model.seed, model.step) == (expected, text, 1, 0), (place, bit)


def test_foreign_files_are_refused(tmp_path):
    path = tmp_path / "m"
    contents = {
        "empty": b"",
        "text": b"hello, world",
        "zip": b"PK\x03\x04" + bytes(100),
        "pickle": b"\x80\x04\x95" + bytes(100),
        "noise": random.Random(0).randbytes(10_000),
        "giant header": struct.pack("<Q", 2**63) + b"{}",
        "header of 200 MB": struct.pack("<Q", 200_000_000) + b"{}",
        "deep JSON": struct.pack("<Q", 40_000) + b"[" * 40_000,
    }
    for content in contents.values():
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="cannot be read as a model file") as caught:
            load(path)
        assert "damaged, or not written by model.save" in str(caught.value)
    for missing, text in ((tmp_path / "nothing", "No such file"), (tmp_path, "is a folder")):
        with pytest.raises(CheckpointError, match=text) as caught:
            load(missing)
        assert isinstance(caught.value, (XpcnnError, ValueError))


@pytest.mark.parametrize("path", [None, 3, b"m"])
def test_a_path_must_be_one(path):
    with pytest.raises(ConfigError, match="load: expected a path, got"):
        load(path)
    with pytest.raises(ConfigError, match="save: expected a path, got"):
        Sequential().save(path)


def test_weights_of_others_say_what_to_do(tmp_path):
    from safetensors.numpy import save_file

    save_file({"weight": np.ones(3)}, tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError, match="load_state_dict"):
        load(tmp_path / "w.safetensors")


def rewritten(path, change):
    """The same file with another description, and a checksum that fits."""
    from safetensors import safe_open
    from safetensors.numpy import save_file

    from xpcnn.models.tensor_files import _digest

    with safe_open(path, framework="numpy") as file:
        header = json.loads(file.metadata()["xpcnn"])
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    header = change(header) or header
    if isinstance(header, dict):
        header["sha256"] = _digest(arrays, header)
    save_file(arrays, path, metadata={"xpcnn": json.dumps(header)})


def deep(value):
    for _ in range(400):
        value = [value]
    return value


def first(header):
    """The settings of the first layer."""
    return header["architecture"]["layers"][0][1]


BAD_HEADERS = {
    "newer format": (lambda h: h.update(format=99), "format 1, got 99: update xpcnn"),
    "unknown class": (lambda h: first(h).update({"class": "os.system"}), "known layer, got 'os.system'"),
    "an error as class": (lambda h: first(h).update({"class": "Layer"}), "known layer, got 'Layer'"),
    "unknown setting": (lambda h: first(h).update(color="red"), "Conv2d does not take these settings"),
    "wrong setting": (lambda h: first(h).update(stride=0), "stride"),
    "other sizes": (lambda h: h["architecture"]["layers"][4][1].update(out_features=4), "4.weight: expected shape"),
    "no Sequential": (lambda h: h.update(architecture={"class": "ReLU"}), "expected a Sequential or a Graph, got ReLU"),
    "no architecture": (lambda h: h.update(architecture=None), "description of a layer"),
    "layers no list": (lambda h: h["architecture"].update(layers=7), "damaged|settings"),
    "layer missing": (lambda h: h["architecture"]["layers"].pop() and None, "unexpected 4.weight"),
    "reference ahead": (lambda h: h["architecture"].update(layers=[["0", {"same": 5}]]), "number of one of 0 layers"),
    "dtype": (lambda h: h.update(dtype="int16"), "dtype"),
    "seed": (lambda h: h.update(seed="x"), "damaged"),
    "negative seed": (lambda h: h.update(seed="-1"), "seed"),
    "deep lists": (lambda h: first(h).update(kernel_size=deep(3)), "Conv2d|damaged"),
    "not a dict": (lambda h: [1], "damaged"),
    "key missing": (lambda h: h.pop("dtype") and None, "damaged.*dtype"),
}


@pytest.mark.parametrize("name", BAD_HEADERS)
def test_descriptions_that_make_no_sense_are_refused(name, saved):
    change, text = BAD_HEADERS[name]
    rewritten(saved, change)
    with pytest.raises(CheckpointError, match=text):
        load(saved)


def test_many_containers_inside_of_one_another_are_refused(saved):
    def change(header):
        inner = header["architecture"]
        for _ in range(60):
            inner = {"class": "Residual", "body": inner, "shortcut": None}
        header["architecture"] = inner

    rewritten(saved, change)
    with pytest.raises(CheckpointError, match="at most 50 layers inside"):
        load(saved)


def test_an_unregistered_layer_cannot_be_saved(tmp_path):
    with pytest.raises(CheckpointError, match=r"got Stranger: decorate your class with @xpcnn.register"):
        Sequential(Stranger()).save(tmp_path / "m")
    with pytest.raises(CheckpointError, match=r"expected Scaled.factor to be numbers"):
        Sequential(Scaled(factor=object())).save(tmp_path / "m")
    assert os.listdir(tmp_path) == []


def test_register_takes_layers_of_free_names_only():
    with pytest.raises(ConfigError, match="expected a class derived from Layer"):
        register(dict)
    with pytest.raises(ConfigError, match="expected a name that is free, got 'Linear'"):
        register(type("Linear", (Scaled,), {}))
    assert register(Scaled) is Scaled


def test_a_symbolic_link_is_followed(tmp_path):
    (tmp_path / "real").mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "real" / "model")
    for model in (plain(seed=1), plain(seed=2)):
        model.save(link)
        assert link.is_symlink()
        assert snapshot(load(link)) == snapshot(load(tmp_path / "real" / "model")) == snapshot(model)


def test_what_cannot_be_written_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "m"
    plain(seed=1).save(path)
    old = path.read_bytes()

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match="No space left on device"):
        plain(seed=2).save(path)
    assert path.read_bytes() == old
    assert os.listdir(tmp_path) == ["m"]
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match="cannot be written"):
        plain().save(tmp_path / "no such folder" / "m")
    with pytest.raises(CheckpointError, match="cannot be written"):
        plain().save(tmp_path)


def test_the_file_can_be_read_by_others_with_the_users_mask(tmp_path):
    old = os.umask(0o027)
    try:
        plain().save(tmp_path / "m")
    finally:
        os.umask(old)
    assert (tmp_path / "m").stat().st_mode & 0o777 == 0o640


def test_the_same_model_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        plain(seed=5).save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
