"""Nothing in the package can run what a file, a network or a name in a file says: the sources are searched."""

import ast
import json
import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "xpcnn").rglob("*.py"))

EXECUTES_DATA = {
    "pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "runpy", "code", "jsonpickle",
}  # fmt: skip
EXECUTES_TEXT = {"eval", "exec", "compile", "__import__"}
UNSAFE_ATTRIBUTES = {"extractall", "system", "popen", "__import__", "unsafe_load", "full_load", "load_module"}
UNSAFE_SETTINGS = {"shell", "allow_pickle"}

# names that stand in tables of our own sources, each looked at
IMPORTED_BY_A_TABLE = {
    "backend/device.py": ["namespace"],
    "cli/gradcheck.py": ["name", "name"],
    "cli/machine.py": ["name.replace('-', '_')"],
    "data/pictures.py": ["f'PIL.{module}'"],
}


def dangers(source):
    """What in a source can run code that comes from a file, a network or a user."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.partition(".")[0] in EXECUTES_DATA)
        elif isinstance(node, ast.ImportFrom):
            if (node.module or "").partition(".")[0] in EXECUTES_DATA:
                yield node.module
            yield from (a.name for a in node.names if a.name in EXECUTES_TEXT | UNSAFE_ATTRIBUTES)
        elif isinstance(node, ast.Name) and node.id in EXECUTES_TEXT - {"compile"}:  # under another name too
            yield node.id
        elif isinstance(node, ast.Attribute) and node.attr in UNSAFE_ATTRIBUTES | {"eval", "exec"}:
            yield node.attr
        elif isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id == "compile":
                yield "compile"
            yield from _settings(node)


def _settings(call):
    for setting in call.keywords:
        off = isinstance(setting.value, ast.Constant) and setting.value.value is False
        if setting.arg in UNSAFE_SETTINGS and not off:
            yield f"{_called(call.func)}({setting.arg}=...)"
    owner = getattr(getattr(call.func, "value", None), "id", "")
    if owner == "yaml" and _called(call.func) == "load":
        yield "yaml.load"


def imported(source):
    """Expressions that decide at run time which module is imported."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and _called(node.func) == "import_module":
            name = node.args[0] if node.args else None
            if not (isinstance(name, ast.Constant) and isinstance(name.value, str)):
                yield ast.unparse(name) if name else "nothing"


def _called(function):
    """The name that a call is made by: ``extractall`` in ``archive.extractall()``."""
    return getattr(function, "id", getattr(function, "attr", ""))


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_executes_what_it_reads(path):
    assert list(dangers(path.read_text(encoding="utf-8"))) == []


def test_what_is_imported_stands_in_the_source():
    """Never in a file: what imports by a variable is in the table above."""
    texts = {str(path.relative_to(ROOT / "xpcnn")): path.read_text(encoding="utf-8") for path in SOURCES}
    found = {path: list(imported(text)) for path, text in texts.items()}
    assert {path: names for path, names in found.items() if names} == IMPORTED_BY_A_TABLE


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import os, pickle as safe",
        "from pickle import loads",
        "def f():\n    import marshal",
        "import shelve",
        "import joblib",
        "from dill.source import getsource",
        "eval(text)",
        "exec(text)",
        "compile(text, '', 'exec')",
        "run = exec",
        "import builtins; builtins.eval(text)",
        "from builtins import eval as read",
        "__import__(name)",
        "importlib.__import__(name)",
        "archive.extractall(folder)",
        "tarfile.open(path).extractall()",
        "os.system(line)",
        "from os import system",
        "os.popen(line)",
        "subprocess.run(line, shell=True)",
        "subprocess.run(line, shell=flag)",
        "np.load(path, allow_pickle=True)",
        "yaml.load(text)",
        "yaml.unsafe_load(text)",
    ],
)
def test_the_search_for_dangers_finds_them(source):
    assert len(list(dangers(source))) == 1


def test_the_search_for_dangers_lets_the_rest_pass():
    source = (
        "import json, os\nmodel.eval_mode = 1\nsubprocess.run(['ls'], shell=False)\nnp.load(p, allow_pickle=False)\n"
        "re.compile(pattern)\nyaml.safe_load(text)\nos.path.join(a)\nimport_module('numpy')\nplatform.system_name()"
    )
    assert list(dangers(source)) == []
    assert list(imported(source)) == []


@pytest.mark.parametrize(
    "source",
    ["importlib.import_module(name)", "import_module(header['class'])", "importlib.import_module(f'a.{b}')",
     "importlib.import_module(name='x')"],
)  # fmt: skip
def test_an_import_by_a_variable_is_found(source):
    assert len(list(imported(source))) == 1


def test_the_policy_says_what_a_reporter_needs():
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    for heading in ("Supported versions", "Reporting", "What is untrusted", "What is not", "Threats", "No pickle"):
        assert re.search(rf"^## {heading}", text, flags=re.M), heading


_FINE = {"name": "numpy", "version": "2.4", "vulns": []}
_HOLE = {"name": "pooch", "version": "1.0", "vulns": [{"id": "PYSEC-1"}]}
_UNKNOWN = {"name": "tqdm", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        ([_FINE], 0, "1 packages, none with a known hole"),
        ([_FINE, _HOLE], 1, "pooch 1.0: PYSEC-1"),
        ([_UNKNOWN, _HOLE], 1, "pooch 1.0: PYSEC-1"),
        ([_FINE, _UNKNOWN], 0, "SKIPPED: the index knows nothing of the holes of tqdm"),
        ([], 0, "SKIPPED"),
        (None, 0, "SKIPPED: pip-audit gives no answer (no network)"),
    ],
)
def test_the_audit_fails_for_a_hole_and_says_aloud_when_nobody_answers(tmp_path, answer, code, words):
    program = tmp_path / "pip-audit"
    said = "echo 'no network' >&2; exit 1" if answer is None else f"echo '{json.dumps({'dependencies': answer})}'"
    program.write_text(f"#!/bin/sh\n{said}\n", encoding="utf-8")
    program.chmod(0o755)
    audit = runpy.run_path(str(ROOT / "tools" / "audit.py"))["audit"]
    status, text = audit(str(program), "requirements.txt")
    assert status == code
    assert words in text
