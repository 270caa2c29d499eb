"""
Look into a wheel: its size, what must be in it, what must not.

python tools/check_wheel.py WHEEL
"""

import re
import sys
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

LIMIT = 2_000_000
DATA_LIMIT = 1_500_000
DIGITS = [f"{part}-{what}-ubyte.gz" for part in ("train", "t10k") for what in ("images-idx3", "labels-idx1")]
NEEDED = ["xpcnn/py.typed", "xpcnn/data/mnist_mini/README.md", *(f"xpcnn/data/mnist_mini/{name}" for name in DIGITS)]
CUDA = ("adaptive_pool", "avg_pool", "bias", "cross_entropy", "draws", "dropout", "loss_scale", "norm", "pool")
CUDA += ("ranks", "sampling", "sums", "tally")
HEADERS = [f"xpcnn/backend/cuda/{name}.cuh" for name in ("narrow", "philox")]
KERNELS = [*HEADERS, *(f"xpcnn/backend/cuda/{name}.cu" for name in CUDA)]
ALLOWED = r"xpcnn/(\w+/)*\w+\.py|xpcnn-[^/]+\.dist-info/.+"


def faults(wheel: Path) -> list[str]:
    """What is wrong with a wheel, one line each."""
    size = wheel.stat().st_size
    with ZipFile(wheel) as archive:
        names = archive.namelist()
        info = next(name.partition("/")[0] for name in names if ".dist-info/" in name)
        metadata = Parser().parsestr(archive.read(f"{info}/METADATA").decode())
        data = sum(i.compress_size for i in archive.infolist() if i.filename.startswith("xpcnn/data/mnist_mini/"))
        scripts = archive.read(f"{info}/entry_points.txt").decode() if f"{info}/entry_points.txt" in names else ""

    found = []
    if size >= LIMIT:
        found.append(f"expected less than {LIMIT:,} bytes, got {size:,}")
    if data > DATA_LIMIT:
        found.append(f"expected at most {DATA_LIMIT:,} bytes of mnist-mini, got {data:,}")
    if not wheel.name.endswith("-py3-none-any.whl"):
        found.append(f"expected a pure Python wheel, got {wheel.name}")
    needed = [*NEEDED, *KERNELS, f"{info}/licenses/LICENSE", f"{info}/licenses/xpcnn/data/mnist_mini/README.md"]
    found += [f"missing: {name}" for name in needed if name not in names]
    found += [f"unexpected: {name}" for name in names if name not in needed and not re.fullmatch(ALLOWED, name)]
    if "xpcnn = xpcnn.cli:main" not in scripts:
        found.append("missing: console script xpcnn")
    if metadata["License-Expression"] != "MIT AND CC-BY-SA-3.0":
        found.append(f"expected License-Expression MIT AND CC-BY-SA-3.0, got {metadata['License-Expression']}")
    print(f"{wheel.name}: {size:,} bytes, {len(names)} files, {data:,} bytes of them mnist-mini")
    return found


if __name__ == "__main__":
    sys.exit("\n".join(faults(Path(sys.argv[1]))) or None)
