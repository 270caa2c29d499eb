"""All planted bugs."""

from tests.mutants import cpu, cuda, layers, optimizers, training

MUTANTS = (*cpu.MUTANTS, *cuda.MUTANTS, *layers.MUTANTS, *optimizers.MUTANTS, *training.MUTANTS)
