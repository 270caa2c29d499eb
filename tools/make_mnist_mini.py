"""
Cut mnist-mini, the data set that comes with xpcnn, out of MNIST.

    python tools/make_mnist_mini.py [FOLDER_OF_DATA [OUTPUT]]

FOLDER_OF_DATA holds ``mnist/`` and defaults to ``$XPCNN_DATA_DIR``; OUTPUT defaults to ``xpcnn/data/mnist_mini``.

Of each class 600 training and 100 test digits are taken at equal distances over the whole file, and keep the file's
order. The first ones would be a biased choice: MNIST's test file has the cleaner half of its writers in front. No
random number is involved, so the decompressed files come out byte for byte the same everywhere. The printed lines
belong into ``xpcnn/data/catalogue.py``.
"""

import gzip
import hashlib
import os
import struct
import sys
from pathlib import Path

import numpy as np

from xpcnn.data.catalogue import SETS
from xpcnn.data.idx import read_hashed

PER_CLASS = {"train": 600, "t10k": 100}


def choose(labels: np.ndarray, per_class: int) -> np.ndarray:
    """Indices, ascending, of `per_class` samples of each of the ten classes, spread evenly over the file."""
    chosen = []
    for digit in range(10):
        places = np.flatnonzero(labels == digit)
        chosen.append(places[np.arange(per_class) * len(places) // per_class])
    return np.sort(np.concatenate(chosen))


def encode(array: np.ndarray) -> bytes:
    """Content of an idx file of uint8."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def cut(data_dir: Path) -> dict[str, bytes]:
    """Decompressed content of the four files, by name."""
    arrays = {}
    for file in SETS["mnist"].files:
        arrays[file.name], digest = read_hashed(data_dir / "mnist" / f"{file.name}.gz")
        if digest != file.sha256:
            sys.exit(f"{file.name}.gz: expected SHA-256 {file.sha256}, got {digest}")
    contents = {}
    for part, per_class in PER_CLASS.items():
        keep = choose(arrays[f"{part}-labels-idx1-ubyte"], per_class)
        for name in (f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte"):
            contents[name] = encode(arrays[name][keep])
    return contents


def main(arguments: list[str]) -> None:
    """Write the four compressed files and print their digests and sizes."""
    source = arguments[0] if arguments else os.environ.get("XPCNN_DATA_DIR")
    if not source:
        sys.exit(__doc__)
    target = Path(arguments[1]) if len(arguments) > 1 else Path(__file__).parents[1] / "xpcnn/data/mnist_mini"
    total = 0
    for name, content in cut(Path(source)).items():
        packed = gzip.compress(content, 9, mtime=0)
        (target / f"{name}.gz").write_bytes(packed)
        total += len(packed)
        print(f'DataFile("{name}", "{hashlib.sha256(content).hexdigest()}", {len(content)}),')
    print(f"download_bytes={total},")


if __name__ == "__main__":
    main(sys.argv[1:])
