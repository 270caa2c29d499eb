"""What all losses share."""

import pytest

from xpcnn.layers.losses.base import Reduced
from xpcnn.layers.losses.classes import _Classes
from xpcnn.layers.losses.regression import Entrywise


@pytest.mark.parametrize("base", [Reduced, Entrywise, _Classes])
def test_a_loss_without_its_formula_cannot_be_made(base):
    class Half(base):
        pass

    with pytest.raises(TypeError, match=r"Half.*reduced"):
        Half()
