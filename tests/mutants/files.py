"""Bugs in writing and reading files."""

from tests.mutants.mutant import Mutant

FAULTS, ARRAYS = "tests/faults/test_files.py", "tests/models/test_tensor_files.py"

MUTANTS = [
    Mutant("atomic: what dead processes left stays", "atomic.py",
           "        _sweep(target)\n        with _temporary(target) as (temporary, file):",
           "        with _temporary(target) as (temporary, file):", FAULTS),
    Mutant("atomic: temporaries of the living are removed", "atomic.py", "if _lock(handle, wait=False):",
           "if True:", FAULTS),
    Mutant("atomic: a temporary that was swept is written to", "atomic.py",
           "        if os.fstat(file.fileno()).st_nlink:\n", "        if True:\n", FAULTS),
    Mutant("atomic: a file that failed stays", "atomic.py",
           "        with contextlib.suppress(OSError):\n            os.unlink(path)\n", "", FAULTS),
    Mutant("atomic: the content is not flushed to the disk", "atomic.py",
           "            os.fsync(file.fileno())\n", "", "tests/models/test_files.py -k cannot_be_written"),
    Mutant("atomic: trying writes nothing", "atomic.py", '            file.write(b"\\0")\n', "", f"{FAULTS} -k F02"),
    Mutant("atomic: devices are replaced", "atomic.py", "    if not stat.S_ISREG(there.st_mode):",
           "    if False:", f"{FAULTS} -k pipe"),
    Mutant("model file: the checksum is not compared", "models/tensor_files.py",
           'if header.get("sha256") != _digest(arrays, header):', "if False:", FAULTS),
    Mutant("model file: arrays may overlap", "models/tensor_files.py", "        if place.start != end:",
           "        if False:", FAULTS),
    Mutant("model file: bytes behind the arrays are passed over", "models/tensor_files.py", "    if end != room:",
           "    if False:", FAULTS),
    Mutant("model file: a name may come twice", "models/tensor_files.py", "if len(found) < len(pairs):", "if False:",
           FAULTS),
    Mutant("model file: big-endian numbers are written as they are", "models/tensor_files.py",
           'dtype = a.dtype.newbyteorder("<")', "dtype = a.dtype", ARRAYS),
    Mutant("load: memory is asked for before shapes are compared", "models/state.py",
           "    with undrawn(hollow=True):", "    with undrawn():", FAULTS),
    Mutant("load: weights are drawn", "models/state.py", "    with undrawn():\n", "    if True:\n", ARRAYS),
    Mutant("load: NaN is taken", "models/files.py", "    if not allow_nonfinite and (names",
           "    if allow_nonfinite and (names", FAULTS),
    Mutant("load: any number of layers", "models/registry.py", "    if len(built) >= _MOST:", "    if False:", FAULTS),
    Mutant("load: frozen names are patterns", "models/files.py",
           "if not isinstance(frozen, list) or not set(own).issuperset(frozen):", "if False:", ARRAYS),
    Mutant("npy: an error of the tokenizer is not expected", "cli/images.py", "    tokenize.TokenError,\n", "",
           "tests/faults/test_fuzz.py"),
]  # fmt: skip
