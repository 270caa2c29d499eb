"""All planted bugs."""

from tests.mutants import cpu, cuda, gpu, layers, optimizers, training

MUTANTS = (*cpu.MUTANTS, *cuda.MUTANTS, *gpu.MUTANTS, *layers.MUTANTS, *optimizers.MUTANTS, *training.MUTANTS)
