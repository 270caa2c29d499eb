"""What README and docs say runs: every Python block, every printed output; and every link leads somewhere."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from xpcnn.data.catalogue import SETS

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]

# reads blocks from stdin, runs them in one namespace, and answers with what each printed
RUNNER = """
import contextlib, io, json, sys
answers, names = [], {"__name__": "__main__"}
for line, block in json.load(sys.stdin):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile("\\n" * line + block, "page", "exec"), names)
    answers.append(out.getvalue())
print(json.dumps(answers))
"""


class Block(NamedTuple):
    """A fenced block: where its text begins, its language, its text, and whether nothing but space stands before it."""

    line: int
    language: str
    text: str
    follows: bool


def blocks(page):
    text = page.read_text(encoding="utf-8")
    end, found = 0, []
    for match in re.finditer(r"^```(\w*)\n(.*?)^```$", text, flags=re.M | re.S):
        line = text.count("\n", 0, match.start(2))
        follows = bool(found) and not text[end : match.start()].strip()
        found.append(Block(line, match[1], match[2], follows))
        end = match.end()
    return found


def python_blocks(page):
    return [block for block in blocks(page) if block.language == "python"]


def outputs(page):
    """The text that a page prints below each of its Python blocks, or None."""
    found = blocks(page)
    for block, after in zip(found, [*found[1:], None], strict=True):
        if block.language == "python":
            yield after.text if after and after.follows and after.language == "text" else None


def run(page, folder):
    """What each Python block of a page prints."""
    path = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", RUNNER],
        input=json.dumps([(block.line, block.text) for block in python_blocks(page)]),
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path), "XPCNN_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def anchor(heading):
    """How GitHub names a heading in links."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def without_blocks(page):
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)


def test_the_example_of_the_readme_reads_digits(tmp_path):
    (printed,) = run(README, tmp_path)
    accuracy = float(re.search(r"'accuracy': ([\d.]+)", printed)[1])
    assert accuracy > 0.9
    answers, labels = re.search(r"(\[[\d ]+\]) should be (\[[\d ]+\])", printed).groups()
    assert labels == "[7 2 1 0 4]"
    assert len(answers) == len(labels)
    assert list(tmp_path.iterdir()) == []


def test_the_readme_is_one_screen_and_its_example_twelve_lines():
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 60
    (example,) = python_blocks(README)
    assert len([line for line in example.text.splitlines() if line.strip()]) <= 12


@pytest.mark.parametrize("command", ["pip install . && xpcnn train", "pip install '.[test]' && pytest"])
def test_the_two_commands_of_the_readme_stand_alone_in_a_line(command):
    lines = [line for block in blocks(README) if block.language == "sh" for line in block.text.splitlines()]
    assert lines.count(command) == 1


@pytest.mark.parametrize("page", [p for p in PAGES if p != README and python_blocks(p)], ids=lambda page: page.name)
def test_the_python_blocks_of_a_page_print_what_it_says(page, tmp_path):
    if any("array_api_strict" in block.text for block in python_blocks(page)):
        pytest.importorskip("array_api_strict")
    printed, expected = run(page, tmp_path), list(outputs(page))
    shown = [(text, said) for text, said in zip(printed, expected, strict=True) if said is not None]
    assert [text for text, _ in shown] == [said for _, said in shown]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", without_blocks(page)):
        if target.startswith("https://"):
            continue
        name, _, part = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.is_relative_to(ROOT)
        assert path.exists(), target
        if part:
            headings = re.findall(r"^#+ (.+)$", without_blocks(path), flags=re.M)
            assert part in map(anchor, headings), target


def test_the_page_on_data_has_every_digest_and_mirror():
    page = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    for known in SETS.values():
        for file in known.files:
            assert not file.sha256 or f"{file.sha256}  {file.name}\n" in page
            assert not file.packed or f"{file.packed}  {file.name}.gz\n" in page
        if known.archive is not None:
            assert f"{known.archive.sha256}  {known.archive.name}\n" in page
        for mirror in known.mirrors:
            assert f"`{mirror}`" in page


def test_the_page_on_cuda_has_every_reason_for_an_unavailable_device():
    page = (ROOT / "docs" / "cuda.md").read_text(encoding="utf-8")
    source = (ROOT / "xpcnn" / "backend" / "device.py").read_text(encoding="utf-8")
    reasons = re.findall(r"with step\((.+?),\s*(?:f?\"|_[A-Z]+\))", source)
    texts = [text for reason in reasons for text in re.findall(r'"([^"]+)"', reason)]
    assert len(texts) >= 8
    for text in texts:
        assert f"| {re.sub(r'{.+?}', '...', text)} |" in page
