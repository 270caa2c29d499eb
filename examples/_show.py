"""What the examples share: the options, a table, and a picture where matplotlib is installed."""

import argparse


def options(doc, seed=False):
    """A parser for ``--plot``, and for ``--seed`` if there is chance in the example; its docstring is the help."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plot", metavar="FILE.png", help="save a picture; needs matplotlib")
    if seed:
        parser.add_argument("--seed", type=int, default=0, help="of weights, orders and masks (default: 0)")
    return parser


def table(heads, rows):
    """Print rows of texts below their heads: the first column to the left, the others to the right."""
    rows = [[str(cell) for cell in row] for row in [heads, *rows]]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        first, *others = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join([row[0].ljust(len(first)), *others]))


def picture(path, draw, width=10.0, height=4.0):
    """Let `draw` fill a figure of this size in inches and save it; without a path or matplotlib say how to get it."""
    if path is None:
        print("\nFor a picture: --plot FILE.png, which needs matplotlib: pip install 'xpcnn[plot]'")
        return
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print("\nNo picture: matplotlib is not installed: pip install 'xpcnn[plot]'")
        return
    figure = Figure(figsize=(width, height), layout="constrained")
    draw(figure)
    figure.savefig(path, dpi=120)
    print(f"\npicture: {path}")
