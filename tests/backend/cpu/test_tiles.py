"""How a batch is cut, and that it does not show."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.backend.cpu.compare import assert_same_bits, cache_of, everything, settled
from tests.backend.cpu.test_windows import numbers
from tests.models.test_tiled import chains, copies
from xpcnn import layers as L
from xpcnn.backend import cpu
from xpcnn.backend.cpu import tiles
from xpcnn.models import Sequential

F4 = np.dtype("float32")


def run(images=1, size=8):
    node = cpu.ReLU((size, size, 4), (size, size, 4), F4)
    node.images = images
    return cpu.Run([node], F4)


@given(
    samples=st.integers(1, 300),
    images=st.sampled_from([1, 2, 7, 64]),
    cache=st.sampled_from([1, 1 << 12, 1 << 16, 1 << 30]),
    worth=st.sampled_from([0, 1 << 13, 1 << 18]),
)
def test_tiles_are_the_batch_in_order_and_about_as_large(samples, images, cache, worth):
    with cache_of(cache, worth):
        found = run(images).tiles(samples)
    assert found[0][0] == 0 and found[-1][1] == samples
    assert all(a[1] == b[0] for a, b in itertools.pairwise(found))
    sizes = [stop - start for start, stop in found]
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) >= min(images, samples)


def test_tiles_fit_the_cache_where_they_may():
    one = run()
    with cache_of(10 * one.bytes):
        assert all(stop - start <= 10 for start, stop in one.tiles(100))
    with cache_of(1 << 30):
        assert len(one.tiles(100)) == tiles.FEW  # for the other threads
    with cache_of(1, worth=1 << 30):
        assert one.tiles(100) == [(0, 100)]  # too little to share


def test_tiles_do_not_depend_on_threads():
    one, found = run(), []
    for number in (1, 2, 7):
        cpu.set_num_threads(number)
        found.append(one.tiles(97))
    cpu.set_num_threads(None)
    assert found[0] == found[1] == found[2]


@given(chain=chains(), samples=st.sampled_from([3, 13, 29]), way=st.sampled_from(["winograd", "wide"]))
def test_threads_do_not_show_in_any_bit(chain, samples, way):
    layers, shape = chain

    def build():
        return settled(Sequential(*copies(layers)))

    x = numbers((samples, *shape), "x", "float32")
    dy = numbers((samples, *build().output_shape(shape)), "dy", "float32")
    found = []
    try:
        for number in (1, 3):
            cpu.set_num_threads(number)
            with cache_of(1 << 9, way=way):
                found.append(everything(build(), x, dy))
    finally:
        cpu.set_num_threads(None)
    assert_same_bits(*found)


@pytest.mark.parametrize("sums", [1 << 25, 1])
def test_lanes_add_up_all_tiles(monkeypatch, sums):
    """Gradients at large weights are added up in few lanes, of many tiles each."""
    monkeypatch.setattr(tiles, "SUMS", sums)
    seen, lanes = [], cpu.Run._lanes

    def count(*args):
        seen.append((lanes(*args), args[2]))
        return seen[-1][0]

    monkeypatch.setattr(cpu.Run, "_lanes", count)
    x = numbers((29, 2, 6, 6), "x")
    model = settled(Sequential(L.Conv2d(2, 3, 3), L.ReLU(), L.Conv2d(3, 2, 2), dtype="float64"))
    with cache_of(1 << 8, way="wide"):
        y, cache = model.forward(x, train=True)
        _, grads = model.backward(np.ones_like(y), cache)
    assert seen == ([(2, 29)] if sums == 1 else [(29, 29)])
    parts = []
    for i in range(29):
        _, cache = model.forward(x[i : i + 1], train=True)
        parts.append(model.backward(np.ones_like(y[i : i + 1]), cache)[1])
    for name, g in grads.items():
        np.testing.assert_allclose(g, sum(part[name] for part in parts), rtol=1e-11, atol=1e-11)
