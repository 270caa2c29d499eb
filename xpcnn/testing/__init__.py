"""
For people who write layers: are my gradients right, and are these arrays the same?

``check_gradients`` compares a layer's backward pass with differences of its forward pass. The command
``xpcnn gradcheck`` does that for every layer and loss of xpcnn, with the settings of :mod:`xpcnn.testing.cases`.
"""

from .close import assert_close
from .gradients import GradientError, check_gradients, check_loss_gradients

__all__ = ["GradientError", "assert_close", "check_gradients", "check_loss_gradients"]
