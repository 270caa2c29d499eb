"""All planted bugs."""

from tests.mutants import cpu, cuda, files, gpu, layers, optimizers, precision, reliability, training

_PARTS = (cpu, cuda, files, gpu, layers, optimizers, precision, reliability, training)
MUTANTS = tuple(mutant for part in _PARTS for mutant in part.MUTANTS)
