"""All planted bugs."""

from tests.mutants import cpu, layers, optimizers, training

MUTANTS = (*cpu.MUTANTS, *layers.MUTANTS, *optimizers.MUTANTS, *training.MUTANTS)
