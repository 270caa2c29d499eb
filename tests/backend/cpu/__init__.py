"""Kernels for NumPy arrays: threads, memory, tiles and what is computed on them."""
