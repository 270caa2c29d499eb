"""Model files that nobody's `save` wrote, with checksums that fit."""

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

from xpcnn import Linear, Sequential

CODES = {"<f4": "F32", "<f8": "F64", "<c8": "C64", "<i8": "I64", "|b1": "BOOL"}


def small() -> Sequential:
    """A model of three numbers."""
    return Sequential(Linear(2, 1), seed=1)


def description(architecture: Any, **changes: Any) -> dict[str, Any]:
    return {"format": 1, "architecture": architecture, "dtype": "float32", "seed": "1", "step": 0, **changes}


def linear(**changes: Any) -> dict[str, Any]:
    """The description of :func:`small`, with other settings of its layer."""
    layer = {"class": "Linear", "in_features": 2, "out_features": 1, "bias": True, "init": "he_normal", **changes}
    return {"class": "Sequential", "layers": [["0", layer]], "input_shape": None}


def small_arrays() -> dict[str, np.ndarray]:
    return {"0.weight": np.ones((1, 2), "f4"), "0.bias": np.zeros(1, "f4")}


def model_file(path: Path, header: Any, arrays: dict[str, np.ndarray] | None = None, text: str | None = None) -> Path:
    """A file of any description, or of any text in its place."""
    arrays = small_arrays() if arrays is None else arrays
    if text is None:
        digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
        for name in sorted(arrays):
            a = arrays[name]
            digest.update(f"{name} {a.dtype.str} {a.shape}\n".encode() + a.tobytes())
        text = json.dumps({**header, "sha256": digest.hexdigest()})
    table, at = {"__metadata__": {"xpcnn": text}}, 0
    for name, a in arrays.items():
        code = CODES[a.dtype.str]
        table[name] = {"dtype": code, "shape": list(a.shape), "data_offsets": [at, at + a.nbytes]}
        at += a.nbytes
    return raw_file(path, json.dumps(table).encode(), b"".join(a.tobytes() for a in arrays.values()))


def raw_file(path: Path, table: bytes, body: bytes = b"", length: int | None = None) -> Path:
    path.write_bytes(struct.pack("<Q", len(table) if length is None else length) + table + body)
    return path


def table_of(**entries: Any) -> bytes:
    """A table with a description that is right, and any entries."""
    header = json.dumps(description(linear()))
    return json.dumps({"__metadata__": {"xpcnn": header}, **entries}).encode()
