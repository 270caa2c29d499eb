"""Dropout: when, how much, and which."""

import numpy as np
import pytest

from xpcnn.backend import Key, to_numpy
from xpcnn.errors import ConfigError, ShapeError
from xpcnn.layers import Dropout, Dropout2d
from xpcnn.models import Sequential


def test_dropout_is_identity_at_eval(space):
    """deepnet drops at prediction, too."""
    x = space.asarray(np.arange(12.0).reshape(3, 4))
    for p in (0.0, 0.5, 1.0):
        assert np.array_equal(to_numpy(Dropout(p)(x)), to_numpy(x))
        y, cache = Dropout(p).forward(x, train=False, key=Key(0))
        assert np.array_equal(to_numpy(y), to_numpy(x))
        assert cache is None


def test_p_is_the_chance_to_drop(space):
    """deepnet's prob is the chance to keep."""
    y = to_numpy(Dropout(0.1).forward(space.asarray(np.ones((100, 100))), train=True, key=Key(0))[0])
    assert abs((y == 0.0).mean() - 0.1) < 4 * np.sqrt(0.09 / 10_000)
    assert np.unique(y).tolist() == [0.0, 1.0 / 0.9]
    assert abs(y.mean() - 1.0) < 0.02


def test_extremes(space):
    x = space.asarray(np.arange(1.0, 7.0).reshape(2, 3))
    dy = space.asarray(np.ones((2, 3)))
    for p, factor in ((0.0, 1.0), (1.0, 0.0)):
        layer = Dropout(p)
        y, cache = layer.forward(x, train=True)
        assert np.array_equal(to_numpy(y), factor * to_numpy(x))
        assert np.array_equal(to_numpy(layer.backward(dy, cache)[0]), factor * to_numpy(dy))


def test_same_masks_on_every_library(space, cpu):
    for shape in ((5, 7), (3, 4, 5), (2, 3, 4, 5)):
        for key in (Key(0), Key(2**63 + 5, "dropout/3", step=17, first=8)):
            x = np.ones(shape, dtype="float32")
            masks = [
                to_numpy(Dropout(0.4).forward(s.asarray(x), train=True, key=key)[0]) for s in (cpu, space)
            ]
            assert np.array_equal(*masks)


def test_masks_differ_between_steps_layers_and_seeds():
    x = np.ones((8, 64), dtype="float32")
    keys = [Key(0, "a"), Key(0, "b"), Key(1, "a"), Key(0, "a", step=1)]
    masks = {Dropout(0.5).forward(x, train=True, key=key)[0].tobytes() for key in keys}
    assert len(masks) == len(keys)


def test_a_model_draws_a_new_mask_at_each_step_and_one_per_layer():
    model = Sequential(Dropout(0.5), seed=3)
    x, seen = np.ones((4, 32), dtype="float32"), set()
    for _ in range(3):
        y, cache = model.forward(x, train=True)
        again, _ = model.forward(x, train=True)
        assert np.array_equal(y, again), "the step counts with the backward pass"
        seen.add(y.tobytes())
        model.backward(x, cache)
    assert len(seen) == 3
    two = Sequential(Dropout(0.5), Dropout(0.5), seed=3)
    y = two.forward(x, train=True)[0]
    assert 0.15 < (y > 0).mean() < 0.35


def test_dropout2d_drops_whole_channels_and_scales_the_others_up(space):
    x = 2.0 ** np.arange(6.0).reshape(2, 3) * np.ones((40, 25, 1, 1))
    y = to_numpy(Dropout2d(0.25).forward(space.asarray(x), train=True, key=Key(0))[0])
    ratio = (y / x).reshape(40, 25, 6)
    assert (ratio == ratio[:, :, :1]).all()
    assert np.unique(ratio).tolist() == pytest.approx([0.0, 1.0 / 0.75])
    dropped = ratio[:, :, 0] == 0.0
    assert abs(dropped.mean() - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 1000)
    assert len({row.tobytes() for row in dropped}) > 30, "each sample has a mask of its own"


def test_dropout2d_is_the_same_for_part_of_a_batch_and_for_any_size_of_image(space):
    key, x = Key(5, "dropout/2", step=3), np.ones((6, 9, 2, 2))
    whole = to_numpy(Dropout2d(0.5).forward(space.asarray(x), train=True, key=key)[0])
    part = to_numpy(Dropout2d(0.5).forward(space.asarray(x[4:]), train=True, key=key.at(4))[0])
    assert np.array_equal(whole[4:], part)
    larger = to_numpy(Dropout2d(0.5).forward(space.asarray(np.ones((6, 9, 5, 1))), train=True, key=key)[0])
    assert np.array_equal(whole[:, :, 0, 0], larger[:, :, 0, 0])


def test_dropout2d_draws_the_same_on_every_library(space, cpu):
    x, key = np.ones((3, 7, 2, 2), dtype="float32"), Key(2**63 + 5, "dropout/3", step=17, first=8)
    masks = [to_numpy(Dropout2d(0.4).forward(s.asarray(x), train=True, key=key)[0]) for s in (cpu, space)]
    assert np.array_equal(*masks)


def test_dropout2d_is_identity_at_inference_and_its_extremes(space):
    x = space.asarray(np.arange(1.0, 13.0).reshape(1, 3, 2, 2))
    assert Dropout2d(1.0)(x) is x
    for p, factor in ((0.0, 1.0), (1.0, 0.0)):
        layer = Dropout2d(p)
        y, cache = layer.forward(x, train=True)
        assert np.array_equal(to_numpy(y), factor * to_numpy(x))
        assert np.array_equal(to_numpy(layer.backward(x, cache)[0]), factor * to_numpy(x))


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4), (2, 0, 4, 4)])
@pytest.mark.parametrize("train", [False, True])
def test_dropout2d_takes_images_only(shape, train):
    with pytest.raises(ShapeError, match=r"Dropout2d: expected x of shape \(N, C, H, W\)"):
        Dropout2d().forward(np.ones(shape), train=train)


def test_dropout2d_refuses_what_is_no_chance():
    with pytest.raises(ConfigError, match="Dropout2d: expected p, the chance to drop, to be a finite number"):
        Dropout2d(1.5)


@pytest.mark.parametrize("p", [-0.1, 1.1, np.nan, "0.5", True, None])
def test_p_that_is_no_chance_raises(p):
    with pytest.raises(ConfigError, match="Dropout: expected p, the chance to drop, to be a finite number"):
        Dropout(p)


def test_empty_batch_raises():
    with pytest.raises(ShapeError, match="it is empty"):
        Dropout()(np.ones((0, 3)))
