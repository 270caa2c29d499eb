"""Measure, print the table and the worst cases; exit 1 where a bar is missed."""

import sys
import time

from tests.accuracy.cases import all_cases
from tests.accuracy.measure import Row, geometric_mean, measure

MEAN_BAR, WORST_BAR = 1.0, 2.0


def table(rows: list[Row]) -> str:
    """Markdown: a line for each family, and one for all."""
    lines = ["| family | arrays | geometric mean | worst | at least as good |", "|---|---|---|---|---|"]
    families = dict.fromkeys(row.family for row in rows)
    for family, part in [*((f, [row for row in rows if row.family == f]) for f in families), ("**all**", rows)]:
        better = sum(row.ratio <= 1.0 for row in part)
        worst = max(row.ratio for row in part)
        figures = f"{geometric_mean(part):.2f} | {worst:.2f} | {better / len(part):.0%}"
        lines.append(f"| {family} | {len(part)} | {figures} |")
    return "\n".join(lines)


def main(families: list[str]) -> int:
    started = time.perf_counter()
    rows = measure([hard for hard in all_cases() if not families or hard.family in families])
    print(table(rows))
    print("\nlargest ratios:")
    for row in sorted(rows, key=lambda row: -row.ratio)[:15]:
        print(f"{row.ratio:6.2f}  ours {row.ours:.1e}  PyTorch {row.torchs:.1e}  {row.array} of {row.name}")
    mean, worst = geometric_mean(rows), max(row.ratio for row in rows)
    seconds = time.perf_counter() - started
    print(f"\n{len(rows)} arrays in {seconds:.0f} s: geometric mean {mean:.3f}, worst {worst:.2f}")
    return 0 if mean <= MEAN_BAR and worst <= WORST_BAR else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
