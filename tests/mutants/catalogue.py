"""All planted bugs."""

from tests.mutants import layers, optimizers, training

MUTANTS = (*layers.MUTANTS, *optimizers.MUTANTS, *training.MUTANTS)
