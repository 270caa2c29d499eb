"""Colour jitter, against loops over the pixels and the standard library's colour spaces."""

import colorsys

import numpy as np
import pytest

from tests.namespaces import bits
from xpcnn.backend import Key, sample_uniform, to_numpy
from xpcnn.data.augment import ColorJitter
from xpcnn.errors import ConfigError, ShapeError

N = 6
INDEX = np.asarray([9, 1, 4, 0, 7, 30])
JITTER = ColorJitter(0.8, (0.3, 2.0), 1.5, 0.4)


def images(channels=3, seed=0):
    x = np.random.default_rng(seed).random((N, channels, 4, 5))
    x[0] = 0.5  # grey, so without a hue
    x[1, :, 0] = 0.0
    x[1, :, 1] = 1.0
    x[2, :, :, 0] = np.asarray([0.7, 0.7, 0.2][:channels])[:, None]  # two largest channels
    x[2, :, :, 1] = np.asarray([0.1, 0.6, 0.6][:channels])[:, None]
    return x


def factor(column, low, high, seed=0):
    u = sample_uniform(INDEX, 4, Key(seed, "augment"))
    return low + (high - low) * u[:, column]


def each_pixel(x, change):
    """Change pixel by pixel, `change(n, pixel, grey mean of the image)`, and keep to 0 to 1."""
    y = np.empty_like(x)
    for n in range(len(x)):
        mean = sum(grey(x[n, :, i, j]) for i, j in np.ndindex(4, 5)) / 20
        for i, j in np.ndindex(4, 5):
            y[n, :, i, j] = np.clip(change(n, x[n, :, i, j], mean), 0, 1)
    return y


def grey(pixel):
    return pixel[0] if len(pixel) == 1 else 0.2989 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2]


def turned(pixel, turns):
    h, s, v = colorsys.rgb_to_hsv(*pixel)
    return np.asarray(colorsys.hsv_to_rgb((h + turns) % 1, s, v))


def loops(x):
    """What :data:`JITTER` should make of the images."""
    b, c = factor(0, 0.2, 1.8), factor(1, 0.3, 2.0)
    s, h = factor(2, 0.0, 2.5), factor(3, -0.4, 0.4)
    x = each_pixel(x, lambda n, pixel, _: b[n] * pixel)
    x = each_pixel(x, lambda n, pixel, mean: c[n] * pixel + (1 - c[n]) * mean)
    if x.shape[1] == 3:
        x = each_pixel(x, lambda n, pixel, _: s[n] * pixel + (1 - s[n]) * grey(pixel))
        x = each_pixel(x, lambda n, pixel, _: turned(pixel, h[n]))
    return x


@pytest.mark.parametrize("channels", [1, 3])
def test_jitter_is_the_loop_on_every_library(space, channels):
    x = images(channels)
    given = space.asarray(x)
    before = bits({"x": given})
    y, _ = JITTER(given, None, INDEX)
    assert space.device.owns(y)
    assert bits({"x": given}) == before
    np.testing.assert_allclose(to_numpy(y), loops(x), rtol=0, atol=1e-13)


def test_jitter_keeps_the_dtype(space):
    y, _ = JITTER(space.asarray(images(), "float32"), None, INDEX)
    assert to_numpy(y).dtype == np.float32
    np.testing.assert_allclose(to_numpy(y), loops(images().astype("float32")), rtol=0, atol=5e-6)


def test_each_setting_has_a_draw_of_its_own():
    """One setting alone draws the factor that it has beside the others."""
    x = images()
    np.testing.assert_allclose(
        ColorJitter(hue=0.4)(x, None, INDEX)[0],
        each_pixel(x, lambda n, pixel, _: turned(pixel, factor(3, -0.4, 0.4)[n])),
        atol=1e-14,
    )
    np.testing.assert_allclose(
        ColorJitter(contrast=0.5)(x, None, INDEX)[0],
        each_pixel(x, lambda n, pixel, mean: mean + factor(1, 0.5, 1.5)[n] * (pixel - mean)),
        atol=1e-14,
    )


def test_samples_do_not_see_each_other():
    x = images()
    whole = JITTER(x, None, INDEX, seed=3, epoch=1)[0]
    for n in range(N):
        one = slice(n, n + 1)
        np.testing.assert_array_equal(JITTER(x[one], None, INDEX[one], seed=3, epoch=1)[0], whole[one])


def test_nothing_asked_is_nothing_done():
    x = images()
    assert ColorJitter()(x, None, INDEX)[0] is x


def test_identities_of_the_hue():
    x = images()
    np.testing.assert_allclose(ColorJitter(hue=(0.0, 1e-300))(x, None, INDEX)[0], x, atol=1e-15)
    half = ColorJitter(hue=(0.5, 0.5))
    np.testing.assert_allclose(half(half(x, None, INDEX)[0], None, INDEX)[0], x, atol=1e-14)
    third = ColorJitter(hue=(1 / 3, 1 / 3))
    np.testing.assert_allclose(third(x, None, INDEX)[0], np.roll(x, 1, axis=1), atol=1e-14)


def test_no_saturation_is_grey():
    y = ColorJitter(saturation=(0, 0))(images(), None, INDEX)[0]
    np.testing.assert_allclose(y, np.broadcast_to(y[:, :1], y.shape), atol=0)


@pytest.mark.parametrize("channels", [2, 4])
def test_other_channels_than_colours_are_refused(channels):
    with pytest.raises(ShapeError, match="images of 1 or 3 channels"):
        JITTER(np.ones((N, channels, 2, 2)), None, INDEX)


@pytest.mark.parametrize(
    "settings",
    [
        {"brightness": -0.1},
        {"contrast": (2, 1)},
        {"contrast": (1, 2, 3)},
        {"saturation": (-1, 1)},
        {"hue": 0.6},
        {"hue": (-0.6, 0)},
        {"hue": "red"},
    ],
)
def test_settings_without_sense_are_refused(settings):
    with pytest.raises(ConfigError, match="ColorJitter: expected " + next(iter(settings))):
        ColorJitter(**settings)
