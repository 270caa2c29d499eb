"""xpcnn beside PyTorch on a GPU."""
