"""
Augmentation: batches of images changed at random, the same on every device and array library.

What happens to sample number `index` in an epoch depends on (seed, epoch, index) and on nothing else.
"""

from .base import Transform
from .color import ColorJitter, Normalize
from .compose import Compose
from .erase import Cutout, RandomErasing
from .mix import CutMix, MixUp
from .move import RandomCrop, RandomHorizontalFlip, RandomRotation, RandomShift, RandomVerticalFlip

__all__ = [
    "ColorJitter",
    "Compose",
    "CutMix",
    "Cutout",
    "MixUp",
    "Normalize",
    "RandomCrop",
    "RandomErasing",
    "RandomHorizontalFlip",
    "RandomRotation",
    "RandomShift",
    "RandomVerticalFlip",
    "Transform",
]
