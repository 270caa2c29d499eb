"""
Teaching mode: one training step of a network, spelled out in formulas, shapes and numbers.

`record.py` makes the step, on a copy, and keeps what the layers computed; the files named after kinds of layers show it
(`registry.py` says which function shows which class); `page.py` says what can be shown, and `text.py` and `webpage.py`
print it.
"""

# they register themselves
from . import convolution, elementwise, meeting, norm, pooling, resizing, vectors
from .step import Explanation, explain_step

__all__ = [
    "Explanation",
    "convolution",
    "elementwise",
    "explain_step",
    "meeting",
    "norm",
    "pooling",
    "resizing",
    "vectors",
]
