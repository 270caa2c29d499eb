"""The bundled digits: small, attributed, and cut from MNIST by a script that can be run again."""

import gzip
import hashlib
import importlib.util
from pathlib import Path

import numpy as np
import pytest

from xpcnn.data import catalogue, datasets, files

KNOWN = catalogue.SETS["mnist-mini"]
SCRIPT = Path(__file__).parents[2] / "tools" / "make_mnist_mini.py"


@pytest.fixture(scope="module")
def script():
    if not SCRIPT.is_file():
        pytest.skip("needs tools/make_mnist_mini.py of the source repository")
    spec = importlib.util.spec_from_file_location("make_mnist_mini", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_files_are_at_most_one_and_a_half_megabytes():
    sizes = [(files.BUNDLED / f"{file.name}.gz").stat().st_size for file in KNOWN.files]
    assert sum(sizes) == KNOWN.download_bytes <= 1_500_000
    assert sorted(p.name for p in files.BUNDLED.iterdir()) == sorted(
        ["README.md", *(f"{file.name}.gz" for file in KNOWN.files)]
    )


def test_the_files_carry_no_time_stamp_and_the_pinned_content():
    for file in KNOWN.files:
        packed = (files.BUNDLED / f"{file.name}.gz").read_bytes()
        content = gzip.decompress(packed)
        assert packed[3:8] == bytes(5), "no file name, no time"
        assert (hashlib.sha256(content).hexdigest(), len(content)) == (file.sha256, file.size)


def test_the_readme_beside_them_attributes_them():
    text = (files.BUNDLED / "README.md").read_text(encoding="utf-8")
    for words in [
        "Yann LeCun",
        "Corinna Cortes",
        "Attribution-ShareAlike 3.0",
        "creativecommons.org/licenses/by-sa/3.0",
    ]:
        assert words in text
    for file in KNOWN.files:
        assert file.sha256 in text


def test_the_choice_is_balanced_spread_and_in_the_order_of_the_file(script):
    labels = np.random.default_rng(0).integers(0, 10, 5000)
    chosen = script.choose(labels, 40)
    assert (np.diff(chosen) > 0).all()
    assert np.bincount(labels[chosen]).tolist() == [40] * 10
    for digit in range(10):
        of_class = np.flatnonzero(labels == digit)
        ranks = np.searchsorted(of_class, chosen[labels[chosen] == digit])
        assert ranks[0] == 0
        gaps = np.diff(ranks)
        assert gaps.max() - gaps.min() <= 1


def test_the_script_cuts_the_bundled_files_out_of_mnist(script, real_data, tmp_path, capsys):
    script.main([str(real_data), str(tmp_path)])
    printed = capsys.readouterr().out
    for file in KNOWN.files:
        ours = gzip.decompress((files.BUNDLED / f"{file.name}.gz").read_bytes())
        assert gzip.decompress((tmp_path / f"{file.name}.gz").read_bytes()) == ours
        assert file.sha256 in printed


def test_every_bundled_digit_is_one_of_mnist(real_data):
    mini, whole = datasets.load("mnist-mini"), datasets.load("mnist", real_data)
    for (x, y), (all_x, all_y) in zip(mini, whole, strict=True):
        known = {(image.tobytes(), label) for image, label in zip(all_x, all_y, strict=True)}
        assert all((image.tobytes(), label) in known for image, label in zip(x, y, strict=True))


def test_the_script_says_how_it_is_used_without_data(script, monkeypatch):
    monkeypatch.delenv("XPCNN_DATA_DIR", raising=False)
    with pytest.raises(SystemExit, match=r"python tools/make_mnist_mini.py"):
        script.main([])
