"""docs/reference.md names everything public."""

import re
from pathlib import Path

import pytest

import xpcnn
from xpcnn import layers, models, optimizers, training
from xpcnn.data import augment

PAGE = Path(__file__).parents[1] / "docs" / "reference.md"


MODULES = [xpcnn, layers, models, optimizers, training, augment]


@pytest.mark.parametrize("module", MODULES, ids=lambda m: m.__name__)
def test_every_public_name_is_on_the_page(module):
    words = set(re.findall(r"\w+", PAGE.read_text(encoding="utf-8")))
    assert set(module.__all__) <= words


def test_names_in_code_on_the_page_exist():
    text = PAGE.read_text(encoding="utf-8")
    tables = "\n".join(line.split("|")[1] for line in text.splitlines() if line.startswith("| `"))
    named = re.findall(r"`(?:optimizers\.)?([A-Z]\w+)", tables)
    known = {name for module in (layers, models, optimizers, training, augment) for name in module.__all__}
    assert len(named) > 80 and set(named) <= known


def test_variables_and_methods_for_the_cpu_are_on_the_page():
    text = PAGE.read_text(encoding="utf-8")
    for words in ("`$XPCNN_NUM_THREADS`", "`$XPCNN_KERNELS`", "model.explain(", "model.free_memory()"):
        assert words in text
