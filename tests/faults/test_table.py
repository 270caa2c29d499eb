"""docs/reliability.md names tests that there are, for each of the 48 cases."""

import re
from pathlib import Path

from tests.faults.test_files import FAULTS

ROOT = Path(__file__).parents[2]
ROWS = {
    int(match[1]): match[2]
    for match in re.finditer(
        r"^\| F(\d+) \|[^|]+\|([^|]+)\|$", (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8"), flags=re.M
    )
}


def test_every_case_has_a_row():
    assert list(ROWS) == list(range(1, 49))


def test_every_row_names_tests_that_there_are_or_says_why_not():
    for number, text in ROWS.items():
        named = re.findall(r"`(tests/[^`]+)`", text)
        assert named or "not applicable" in text, f"F{number}"
        for place in named:
            file, _, name = place.partition("::")
            source = (ROOT / file).read_text(encoding="utf-8")
            assert re.search(rf"^(def )?{name or 'def test_'}", source, flags=re.M), f"F{number}: {place}"


def test_every_case_of_the_table_is_told_in_the_docs():
    cases = {int(fault.case[1:3]) for fault in FAULTS}
    told = {number for number, text in ROWS.items() if "tests/faults/test_files.py::FAULTS" in text}
    assert cases == told
    assert len({fault.case for fault in FAULTS}) == len(FAULTS)
