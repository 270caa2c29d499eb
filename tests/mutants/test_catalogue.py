"""The planted bugs fit the sources; whether the suite notices them is for ``python -m tests.mutants``."""

import ast
from pathlib import Path

import pytest

import xpcnn
from tests.mutants.catalogue import MUTANTS

SOURCES = Path(xpcnn.__file__).parent


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.bug)
def test_the_text_is_there_once_and_the_bug_is_python(mutant):
    text = (SOURCES / mutant.file).read_text(encoding="utf-8")
    assert text.count(mutant.old) == 1
    if not mutant.file.endswith(".py"):
        return
    changed = ast.dump(ast.parse(text.replace(mutant.old, mutant.new)))
    assert changed != ast.dump(ast.parse(text)), "a bug in a comment is none"


def test_there_are_sixty_and_all_differ():
    assert len(MUTANTS) >= 60
    assert len({m.bug for m in MUTANTS}) == len(MUTANTS) == len({(m.file, m.old, m.new) for m in MUTANTS})
