"""
How far float32 results are from float64's, ours and PyTorch's: ``python -m tests.accuracy`` (needs torch, the extra
``oracle``).
"""
