"""Bugs in data, models' files and training."""

from tests.mutants.mutant import Mutant

MUTANTS = [
    Mutant("batches: every epoch has the order of the first", "data/batches.py",
           'permutation(n, Key(seed, "shuffle", step=epoch))', 'permutation(n, Key(seed, "shuffle", step=0))',
           "tests/data/test_batches.py"),
    Mutant("batches: the last batch is lost", "data/batches.py", "stop = n - n % batch_size if drop_last else n",
           "stop = n - n % batch_size", "tests/data/test_batches.py"),
    Mutant("state: values of the same name are not copied", "models/state.py", "copy=True) for name, (arrays, own)",
           "copy=False) for name, (arrays, own)", "tests/models/test_state.py"),
    Mutant("state: an error leaves new running statistics", "models/state.py", "buffers.update(old)", "pass",
           "tests/models tests/training tests/layers/test_norm.py"),
]
