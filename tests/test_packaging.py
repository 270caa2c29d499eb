"""What the package promises to those who install it and to those who read it."""

import ast
import importlib
import inspect
import pkgutil
import re
from importlib import metadata, resources
from pathlib import Path

import pytest

import xpcnn
import xpcnn.ops

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "xpcnn").rglob("*.py"))

CORE = {"numpy", "array-api-compat", "safetensors", "threadpoolctl", "tqdm", "pooch"}
LONGEST_FILE = 350

EXECUTES_DATA = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
EXECUTES_TEXT = {"eval", "exec", "compile", "__import__"}
UNSAFE_ATTRIBUTES = {"extractall", "system", "popen"}
UNSAFE_SETTINGS = {"shell", "allow_pickle"}


def modules():
    """Every module of the package but the one that runs when imported."""
    names = (m.name for m in pkgutil.walk_packages(xpcnn.__path__, "xpcnn."))
    return [xpcnn, *(importlib.import_module(name) for name in names if not name.endswith("__main__"))]


def called(function):
    """The name that a call is made by: ``extractall`` in ``archive.extractall()``."""
    return getattr(function, "id", getattr(function, "attr", ""))


def dangers(source):
    """What in a source can run code that comes from a file, a network or a user."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.partition(".")[0] in EXECUTES_DATA)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in EXECUTES_DATA:
            yield node.module
        elif isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id in EXECUTES_TEXT:
                yield node.func.id
            if isinstance(node.func, ast.Attribute) and node.func.attr in UNSAFE_ATTRIBUTES:
                yield node.func.attr
            for setting in node.keywords:
                off = isinstance(setting.value, ast.Constant) and setting.value.value is False
                if setting.arg in UNSAFE_SETTINGS and not off:
                    yield f"{called(node.func)}({setting.arg}=...)"


def public(module):
    """Functions and classes that a module offers: those in ``__all__``, or else its own without an underscore."""
    own = [name for name, thing in vars(module).items() if getattr(thing, "__module__", "") == module.__name__]
    names = getattr(module, "__all__", [name for name in own if not name.startswith("_")])
    things = {name: getattr(module, name) for name in names}
    things = {name: thing for name, thing in things.items() if not hasattr(thing, "__origin__")}  # aliases of types
    return {name: thing for name, thing in things.items() if inspect.isroutine(thing) or inspect.isclass(thing)}


# Metadata


@pytest.fixture(scope="module")
def project():
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 has no TOML reader")
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def distribution(requirement):
    """The distribution that a requirement names, as indexes spell it."""
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", requirement)[0]).lower()


def test_the_core_depends_on_six_distributions(project):
    assert {distribution(r) for r in project["dependencies"]} == CORE
    assert len(project["dependencies"]) == len(CORE)


def test_every_core_dependency_has_a_lower_bound_and_none_an_upper_one(project):
    for requirement in project["dependencies"]:
        assert re.fullmatch(r"[\w.-]+>=[\d.]+", requirement), requirement


def test_only_the_extra_oracle_pulls_pytorch(project):
    pulls = {name: {distribution(r) for r in group} for name, group in project["optional-dependencies"].items()}
    assert {name for name, group in pulls.items() if group & {"torch", "xpcnn"}} == {"oracle"}


def test_the_version_is_read_from_the_package(project):
    assert project["dynamic"] == ["version"]
    assert re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc|\.dev)\d+)?", xpcnn.__version__)


def test_an_installed_distribution_has_the_version_of_the_source():
    try:
        installed = metadata.version("xpcnn")
    except metadata.PackageNotFoundError:
        pytest.skip("runs from the sources: xpcnn is not installed")
    assert installed == xpcnn.__version__, "pip install again"


def test_the_console_script_is_there(project):
    module, _, name = project["scripts"]["xpcnn"].partition(":")
    assert callable(getattr(importlib.import_module(module), name))


def test_the_licence_covers_code_and_data(project):
    assert project["license"] == "MIT AND CC-BY-SA-3.0"
    text = " ".join((ROOT / "LICENSE").read_text(encoding="utf-8").split())
    for holder in ("the xpcnn developers", "Paras Dahal", "Yann LeCun and Corinna Cortes"):
        assert holder in text
    assert text.startswith("MIT License")
    assert "ShareAlike 3.0" in text
    for path in project["license-files"]:
        assert (ROOT / path).is_file()


def test_types_and_digits_travel_with_the_package():
    package = resources.files("xpcnn")
    assert package.joinpath("py.typed").is_file()
    digits = [f for f in package.joinpath("data", "mnist_mini").iterdir() if f.name.endswith("-ubyte.gz")]
    assert len(digits) == 4
    assert sum(len(f.read_bytes()) for f in digits) <= 1_500_000


# Safety


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_executes_what_it_reads(path):
    assert list(dangers(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import joblib.numpy_pickle as j",
        "eval(text)",
        "exec(text)",
        "archive.extractall(folder)",
        "os.system(line)",
        "subprocess.run(line, shell=True)",
        "subprocess.run(line, shell=flag)",
        "np.load(path, allow_pickle=True)",
    ],
)
def test_the_search_for_dangers_finds_them(source):
    assert len(list(dangers(source))) == 1


def test_the_search_for_dangers_lets_the_rest_pass():
    source = "import json\nre.compile(x)\nnp.load(p, allow_pickle=False)\nmodel.evaluate(x)\n'eval(text)'"
    assert list(dangers(source)) == []


# Reading


@pytest.mark.parametrize("module", modules(), ids=lambda module: module.__name__)
def test_everything_public_says_what_it_is(module):
    assert inspect.getdoc(module)
    for name, thing in public(module).items():
        assert inspect.getdoc(thing), name
        if inspect.isclass(thing):
            methods = {m: getattr(thing, m) for m in vars(thing) if not m.startswith("_")}
            assert [m for m, method in methods.items() if callable(method) and not inspect.getdoc(method)] == [], name


@pytest.mark.parametrize("module", [xpcnn, xpcnn.ops], ids=lambda module: module.__name__)
def test_everything_a_user_meets_first_shows_an_example(module):
    things = public(module)
    assert [name for name, thing in things.items() if ">>>" not in inspect.getdoc(thing)] == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_is_too_long_to_read_in_one_go(path):
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    assert sum(bool(line) and not line.startswith("#") for line in lines) <= LONGEST_FILE
