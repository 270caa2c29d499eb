"""Augmentation: each sample's own draws, the same pixels on every array library, and what each transform promises."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.namespaces import bits
from xpcnn.backend import Key, sample_uniform, to_numpy
from xpcnn.data.augment import (
    Compose,
    Cutout,
    Normalize,
    RandomCrop,
    RandomErasing,
    RandomHorizontalFlip,
    RandomRotation,
    RandomShift,
    RandomVerticalFlip,
    Transform,
)
from xpcnn.data.augment.move import Move
from xpcnn.errors import ConfigError, DeviceMismatchError, DtypeError, NamespaceError, ShapeError

N, C, H, W = 7, 3, 6, 8
INDEX = np.asarray([3, 0, 11, 2**40, 5, 6, 8])

EACH = {
    "flip": RandomHorizontalFlip(),
    "vertical flip": RandomVerticalFlip(p=0.4),
    "crop": RandomCrop((5, 7), padding=2),
    "crop of fill": RandomCrop(6, padding=(1, 2, 0, 3), fill=0.25),
    "crop of edge": RandomCrop((9, 10), padding=3, padding_mode="edge"),
    "crop of reflection": RandomCrop((6, 8), padding=3, padding_mode="reflect"),
    "crop of symmetry": RandomCrop((6, 8), padding=3, padding_mode="symmetric"),
    "shift": RandomShift((1, 3)),
    "shift of reflection": RandomShift(2, padding_mode="reflect"),
    "rotation": RandomRotation(40, fill=0.5),
    "rotation to one side": RandomRotation((10, 200)),
    "cutout": Cutout(3, n_holes=2),
    "erasing": RandomErasing(p=0.8, value=0.5),
    "normalize": Normalize([0.1, 0.2, 0.3], 0.5),
    "all": Compose([RandomHorizontalFlip(), RandomCrop((6, 8), padding=2), RandomRotation(15), Cutout(2)]),
}


@pytest.fixture(params=EACH, ids=str)
def transform(request):
    return EACH[request.param]


def images(n=N, c=C, h=H, w=W, seed=0):
    return np.random.default_rng(seed).random((n, c, h, w))


def drawn(index, count, seed=0, epoch=0):
    return sample_uniform(np.asarray(index), count, Key(seed, "augment", step=epoch))


# what every transform promises


def test_a_sample_does_not_depend_on_its_batch(transform):
    x, y = images(), np.arange(N)
    whole, _ = transform(x, y, INDEX, seed=4, epoch=2)
    for order in (np.arange(N)[::-1], np.asarray([4, 1]), np.asarray([6])):
        some, labels = transform(x[order], y[order], INDEX[order], seed=4, epoch=2)
        np.testing.assert_array_equal(some, whole[order])
        np.testing.assert_array_equal(labels, y[order])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_every_library_sees_the_same_images(space, transform, dtype):
    x, y = images().astype(dtype), np.arange(N)
    expected, _ = transform(x, y, INDEX, seed=1, epoch=3)
    given_x, given_y = space.asarray(x), space.asarray(y)
    before = bits({"x": given_x, "y": given_y})
    out, labels = transform(given_x, given_y, INDEX, seed=1, epoch=3)
    assert space.device.owns(out) and space.device.owns(labels)
    assert out.dtype == given_x.dtype and labels.dtype == given_y.dtype
    assert bits({"x": given_x, "y": given_y}) == before
    np.testing.assert_array_equal(to_numpy(labels), y)
    np.testing.assert_allclose(to_numpy(out), expected, rtol=0, atol=1e-14 if dtype == "float64" else 5e-6)


def test_memory_layout_does_not_matter(transform):
    x = images()
    last = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(transform(last, None, INDEX)[0], transform(x, None, INDEX)[0])


def test_every_seed_and_epoch_has_its_own_draws(transform):
    if not transform.draws:
        return
    x = images(64)
    index = np.arange(64)
    seen = {transform(x, None, index, seed=s, epoch=e)[0].tobytes() for s in range(3) for e in range(3)}
    assert len(seen) == 9
    same = transform(np.broadcast_to(x[:1], x.shape), None, index)[0]
    assert len({a.tobytes() for a in same}) > 1


def test_the_shape_that_comes_out_is_foretold(transform):
    x = images()
    assert transform(x, None, INDEX)[0].shape == transform.check(x.shape, None)


def test_text_shows_all_settings():
    assert repr(RandomCrop([4, 4], 2)) == "RandomCrop(size=(4, 4), padding=2, fill=0.0, padding_mode='constant')"
    assert repr(Compose([RandomShift(1)])) == "Compose([RandomShift(pixels=1, fill=0.0, padding_mode='constant')])"


# what each does, against loops and NumPy


def looped(x, places, fill=0.0):
    """Read each output pixel by itself: `places` gives (row, column) of the input, or None."""
    out = np.full_like(x, fill)
    for n, c, i, j in np.ndindex(*x.shape):
        a, b = places(n, i, j)
        if 0 <= a < x.shape[2] and 0 <= b < x.shape[3]:
            out[n, c, i, j] = x[n, c, a, b]
    return out


def test_flips_are_reversals_of_those_drawn():
    x = images(40)
    u = drawn(range(40), 1)[:, 0]
    across = RandomHorizontalFlip(p=0.3)(x, None, range(40))[0]
    down = RandomVerticalFlip(p=0.3)(x, None, range(40))[0]
    assert 0 < (u < 0.3).sum() < 40
    for n in range(40):
        np.testing.assert_array_equal(across[n], x[n, :, :, ::-1] if u[n] < 0.3 else x[n])
        np.testing.assert_array_equal(down[n], x[n, :, ::-1] if u[n] < 0.3 else x[n])


@pytest.mark.parametrize("flip", [RandomHorizontalFlip, RandomVerticalFlip])
def test_flipping_twice_is_nothing_and_never_is_never(flip):
    x = images()
    once = flip(p=1)(x, None, INDEX)[0]
    assert not np.array_equal(once, x)
    np.testing.assert_array_equal(flip(p=1)(once, None, INDEX)[0], x)
    np.testing.assert_array_equal(flip(p=0)(x, None, INDEX)[0], x)


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "symmetric"])
@given(
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    padding=st.one_of(st.integers(0, 5), st.tuples(*[st.integers(0, 5)] * 2), st.tuples(*[st.integers(0, 7)] * 4)),
    shape=st.tuples(st.integers(1, 6), st.integers(1, 6)),
)
@settings(max_examples=60)
def test_crops_are_pieces_of_what_numpy_pads(mode, size, padding, shape):
    x = images(3, 2, *shape)
    pair = (padding, padding) if isinstance(padding, int) else padding
    left, right, top, bottom = pair if len(pair) == 4 else (pair[1], pair[1], pair[0], pair[0])
    how = {"constant_values": 0.7} if mode == "constant" else {}
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), mode=mode, **how)
    crop = RandomCrop(size, padding, fill=0.7, padding_mode=mode)
    room = (padded.shape[2] - size[0], padded.shape[3] - size[1])
    if min(room) < 0:
        with pytest.raises(ShapeError, match="with their padding"):
            crop(x, None, range(3))
        return
    u = drawn(range(3), 2)
    y = crop(x, None, range(3))[0]
    for n in range(3):
        i, j = int(u[n, 0] * (room[0] + 1)), int(u[n, 1] * (room[1] + 1))
        np.testing.assert_array_equal(y[n], padded[n, :, i : i + size[0], j : j + size[1]])


def test_a_crop_of_all_there_is_is_the_image():
    x = images()
    np.testing.assert_array_equal(RandomCrop((H, W))(x, None, INDEX)[0], x)


@pytest.mark.parametrize(("down", "right"), [(1, 2), (0, 3), (2, 0)])
def test_a_shift_is_a_crop_to_the_same_size(down, right):
    x = images()
    shift = RandomShift((down, right), fill=0.3)(x, None, INDEX, seed=2)[0]
    crop = RandomCrop((H, W), padding=(down, right), fill=0.3)(x, None, INDEX, seed=2)[0]
    np.testing.assert_array_equal(shift, crop)
    a, b = (np.floor(drawn(INDEX, 2, seed=2) * [2 * down + 1, 2 * right + 1]) - [down, right]).astype(int).T
    np.testing.assert_array_equal(shift, looped(x, lambda n, i, j: (i + a[n], j + b[n]), 0.3))


def test_shifts_are_as_likely_in_each_direction():
    x = np.zeros((5000, 1, 5, 5))
    x[:, 0, 2, 2] = 1.0
    where = RandomShift(2)(x, None, range(5000))[0].sum(axis=(0, 1))
    assert where.sum() == 5000
    # 24 degrees of freedom: 58.6 is passed once in 10,000 draws
    assert ((where - 200) ** 2 / 200).sum() < 58.6


@pytest.mark.parametrize("turns", [-1, 0, 1, 2, 3, 4])
def test_quarter_turns_are_those_of_numpy(space, turns):
    x = images(h=7, w=7)
    y = RandomRotation((90 * turns, 90 * turns))(space.asarray(x), None, INDEX)[0]
    np.testing.assert_allclose(to_numpy(y), np.rot90(x, turns, axes=(2, 3)), rtol=0, atol=1e-13)


def test_turning_by_nothing_is_exact():
    x = images()
    np.testing.assert_array_equal(RandomRotation(0, fill=9.0)(x, None, INDEX)[0], x)


@pytest.mark.oracle
@pytest.mark.parametrize("size", [1, 2, 6, 9])
def test_rotations_are_pytorchs(size):
    torch = pytest.importorskip("torch")
    x = images(h=size, w=size)
    y = RandomRotation(170)(x, None, INDEX)[0]
    t = np.deg2rad(-170 + 340 * drawn(INDEX, 1)[:, 0])
    theta = np.stack([np.cos(t), -np.sin(t), 0 * t, np.sin(t), np.cos(t), 0 * t], axis=1).reshape(-1, 2, 3)
    grid = torch.nn.functional.affine_grid(torch.asarray(theta), x.shape, align_corners=False)
    expected = torch.nn.functional.grid_sample(torch.asarray(x), grid, align_corners=False)
    np.testing.assert_allclose(y, expected.numpy(), rtol=0, atol=1e-12)


def test_rotations_are_the_loop():
    x = images(4, 2, 5, 8)
    y = RandomRotation((-60, 20), fill=0.4)(x, None, range(4))[0]
    for n, u in enumerate(drawn(range(4), 1)[:, 0]):
        t = np.deg2rad(-60 + 80 * u)
        for i, j in np.ndindex(5, 8):
            # x to the right, y upwards: the pixel comes from where the opposite turn leads
            right, up = j - 3.5, 2 - i
            a = 2 - (-np.sin(t) * right + np.cos(t) * up)
            b = 3.5 + (np.cos(t) * right + np.sin(t) * up)
            total = np.zeros(2)
            for k, m in np.ndindex(7, 10):
                near = max(0, 1 - abs(a - (k - 1))) * max(0, 1 - abs(b - (m - 1)))
                total += near * (x[n, :, k - 1, m - 1] if 1 <= k <= 5 and 1 <= m <= 8 else 0.4)
            if -1 < a < 5 and -1 < b < 8:
                np.testing.assert_allclose(y[n, :, i, j], total, atol=1e-13)
            else:
                np.testing.assert_allclose(y[n, :, i, j], 0.4, atol=1e-13)


@pytest.mark.parametrize("length", [1, 2, 3, 4, 9])
def test_cutout_hides_a_square_about_a_pixel(length):
    x = 1 + images(50)
    y = Cutout(length, fill=-1)(x, None, range(50))[0]
    centre = np.floor(drawn(range(50), 2) * [H, W]).astype(int)
    for n in range(50):
        i, j = centre[n] - length // 2
        expected = x[n].copy()
        expected[:, max(i, 0) : max(i + length, 0), max(j, 0) : max(j + length, 0)] = -1
        np.testing.assert_array_equal(y[n], expected)
        hidden = (y[n, 0] == -1).sum()
        assert hidden <= length**2 and (length > min(H, W) or hidden >= ((length + 1) // 2) ** 2)


def test_several_holes_are_cut_one_after_the_other():
    x = images(20)
    u = drawn(range(20), 4)
    holes = Cutout(2, n_holes=2)
    once = Cutout(2).apply(x, None, u[:, :2])[0]
    np.testing.assert_array_equal(holes(x, None, range(20))[0], Cutout(2).apply(once, None, u[:, 2:])[0])


def test_erasing_takes_the_first_rectangle_that_fits():
    h, w, n = 12, 20, 200
    x = 1 + images(n, 1, h, w)
    y = RandomErasing(p=0.7, scale=(0.1, 0.9), ratio=(0.2, 3), value=0)(x, None, range(n))[0]
    u = drawn(range(n), 23)
    outcomes = set()
    for k in range(n):
        expected = x[k].copy()
        for attempt in range(10):
            area = h * w * (0.1 + 0.8 * u[k, 3 + 2 * attempt])
            ratio = np.exp(np.log(0.2) + np.log(15) * u[k, 4 + 2 * attempt])
            eh, ew = round((area * ratio) ** 0.5), round((area / ratio) ** 0.5)
            if eh < h and ew < w:
                break
        else:
            eh = ew = 0
        if u[k, 0] < 0.7:
            i, j = int(u[k, 1] * (h - eh + 1)), int(u[k, 2] * (w - ew + 1))
            expected[:, i : i + eh, j : j + ew] = 0
        outcomes.add((u[k, 0] < 0.7, attempt > 0))
        np.testing.assert_array_equal(y[k], expected)
    assert len(outcomes) == 4


@pytest.mark.parametrize(("mean", "std"), [(0.2, 3.0), ([0.1, 0.2, 0.3], [1.0, 2.0, 4.0]), ([0.5], np.ones(3))])
def test_normalizing_is_per_channel(mean, std):
    x = images()
    y, label = Normalize(mean, std)(x)
    assert label is None
    for c in range(C):
        m, s = (np.broadcast_to(a, C)[c] for a in (mean, std))
        np.testing.assert_allclose(y[:, c], (x[:, c] - m) / s, rtol=1e-15)


def test_a_composition_hands_each_transform_its_own_draws():
    x, u = images(), drawn(INDEX, 5, seed=3)
    parts = [RandomHorizontalFlip(), RandomShift(1), Cutout(2)]
    expected = x
    for part, columns in zip(parts, ([0], [1, 2], [3, 4]), strict=True):
        expected = part.apply(expected, None, u[:, columns])[0]
    np.testing.assert_array_equal(Compose(parts)(x, None, INDEX, seed=3)[0], expected)
    nested = Compose([parts[0], Compose(parts[1:])])
    np.testing.assert_array_equal(nested(x, None, INDEX, seed=3)[0], expected)


def test_moves_in_a_row_are_as_one_by_one():
    x = images()
    for first, second, third in (
        (RandomCrop(7, padding=4, fill=0.5), RandomShift(3, fill=0.5), RandomHorizontalFlip()),
        (RandomCrop((5, 4)), RandomVerticalFlip(), RandomCrop((6, 9), padding=3, padding_mode="reflect")),
        (RandomShift(3, fill=0.5), RandomHorizontalFlip(), RandomShift(3, fill=0.25)),
    ):
        whole = Compose([first, second, third])
        u = drawn(INDEX, whole.draws, seed=6)
        expected, start = x, 0
        for part in (first, second, third):
            expected = part.images(expected, u[:, start : start + part.draws])
            start += part.draws
        np.testing.assert_array_equal(whole(x, None, INDEX, seed=6)[0], expected)


def test_an_empty_composition_changes_nothing():
    x = images()
    assert Compose([])(x)[0] is x


# what is refused, before anything is computed


@pytest.mark.parametrize(
    ("x", "error", "text"),
    [
        (np.zeros((2, 8, 8)), ShapeError, r"expected x of shape \(N, C, H, W\)"),
        (np.zeros((0, 1, 8, 8)), ShapeError, "empty"),
        (np.zeros((2, 1, 8, 8), dtype="uint8"), DtypeError, "divided by 255"),
        ([[1.0]], NamespaceError, "to be an array"),
    ],
)
def test_batches_that_are_none_are_refused(x, error, text):
    with pytest.raises(error, match="RandomShift: .*" + text):
        RandomShift(1)(x, None, [0, 1])


def test_labels_that_do_not_belong_are_refused(strict):
    x = images()
    with pytest.raises(ShapeError, match="RandomShift: expected y for 7 samples"):
        RandomShift(1)(x, np.arange(6), INDEX)
    with pytest.raises(NamespaceError, match="one library"):
        RandomShift(1)(x, strict.asarray(np.arange(N)), INDEX)
    with pytest.raises(DeviceMismatchError):
        RandomShift(1)(strict.asarray(x), strict.xp.asarray(np.arange(N)), INDEX)


@pytest.mark.parametrize(
    ("index", "error"),
    [
        (None, ConfigError),
        (np.arange(6), ShapeError),
        (3, ShapeError),
        (np.arange(7) - 1, ConfigError),
        (np.arange(7.0), ConfigError),
        (np.full(7, 2**63, dtype="uint64"), ConfigError),
        (["a"] * 7, ConfigError),
        ([[0], [1, 2]], ShapeError),
    ],
)
def test_numbers_that_count_no_samples_are_refused(index, error):
    with pytest.raises(error, match="RandomShift: expected index"):
        RandomShift(1)(images(), None, index)


def test_numbers_on_a_device_are_refused(strict):
    with pytest.raises(NamespaceError, match="keep it on the host"):
        RandomShift(1)(images(), None, strict.asarray(np.arange(N)))


def test_a_rectangle_that_never_fits_hides_nothing():
    x = images()
    np.testing.assert_array_equal(RandomErasing(p=1, scale=(1, 1), ratio=(1, 1))(x, None, INDEX)[0], x)


@pytest.mark.parametrize("setting", [{"seed": -1}, {"seed": 1.5}, {"epoch": -1}, {"epoch": "1"}])
def test_a_senseless_seed_or_epoch_is_refused(setting):
    with pytest.raises(ConfigError, match=next(iter(setting))):
        RandomShift(1)(images(), None, INDEX, **setting)


def test_images_of_other_channels_are_refused():
    with pytest.raises(ShapeError, match="images of 3 channels, as std has"):
        Compose([RandomShift(1), Normalize(0, [1, 1, 1])])(images(c=4), None, INDEX)


@pytest.mark.parametrize(
    "make",
    [
        lambda: RandomHorizontalFlip(p=1.1),
        lambda: RandomVerticalFlip(p="x"),
        lambda: RandomCrop(0),
        lambda: RandomCrop((1, 2, 3)),
        lambda: RandomCrop(3, padding=-1),
        lambda: RandomCrop(3, padding="same"),
        lambda: RandomCrop(3, padding_mode="wrap"),
        lambda: RandomCrop(3, fill=float("nan")),
        lambda: RandomShift(-1),
        lambda: RandomShift(1.5),
        lambda: RandomRotation(-1),
        lambda: RandomRotation((3, 1)),
        lambda: RandomRotation((1, 2, 3)),
        lambda: Cutout(0),
        lambda: Cutout(3, n_holes=0),
        lambda: RandomErasing(p=2),
        lambda: RandomErasing(scale=(0.1, 1.1)),
        lambda: RandomErasing(ratio=(3, 2)),
        lambda: RandomErasing(ratio=1),
        lambda: Normalize(0, 0),
        lambda: Normalize([], 1),
        lambda: Normalize("a", 1),
        lambda: Compose([RandomShift]),
        lambda: Compose(3),
    ],
)
def test_settings_without_sense_are_refused_at_construction(make):
    with pytest.raises(ConfigError):
        make()


@pytest.mark.parametrize(("base", "missing"), [(Transform, "images"), (Move, "places")])
def test_a_transform_without_what_it_does_cannot_be_made(base, missing):
    class Half(base):
        draws = 1

    with pytest.raises(TypeError, match=f"Half.*{missing}"):
        Half()


def test_a_transform_that_asks_for_the_images_of_nobody_says_so():
    class Half(Transform):
        def apply(self, x, y, u):
            return super().apply(x, y, u)

    with pytest.raises(NotImplementedError, match="Half: expected a method images"):
        Half()(images())


def test_a_transform_may_be_of_images_and_labels_at_once():
    class Flip(Transform):
        def apply(self, x, y, u):
            return -x, 1 - y

    x, y = Flip()(images(), np.arange(N) % 2)
    np.testing.assert_array_equal(x, -images())
    np.testing.assert_array_equal(y, 1 - np.arange(N) % 2)
