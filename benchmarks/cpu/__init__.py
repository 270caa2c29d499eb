"""xpcnn beside PyTorch, deepnet and onnxruntime on the CPU: ``python -m benchmarks.cpu --help``."""
