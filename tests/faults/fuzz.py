"""
Bytes that nobody would write, for everything that reads a file.

    python -m tests.faults.fuzz [TARGET ...] [--inputs 100000] [--seed 0] [--own]

Each target is a function of bytes that ends in a result or in an error of `xpcnn.errors`; anything else, a warning too,
is a bug, whose input is printed. With atheris installed (``pip install atheris``) inputs are led by the lines that they
reach, else (or with ``--own``) they are mutations of the seeds. Models are mutated by their structure: the bytes choose
what is changed in the description, the table or the file, and whether the checksum is made to fit again.
"""

import argparse
import atexit
import contextlib
import gzip
import hashlib
import io
import json
import os
import random
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

SLOWEST = 5.0  # seconds that one input may take


class Choices:
    """Decisions read from bytes; zeros when they run out."""

    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    def below(self, n: int) -> int:
        word = self.data[self.at : self.at + 2]
        self.at += 2
        return int.from_bytes(word, "little") % n

    def one(self, values):
        return values[self.below(len(values))]


class Folder:
    """One file of one name, written anew for each input; in memory where the system has such a place."""

    def __init__(self):
        base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        made = tempfile.mkdtemp(dir=base)
        atexit.register(shutil.rmtree, made, ignore_errors=True)
        self.path = Path(made) / "input"

    def put(self, data: bytes) -> Path:
        self.path.write_bytes(data)
        return self.path


# idx, plain and compressed


def idx_seeds():
    for code, width in ((8, 1), (9, 1), (0x0B, 2), (0x0C, 4), (0x0D, 4), (0x0E, 8)):
        for shape in ((3,), (2, 3), (2, 0, 4), (1, 2, 2)):
            count = 1
            for size in shape:
                count *= size
            yield struct.pack(f">BBBB{len(shape)}I", 0, 0, code, len(shape), *shape) + bytes(count * width)


def make_idx():
    from xpcnn.data import read_idx

    return lambda data: read_idx(data, max_bytes=1 << 22)


def gz_seeds():
    for data in idx_seeds():
        yield gzip.compress(data, mtime=0)
    yield gzip.compress(bytes([0, 0, 8, 1, 0, 15, 0, 0]) + bytes(1 << 20), mtime=0)


def make_gz():
    """Half of the inputs are compressed here, so that not all fail at their checksums."""
    read = make_idx()
    return lambda data: read(data if data[:2] == b"\x1f\x8b" else gzip.compress(data, 1, mtime=0))


# CIFAR's records


def cifar_seeds():
    record = bytes([7]) + bytes(range(12))
    yield from (record * 5, record * 4, record * 5 + b"\0", record * 3 + bytes([10]) + record[1:] * 2, b"")


def make_cifar():
    from dataclasses import replace

    from xpcnn.data import catalogue, reading
    from xpcnn.data.described import DataFile

    files = (DataFile("a.bin", "", 39), DataFile("b.bin", "", 26))
    known = replace(
        catalogue.SETS["cifar10"], files=files, archive=None, train_shape=(3, 3, 2, 2), test_shape=(2, 3, 2, 2)
    )

    def take(data):
        reader = reading._RecordFiles(known)
        # as a file of its own, and as one in an archive, whose length shows only at its end
        first, second = data[:39], data[39:]
        reader.take(files[0], "a.bin", io.BytesIO(first), len(first))
        reader.take(files[1], "b.bin", io.BytesIO(second))
        return reader.arrays()

    return take


# images of the command line: idx and NumPy's files; and pictures in folders


def npy_seeds():
    import numpy as np

    for a in (np.zeros((2, 28, 28), "u1"), np.zeros((1, 1, 28, 28), ">f4"), np.zeros((28, 28), "f8", order="F")):
        file = io.BytesIO()
        np.save(file, a)
        yield file.getvalue()
    yield b"\0\0\x08\x03\0\0\0\1\0\0\0\x1c\0\0\0\x1c" + bytes(784)


def make_npy():
    from xpcnn import Flatten, Linear, Sequential
    from xpcnn.cli.images import read_images

    model, folder = Sequential(Flatten(), Linear(784, 2), input_shape=(1, 28, 28)), Folder()
    return lambda data: read_images(str(folder.put(data)), model)


def picture_seeds():
    from PIL import Image

    for kind, mode in (("PNG", "RGB"), ("PNG", "P"), ("PNG", "I;16"), ("JPEG", "RGB"), ("JPEG", "CMYK"), ("GIF", "P"),
                       ("BMP", "RGB"), ("PPM", "L"), ("TIFF", "RGBA"), ("WEBP", "RGB")):  # fmt: skip
        file = io.BytesIO()
        Image.new(mode, (5, 4)).save(file, kind)
        yield file.getvalue()


def make_picture():
    from xpcnn.data import pictures

    folder = Folder()

    def look(data):
        path = folder.put(data)
        with pictures.opened(path, 1 << 16) as picture:
            pictures.upright_size(picture)
            pictures.is_grey(picture)
            return pictures.pixels(picture, "RGB", (4, 4), path)

    return look


# model files


_ODD = (
    0, -1, 1, 2, 3, 2**31, 2**32, 2**53, 2**62, 2**63 - 1, 2**63, 2**64, 10**29, 10**400, 0.5, -0.0, 1e308, 1e-320,
    float("nan"), float("inf"), "", "a", "../../etc/passwd", "x" * 5000, "\ud800", "\0", None, True, False, [], {},
    [[]], [None], [2**40, 2**40], {"same": 0}, {"same": -1}, {"same": 10**9}, {"class": "Linear"},
    {"class": "Linear", "in_features": 10**9, "out_features": 10**9, "bias": True, "init": "he_normal"},
    {"class": "Conv2d", "in_channels": 1, "out_channels": 10**12, "kernel_size": [1, 1], "init": "orthogonal"},
    {"class": "BatchNorm2d", "num_features": 10**12}, {"class": "Dropout", "p": 2}, {"class": "os.system"},
    {"class": "Upsample", "scale_factor": 10**9}, {"class": "ZeroPad2d", "padding": 10**15},
    {"class": "Residual", "body": {"same": 0}, "shortcut": None}, "Sequential", "Graph", "float16", "float64", "int8",
    "orthogonal:nan", "constant:1e999", "same", "F64", "BF16", "I64", "BOOL",
)  # fmt: skip


def _models():
    from tests.models import nets

    yield nets.plain(seed=3)
    yield nets.branching(seed=2**63)
    yield nets.nested(dtype="float64").freeze("stem")


def _places(value, found):
    """All containers with a key of theirs: where something can be changed."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        found.append((value, key))
        _places(inner, found)
    return found


def change(value, choices):
    """One change somewhere in what JSON can hold."""
    import copy

    places = _places(value, [])
    if not places:
        return choices.one(_ODD)
    inside, key = choices.one(places)
    kind = choices.below(6)
    if kind <= 2:
        inside[key] = copy.deepcopy(choices.one(_ODD))
    elif kind == 3:
        del inside[key]
    elif kind == 4:  # something from elsewhere
        there, other = choices.one(places)
        if (isinstance(there, dict) and other in there) or (isinstance(there, list) and other < len(there)):
            inside[key] = copy.deepcopy(there[other])
    elif isinstance(inside, dict):
        inside[str(choices.one(_ODD))[:50]] = inside[key]
    else:
        inside.insert(choices.below(len(inside) + 1), copy.deepcopy(inside[key]))
    return value


def model_file(data: bytes, bases) -> bytes:
    """The file that the bytes describe: which model, what is changed, and whether the checksum fits again."""
    choices = Choices(data)
    table, header, body = (json.loads(text) if i < 2 else text for i, text in enumerate(choices.one(bases)))
    level = choices.below(8)
    for _ in range(1 + choices.below(3)):
        if level <= 3:
            header = change(header, choices)
        elif level <= 5:
            table = change(table, choices)
    if level == 6 and body:
        place = choices.below(len(body))
        body = body[:place] + bytes([choices.below(256)]) + body[place + choices.below(9) :]
    try:
        return _assembled(table, header, body, fit=choices.below(4) > 0, raw=choices if level == 7 else None)
    except (RecursionError, ValueError):
        return b""


def _assembled(table, header, body, *, fit, raw):
    import safetensors.numpy
    from safetensors import SafetensorError

    from xpcnn.models import tensor_files

    if fit and isinstance(header, dict) and isinstance(table, dict):
        text = json.dumps(table).encode()
        with contextlib.suppress(SafetensorError, KeyError, ValueError):  # what cannot be read has no checksum
            arrays = safetensors.numpy.load(struct.pack("<Q", len(text)) + text + body)
            header["sha256"] = tensor_files._digest(arrays, json.loads(json.dumps(header)))
    if isinstance(table, dict):
        table = {"__metadata__": {"xpcnn": json.dumps(header)}, **table}
    text = json.dumps(table).encode()
    whole = bytearray(struct.pack("<Q", len(text)) + text + body)
    if raw is not None:
        for _ in range(1 + raw.below(4)):
            kind, place = raw.below(4), raw.below(len(whole) or 1)
            if kind == 0 and whole:
                whole[place] ^= 1 << raw.below(8)
            elif kind == 1:
                del whole[place:]
            elif kind == 2:
                whole[place:place] = bytes([raw.below(256)]) * raw.below(40)
            elif whole:
                whole[:8] = struct.pack("<Q", raw.one([0, 1, 2, 2**63, 2**64 - 1, len(text) + 1, 10**8, 10**8 + 1]))
    return bytes(whole)


def bases():
    """The table, the description and the arrays of some models' files."""
    folder, found = Folder(), []
    for model in _models():
        model.save(folder.path)
        whole = folder.path.read_bytes()
        length = int.from_bytes(whole[:8], "little")
        table = json.loads(whole[8 : 8 + length])
        header = table.pop("__metadata__")["xpcnn"]
        found.append((json.dumps(table), header, whole[8 + length :]))
    return found


def model_seeds():
    draw = random.Random(1)
    for _ in range(40):
        yield draw.randbytes(24)


def make_model():
    from xpcnn import load

    folder, files = Folder(), bases()
    return lambda data: load(folder.put(model_file(data, files)))


def raw_model_seeds():
    for table, header, body in bases():
        yield _assembled(json.loads(table), json.loads(header), body, fit=True, raw=None)


def make_raw_model():
    from xpcnn import load

    folder = Folder()
    return lambda data: load(folder.put(data))


TARGETS = {
    "idx": (make_idx, idx_seeds),
    "idx.gz": (make_gz, gz_seeds),
    "cifar": (make_cifar, cifar_seeds),
    "npy": (make_npy, npy_seeds),
    "picture": (make_picture, picture_seeds),
    "model": (make_model, model_seeds),
    "model-bytes": (make_raw_model, raw_model_seeds),
}


class Judge:
    """Calls a target and counts how it ended."""

    def __init__(self, target: str):
        from xpcnn.errors import XpcnnError

        self.read, self.typed = TARGETS[target][0](), XpcnnError
        self.ends: Counter[str] = Counter()
        self.slowest = 0.0

    def __call__(self, data: bytes) -> str:
        start = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", ResourceWarning)
            try:
                self.read(data)
            except self.typed as error:
                end = type(error).__name__
                if not str(error):
                    raise AssertionError("an error without a text") from error
            else:
                end = "valid"
        self.slowest = max(self.slowest, time.perf_counter() - start)
        if self.slowest > SLOWEST:
            raise AssertionError(f"took {self.slowest:.1f} s")
        self.ends[end] += 1
        return end

    def report(self, target: str, seconds: float, how: str, before: int) -> str:
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        ends = ", ".join(f"{count:,} {end}" for end, count in self.ends.most_common())
        return (
            f"{target}: {sum(self.ends.values()):,} inputs in {seconds:.0f} s by {how}: {ends}; "
            f"slowest {1e3 * self.slowest:.0f} ms, memory +{grown:.0f} MB"
        )


_WORDS = (
    b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\0\0\0\1", b"\x1f\x8b\x08", b"\x93NUMPY",
)  # fmt: skip


def mutated(data: bytes, other: bytes, draw: random.Random) -> bytes:
    """Some changes of bytes, bits, lengths and order."""
    out = bytearray(data)
    for _ in range(1 + draw.randrange(4)):
        place = draw.randrange(len(out) + 1)
        end = min(len(out), place + draw.choice((1, 1, 2, 4, 8, 30)))
        kind = draw.randrange(7)
        if kind == 0 and place < len(out):
            out[place] ^= 1 << draw.randrange(8)
        elif kind == 1:
            out[place:end] = draw.randbytes(end - place)
        elif kind == 2:
            del out[place:end]
        elif kind == 3:
            out[place:place] = out[place:end]
        elif kind == 4:
            out[place : place + 4] = draw.choice(_WORDS)
        elif kind == 5:
            start = draw.randrange(len(other) + 1)
            out[place:] = other[start : start + 1000]
        else:
            del out[place:]
    return bytes(out)


def inputs(target: str, count: int, seed: int):
    """The seeds, then mutations of them."""
    draw = random.Random(f"{target} {seed}")
    known = list(TARGETS[target][1]())
    yield from known[:count]
    for _ in range(count - len(known)):
        if target == "model":
            yield draw.randbytes(40)
        else:
            yield mutated(draw.choice(known), draw.choice(known), draw)


def run_own(target: str, count: int, seed: int) -> int:
    judge = Judge(target)
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    for data in inputs(target, count, seed):
        try:
            judge(data)
        except Exception as error:
            print(f"{target}: {type(error).__name__}: {error}\n  input {data[:2000].hex()}", flush=True)
            import traceback

            traceback.print_exc()
            return 1
    print(judge.report(target, time.perf_counter() - start, "mutation of seeds", before), flush=True)
    return 0


def run_atheris(target: str, count: int, seed: int) -> int:
    """In this process, which libFuzzer ends."""
    import atheris

    with atheris.instrument_imports(include=["xpcnn.data", "xpcnn.models", "xpcnn.cli.images", "xpcnn.settings"]):
        judge = Judge(target)
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    folder = tempfile.mkdtemp()
    for data in TARGETS[target][1]():
        (Path(folder) / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)

    def once(data: bytes) -> None:
        judge(bytes(data))
        if sum(judge.ends.values()) == count:
            print(judge.report(target, time.perf_counter() - start, "atheris", before), flush=True)
            os._exit(0)

    atheris.Setup(
        [sys.argv[0], folder, f"-seed={seed + 1}", f"-runs={2 * count}", "-max_len=4096", "-verbosity=0", "-timeout=30",
         "-rss_limit_mb=4096", f"-artifact_prefix={tempfile.gettempdir()}/fuzz-{target}-"],
        once,
    )  # fmt: skip
    atheris.Fuzz()
    return 1


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.fuzz")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; default: all")
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--own", action="store_true", help="mutations of seeds, even where atheris is installed")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if unknown := set(args.targets) - set(TARGETS):
        parser.error(f"expected targets of {', '.join(TARGETS)}, got {', '.join(unknown)}")
    if args.inside:
        return run_atheris(args.targets[0], args.inputs, args.seed)
    own = args.own
    try:
        import atheris  # noqa: F401
    except ImportError:
        own = True
    failed = 0
    for target in args.targets or TARGETS:
        if own:
            failed += run_own(target, args.inputs, args.seed)
        else:
            call = [sys.executable, "-m", "tests.faults.fuzz", target, "--inside", f"--inputs={args.inputs}"]
            failed += subprocess.run([*call, f"--seed={args.seed}"]).returncode != 0
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
