"""Folders of images: which files, which classes, which bytes; and every way in which a file can be no image."""

import io
import struct
import subprocess
import sys
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as sampling
from hypothesis import strategies as st

from xpcnn.data import Dataset, datasets, images
from xpcnn.errors import ConfigError, DataError

Image = pytest.importorskip("PIL.Image", reason="needs Pillow")


def save(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array, options.pop("dtype", "u1"))).save(path, **options)
    return path


def flat(value, height=4, width=6, channels=3):
    return np.full((height, width, channels) if channels > 1 else (height, width), value)


@pytest.fixture
def pets(tmp_path):
    """Ten images of two classes, in two formats and in deeper folders."""
    for i in range(4):
        save(tmp_path / "pets/dog" / f"{i}.png", flat(10 + i))
    for i in range(6):
        save(tmp_path / "pets/cat/deep" / f"{i}.bmp", flat(20 + i))
    return tmp_path / "pets"


def one(tmp_path, **settings):
    """Data set of a single class, whose only image was saved before."""
    return datasets.image_folder(tmp_path / "one", **settings).x_train[0]


def test_folders_become_classes_and_bytes_become_brightness(pets):
    data = datasets.image_folder(pets, test_fraction=0)
    assert isinstance(data, Dataset)
    assert (data.name, data.classes, data.source) == ("pets", ("cat", "dog"), str(pets))
    assert (data.x_train.shape, data.x_train.dtype, data.y_train.dtype) == ((10, 3, 4, 6), np.float32, np.int64)
    assert data.x_test.shape == (0, 3, 4, 6)
    assert data.y_train.tolist() == [0] * 6 + [1] * 4
    expected = np.array([20, 21, 22, 23, 24, 25, 10, 11, 12, 13]) / 255
    np.testing.assert_array_equal(data.x_train[:, 1, 2, 3], expected.astype("f4"))


def test_channels_rows_and_columns_are_where_they_belong(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (5, 7, 3), "u1")
    save(tmp_path / "one/a/a.png", pixels)
    np.testing.assert_array_equal(one(tmp_path), (pixels.transpose(2, 0, 1) / 255).astype("f4"))


class Entries:
    """What scandir gives: an iterator that is closed in the end."""

    def __init__(self, entries):
        self.entries = iter(entries)

    def __iter__(self):
        return self

    def __next__(self):
        return next(self.entries)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def test_the_order_is_that_of_the_names_whatever_the_file_system_says(pets, monkeypatch):
    expected = datasets.image_folder(pets)
    scandir = images.os.scandir

    def in_order(**order):
        def listed(top):
            return Entries(sorted(scandir(top), key=lambda entry: entry.name, **order))

        monkeypatch.setattr(images.os, "scandir", listed)
        return datasets.image_folder(pets)

    data = in_order(reverse=True)
    assert in_order(reverse=False).classes == data.classes == expected.classes
    for got, wanted in zip(data, expected, strict=True):
        np.testing.assert_array_equal(got[0], wanted[0])
        np.testing.assert_array_equal(got[1], wanted[1])


def test_hidden_and_other_files_are_passed_over(pets):
    (pets / "cat/notes.txt").write_text("no image")
    (pets / "cat/.a.png").write_text("no image")
    (pets / "cat/.deep").mkdir()
    (pets / "cat/.deep/a.png").write_text("no image")
    (pets / ".ipynb_checkpoints").mkdir()
    (pets / "labels.csv").write_text("no image")
    data = datasets.image_folder(pets, test_fraction=0)
    assert (len(data.x_train), data.classes) == (10, ("cat", "dog"))


def test_endings_may_be_written_large(tmp_path):
    save(tmp_path / "one/a/A.PNG", flat(9))
    assert one(tmp_path).max() == np.float32(9 / 255)


def which(data):
    """Images of each part, by the brightness that the fixture gave them."""
    return [sorted((x[:, 0, 0, 0] * 255).round().astype(int).tolist()) for x in (data.x_train, data.x_test)]


def test_the_split_is_by_class_by_seed_and_complete(pets):
    splits = set()
    for seed in range(20):
        train, test = which(datasets.image_folder(pets, test_fraction=0.34, seed=seed))
        assert sorted(train + test) == [10, 11, 12, 13, 20, 21, 22, 23, 24, 25]
        assert sum(value < 20 for value in test) == 1
        assert sum(value >= 20 for value in test) == 2
        assert [train, test] == which(datasets.image_folder(str(pets), test_fraction=0.34, seed=seed))
        splits.add(tuple(test))
    assert len(splits) > 10


def test_a_further_image_moves_no_other_out_of_training_and_at_most_one_into_it(pets):
    _, before = which(datasets.image_folder(pets, test_fraction=0.34))
    save(pets / "cat/z.png", flat(99))
    train, after = which(datasets.image_folder(pets, test_fraction=0.34))
    assert len(set(before) - set(after)) <= 1
    assert (99 in train) != (99 in after)


@pytest.mark.parametrize(("images_of_a_class", "tests"), [(1, 0), (2, 1), (3, 1)])
def test_a_class_keeps_an_image_for_training_and_gives_one_for_testing(tmp_path, images_of_a_class, tests):
    for i in range(images_of_a_class):
        save(tmp_path / "one/a" / f"{i}.png", flat(i))
    for fraction in (0.01, 0.2) if images_of_a_class < 3 else (0.01, 0.2, 0.4):
        assert len(datasets.image_folder(tmp_path / "one", test_fraction=fraction).x_test) == tests
    assert len(datasets.image_folder(tmp_path / "one", test_fraction=0.99).x_train) == 1


@pytest.mark.parametrize("other", ["test", "val", "valid", "validation"])
def test_folders_named_train_and_test_are_the_split(tmp_path, other):
    save(tmp_path / "train/cat/a.png", flat(1))
    save(tmp_path / "train/dog/b.png", flat(2))
    save(tmp_path / other / "dog/c.png", flat(3))
    data = datasets.image_folder(tmp_path)
    assert (data.classes, data.y_train.tolist(), data.y_test.tolist()) == (("cat", "dog"), [0, 1], [1])
    assert data.x_test.max() == np.float32(3 / 255)
    save(tmp_path / other / "cow/c.png", flat(3))
    with pytest.raises(DataError, match=f"{tmp_path / other}: expected classes of .*, got 'cow'"):
        datasets.image_folder(tmp_path)


def test_test_goes_before_validation_and_classes_may_be_called_train(tmp_path):
    for part, value in [("train", 1), ("val", 2), ("test", 3)]:
        save(tmp_path / part / "cat/a.png", flat(value))
    assert datasets.image_folder(tmp_path).x_test.max() == np.float32(3 / 255)
    save(tmp_path / "boat/a.png", flat(4))
    assert datasets.image_folder(tmp_path).classes == ("boat", "test", "train", "val")


@pytest.mark.parametrize("size", [(8, 8), [8, 8], 8])
def test_images_are_scaled_until_they_cover_the_size_and_cut_around_the_centre(tmp_path, size):
    pixels = np.zeros((16, 48), "u1")
    pixels[:, 16:32] = 200  # the middle third
    save(tmp_path / "one/a/a.png", pixels)
    x = one(tmp_path, size=size, mode="L")
    assert x.shape == (1, 8, 8)
    assert (x[0, :, 2:6] == np.float32(200 / 255)).all()


def test_the_scaling_is_antialiased(tmp_path):
    pixels = np.zeros((64, 64), "u1")
    pixels[:, ::2] = 255
    save(tmp_path / "one/a/a.png", pixels)
    x = one(tmp_path, size=8, mode="L")
    assert abs(x - 0.5).max() < 0.02, "the mean of the stripes, and not one of them"


def test_an_image_of_the_right_size_is_left_as_it_is(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (9, 9, 3), "u1")
    save(tmp_path / "one/a/a.png", pixels)
    np.testing.assert_array_equal(one(tmp_path, size=9), one(tmp_path))


def test_without_a_size_all_images_must_have_one(pets):
    save(pets / "dog/big.png", flat(1, 5, 6))
    with pytest.raises(DataError, match=r"big.png: expected 4x6 pixels .* got 5x6: .*size=\(4, 6\)"):
        datasets.image_folder(pets)
    assert datasets.image_folder(pets, size=(4, 6)).x_train.shape[1:] == (3, 4, 6)


def test_grey_is_weighed_as_the_eye_does(tmp_path):
    save(tmp_path / "one/a/a.png", np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]]))
    np.testing.assert_allclose(one(tmp_path, mode="L")[0, 0], [0.299, 0.587, 0.114], atol=0.003)


def test_the_mode_can_be_that_of_the_files(pets, tmp_path):
    assert datasets.image_folder(pets, mode=None).x_train.shape[1] == 3
    for i, mode in enumerate(["L", "1", "LA", "I;16"]):
        path = tmp_path / "grey" / "a" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new(mode, (3, 3)).save(path)
    assert datasets.image_folder(tmp_path / "grey", mode=None).x_train.shape[1] == 1
    save(tmp_path / "grey/a/z.png", flat(1, 3, 3))
    assert datasets.image_folder(tmp_path / "grey", mode=None).x_train.shape[1] == 3


def test_an_orientation_in_exif_is_honoured(tmp_path):
    pixels = np.zeros((4, 6, 3), "u1")
    pixels[0, 0] = 255
    for orientation, corner in [(1, (0, 0)), (3, (3, 5)), (6, (0, 3)), (8, (5, 0)), (2, (0, 5)), (5, (0, 0))]:
        exif = Image.Exif()
        exif[0x0112] = orientation
        save(tmp_path / "one/a/a.png", pixels, exif=exif)
        x = one(tmp_path)
        assert x.shape == ((3, 6, 4) if orientation >= 5 else (3, 4, 6))
        assert np.argwhere(x[0]).tolist() == [list(corner)]


def test_a_palette_becomes_colours(tmp_path):
    picture = Image.new("P", (2, 2))
    picture.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    picture.putdata([0, 1, 2, 0])
    (tmp_path / "one/a").mkdir(parents=True)
    for name in ("a.png", "a.gif"):
        picture.save(tmp_path / "one/a" / name)
        np.testing.assert_array_equal(one(tmp_path)[:, 0, 1], [0, 1, 0])
        np.testing.assert_array_equal(one(tmp_path)[:, 1, 0], [0, 0, 1])
        (tmp_path / "one/a" / name).unlink()


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_transparent_pixels_are_laid_on_black(tmp_path, mode):
    pixels = np.array([[[255, 255, 255, 255], [255, 255, 255, 0], [255, 255, 255, 102]]])
    save(tmp_path / "one/a/a.png", pixels)
    np.testing.assert_allclose(one(tmp_path, mode=mode)[0, 0], [1, 0, 0.4], atol=0.003)


def test_a_transparent_colour_is_laid_on_black_too(tmp_path):
    save(tmp_path / "one/a/a.png", np.array([[[200, 100, 50], [1, 2, 3]]]), transparency=(200, 100, 50))
    np.testing.assert_array_equal((one(tmp_path) * 255).round()[:, 0].T, [[0, 0, 0], [1, 2, 3]])


def test_cmyk_becomes_rgb(tmp_path):
    picture = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    (tmp_path / "one/a").mkdir(parents=True)
    for name in ("a.jpg", "a.tif"):
        picture.save(tmp_path / "one/a" / name)
        np.testing.assert_allclose(one(tmp_path)[:, 4, 4], [1, 0, 0], atol=0.02)
        (tmp_path / "one/a" / name).unlink()


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_grey_of_16_bits_keeps_its_range(tmp_path, name, mode):
    save(tmp_path / "one/a" / name, np.array([[0, 128, 32768, 65535]]), dtype="u2")
    np.testing.assert_allclose(one(tmp_path, mode=mode)[-1, 0], [0, 0, 0.5, 1], atol=0.002)


def test_grey_of_16_bits_in_a_pgm_keeps_its_range(tmp_path):
    (tmp_path / "one/a").mkdir(parents=True)
    (tmp_path / "one/a/a.pgm").write_bytes(b"P5 3 1 65535\n" + struct.pack(">3H", 0, 32768, 65535))
    np.testing.assert_allclose(one(tmp_path, mode="L")[0, 0], [0, 0.5, 1], atol=0.002)


@pytest.mark.parametrize(("dtype", "value"), [("f4", 0.5), ("i4", 70000), ("i4", -1)])
def test_numbers_of_unknown_range_are_refused(tmp_path, dtype, value):
    save(tmp_path / "one/a/a.tif", np.full((2, 2), value), dtype=dtype)
    with pytest.raises(DataError, match=r"a.tif: expected (whole numbers|grey of 16 bits).*: convert it"):
        one(tmp_path)


def test_of_an_animated_image_the_first_one_is_taken(tmp_path):
    frames = [Image.new("L", (3, 3), value) for value in (50, 200)]
    (tmp_path / "one/a").mkdir(parents=True)
    frames[0].save(tmp_path / "one/a/a.gif", save_all=True, append_images=frames[1:])
    np.testing.assert_allclose(one(tmp_path), 50 / 255, atol=0.01)


# F44


def png(width, height, data=b""):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">2I5B", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("side", "limit"), [(50_000, {}), (8_000, {}), (101, {"max_pixels": 10_000})])
def test_a_bomb_is_refused_by_its_header(tmp_path, side, limit):
    (tmp_path / "one/a").mkdir(parents=True)
    (tmp_path / "one/a/bomb.png").write_bytes(png(side, side, bytes(100)))
    tracemalloc.start()
    with pytest.raises(DataError, match=r"bomb.png: expected at most [\d,]+ pixels, got"):
        one(tmp_path, **limit)
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()


def test_the_limit_can_be_raised(tmp_path):
    save(tmp_path / "one/a/a.png", flat(1, 101, 101, 1))
    assert one(tmp_path, max_pixels=101 * 101).shape == (3, 101, 101)


def encoded(kind):
    buffer = io.BytesIO()
    pixels = np.random.default_rng(1).integers(0, 256, (30, 30, 3), "u1")
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "PPM", "WEBP"])
@pytest.mark.parametrize("part", [0.02, 0.5, 0.95])
def test_a_truncated_image_is_refused_and_named(tmp_path, kind, part):
    content = encoded(kind)
    (tmp_path / "one/a").mkdir(parents=True)
    (tmp_path / "one/a/cut.png").write_bytes(content[: int(len(content) * part)])
    with pytest.raises(DataError, match=r"one/a/cut.png: "):
        one(tmp_path)


@pytest.mark.parametrize("content", [b"", b"<html>", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"\x89PNG"])
def test_something_else_is_refused_and_named(tmp_path, content):
    (tmp_path / "one/a").mkdir(parents=True)
    (tmp_path / "one/a/x.png").write_bytes(content)
    with pytest.raises(DataError, match=r"one/a/x.png: expected an image .*: replace or remove it"):
        one(tmp_path)


@sampling(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "PPM", "WEBP"]), st.data())
def test_a_damaged_image_is_an_image_or_a_data_error(tmp_path, kind, data):
    content = bytearray(encoded(kind))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, min(len(content), 400) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / "one/a").mkdir(parents=True, exist_ok=True)
    (tmp_path / "one/a/x.png").write_bytes(bytes(content))
    try:
        x = one(tmp_path, size=4, max_pixels=10**6)
    except DataError as error:
        assert "x.png" in str(error)
    else:
        assert x.shape == (3, 4, 4)


def test_a_file_that_cannot_be_opened_is_named(tmp_path):
    (tmp_path / "one/a").mkdir(parents=True)
    (tmp_path / "one/a/gone.png").symlink_to(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"gone.png: cannot be read as an image \(No such file"):
        one(tmp_path)


def test_a_file_that_changes_between_two_looks_is_a_data_error(pets, monkeypatch):
    survey = images._surveyed
    monkeypatch.setattr(images, "_surveyed", lambda found, *_, **__: (survey(found[:1], 99, one_size=True)[0], (9, 9)))
    monkeypatch.setattr(images, "pixels", lambda *_: np.zeros((3, 4, 6)))
    with pytest.raises(DataError, match=r"0.bmp: expected shape \(3, 9, 9\), got \(3, 4, 6\): the file has"):
        datasets.image_folder(pets, test_fraction=0)


def test_folders_without_classes_or_images_are_refused(tmp_path):
    with pytest.raises(DataError, match="nowhere: expected a folder of images, which cannot be read"):
        datasets.image_folder(tmp_path / "nowhere")
    save(tmp_path / "flat/a.png", flat(1))
    with pytest.raises(DataError, match="expected a sub-folder of images for each class, got none"):
        datasets.image_folder(tmp_path / "flat")
    (tmp_path / "flat/cat").mkdir()
    with pytest.raises(DataError, match=r"flat/cat: expected images \(bmp, .*\), got none"):
        datasets.image_folder(tmp_path / "flat")


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"path": ""}, "expected a path"),
        ({"path": 3}, "expected a path"),
        ({"mode": "CMYK"}, 'expected mode "RGB", "L" or None'),
        ({"size": "32"}, r"expected size to be \(H, W\)"),
        ({"size": (1, 2, 3)}, r"expected size to be \(H, W\)"),
        ({"size": (0, 5)}, "expected size to be an integer from 1"),
        ({"size": 2.5}, r"expected size to be \(H, W\)"),
        ({"test_fraction": 1}, "test_fraction"),
        ({"test_fraction": -0.1}, "test_fraction"),
        ({"seed": -1}, "seed"),
        ({"max_pixels": 0}, "max_pixels"),
    ],
)
def test_settings_that_make_no_sense_are_refused(pets, setting, words):
    with pytest.raises(ConfigError, match=words):
        datasets.image_folder(**{"path": pets, **setting})


def test_a_name_can_mean_a_folder(pets):
    data = datasets.load(f"folder:{pets}")
    np.testing.assert_array_equal(data.x_train, datasets.image_folder(pets).x_train)
    assert datasets.load(f"folder:9x5:{pets}").x_train.shape[1:] == (3, 9, 5)
    save(pets.parent / "grey/a/a.png", flat(3, channels=1))
    assert datasets.load(f"folder:{pets.parent}/grey").x_train.shape == (1, 1, 4, 6)
    for name in ("folder:", "folder:32x32:"):
        with pytest.raises(ConfigError, match="expected folder:PATH or folder:HEIGHTxWIDTH:PATH"):
            datasets.load(name)
    with pytest.raises(ConfigError, match="expected no data_dir beside 'folder:"):
        datasets.load(f"folder:{pets}", pets)


def test_without_pillow_the_error_says_how_to_get_it(pets, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.delitem(sys.modules, "PIL.Image")
    with pytest.raises(DataError, match=r"expected Pillow, .*: pip install 'xpcnn\[images\]'"):
        datasets.image_folder(pets)


def test_pillow_is_not_imported_before_it_is_needed():
    code = "import sys, xpcnn, xpcnn.data.images; sys.exit('PIL' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}).returncode == 0
