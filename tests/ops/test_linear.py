"""The affine map: arrays that do not belong together are refused in both directions."""

import numpy as np
import pytest

from xpcnn import ops
from xpcnn.errors import ConfigError, ShapeError


@pytest.mark.parametrize("x, w", [((2, 5), (3, 4)), ((2, 4, 1), (3, 4)), ((2, 4), (3, 4, 1)), ((0, 4), (3, 4))])
def test_backward_refuses_what_forward_refuses(x, w):
    x, w = np.ones(x), np.ones(w)
    with pytest.raises(ShapeError, match="Linear: expected"):
        ops.linear(x, w)
    with pytest.raises(ShapeError, match="Linear: expected"):
        ops.linear_backward(np.ones((2, 3)), x, w)


def test_the_layer_that_would_fit_is_named():
    with pytest.raises(ShapeError, match=r"of shape \(N, 4\), got \(2, 5\): Linear\(5, 3\) would fit"):
        ops.linear(np.ones((2, 5)), np.ones((3, 4)))


@pytest.mark.parametrize("groups", ["1", 1.0, True, 0, None])
def test_groups_of_a_convolution_are_a_count(groups):
    with pytest.raises(ConfigError, match="Conv2d: expected groups to be an integer of at least 1, got"):
        ops.conv2d(np.ones((1, 1, 3, 3)), np.ones((1, 1, 2, 2)), groups=groups)
