"""Fingerprints of data and settings: the same in every process, another for other data."""

import hashlib
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from xpcnn.data.augment import Compose, RandomCrop, RandomHorizontalFlip, Transform
from xpcnn.training import fingerprint as module
from xpcnn.training.fingerprint import fingerprint, said
from xpcnn.training.samples import Samples


def of(x, y=None, weight=None):
    return fingerprint(Samples(x, np.zeros(len(x), "int64") if y is None else y, weight))


def test_it_is_dtype_shape_and_digest():
    x = np.arange(6, dtype="float32").reshape(3, 2)
    assert of(x)["x"] == f"float32 [3, 2] {hashlib.sha256(x.tobytes()).hexdigest()[:16]}"
    assert set(of(x)) == {"x", "y"}
    assert set(of(x, weight=np.ones(3))) == {"x", "y", "weight"}


def test_it_goes_by_the_numbers_and_not_by_how_they_lie():
    x = np.arange(24, dtype="float32").reshape(4, 2, 3)
    assert of(x) == of(np.asfortranarray(x)) == of(x[::-1][::-1])
    assert of(x) != of(x.astype("float64"))
    assert of(x) != of(x.reshape(4, 3, 2))
    other = x.copy()
    other[3, 1, 2] = np.nextafter(other[3, 1, 2], np.float32(0))
    assert of(x) != of(other)
    assert of(x) != of(x[::-1])


@pytest.mark.parametrize("position", [0, -1, 700])
def test_of_large_arrays_a_part_is_read_with_both_ends(position, monkeypatch):
    monkeypatch.setattr(module, "MOST", 64)
    monkeypatch.setattr(module, "BLOCKS", 8)
    read = []
    real = module.to_numpy
    monkeypatch.setattr(module, "to_numpy", lambda a: (read.append(len(a)), real(a))[1])
    x = np.arange(1001, dtype="float32")
    before = of(x)["x"]
    assert sum(read) == (1 + 8 * 2) + (1 + 8)  # the size of a sample, and 8 blocks; of the labels, too
    x[position] += 1.0
    assert (of(x)["x"] != before) == (position in (0, -1))


@pytest.mark.parametrize("n", [1, 2, 1023, 1024, 1025, 2500])
def test_every_size_is_read_without_leaving_the_array(n, monkeypatch):
    monkeypatch.setattr(module, "MOST", 4096)
    x = np.ones((n, 3), "float32")
    one = of(x)["x"]
    x[-1, -1] = 2.0
    assert of(x)["x"] != one


def test_the_same_on_every_library(space):
    x, y = np.arange(12, dtype="float32").reshape(4, 3), np.arange(4)
    assert fingerprint(Samples(space.asarray(x), space.asarray(y))) == of(x, y)


class Own:
    def __init__(self, scale):
        self.scale, self.table = scale, np.arange(3)


def test_settings_are_said_without_addresses():
    assert said(None) == "None"
    assert said(print) == "print" and said(Own) == "Own"
    text = said(Own(2.0))
    assert "0x" not in text and text.startswith("Own(scale=2.0, table=int64 [3] ")
    assert said(Own(2.0)) == text != said(Own(3.0))
    assert said(np.float32(3.0)) == said(np.float32(3.0))


def test_a_process_of_its_own_says_the_same():
    code = (
        "from xpcnn.training.fingerprint import said\n"
        "from xpcnn.data.augment import *\n"
        "print(said(Compose([RandomHorizontalFlip(), RandomCrop(6, padding=1)])))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONHASHSEED": "5"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == said(Compose([RandomHorizontalFlip(), RandomCrop(6, padding=1)]))


class Fade(Transform):
    def __init__(self, function):
        self.function = function

    def images(self, x, u):
        return self.function(x)


def halved(x):
    return x * 0.5


@pytest.mark.parametrize(
    "one", [partial(max, 3), partial(halved, 3), lambda a: a, Own(Own(1.0)), Fade(halved), Compose([Fade(halved)])]
)
def test_nothing_of_memory_is_said(one):
    assert "0x" not in said(one)


def test_another_function_inside_is_another_setting():
    assert said(Fade(halved)) != said(Fade(abs))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (np.float32(0.5), np.float32(0.25)),
        (np.int64(3), np.int64(4)),
        (partial(halved, 3), partial(halved, 4)),
        (range(3), range(4)),
        (Path("a"), Path("b")),
        (Fade(np.float32(0.5)), Fade(np.float32(0.25))),
    ],
)
def test_what_has_no_attributes_differs_by_what_it_says_of_itself(one, other):
    assert said(one) != said(other)
    assert "0x" not in said(one)
