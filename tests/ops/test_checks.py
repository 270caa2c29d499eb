"""What ops say to arrays that do not go together."""

import re

import numpy as np
import pytest

from xpcnn import Flatten, Linear, Sequential, Trainer
from xpcnn.errors import DtypeError
from xpcnn.ops import linear
from xpcnn.ops.checks import common


def test_a_model_of_another_dtype_says_how_to_convert_x_and_what_else_there_is():
    text = (
        "Linear: expected weight and x of one dtype, got float32 and float64: convert x, as in x.astype('float32'), "
        "or make the model with dtype='float64' (layer '0' of Sequential)"
    )
    with pytest.raises(DtypeError, match=f"^{re.escape(text)}$"):
        Sequential(Linear(2, 2))(np.ones((2, 2)))


def test_a_model_cannot_be_of_any_dtype():
    with pytest.raises(DtypeError, match=r"convert x, as in x.astype\('float32'\) \(layer '0' of Sequential\)$"):
        Sequential(Linear(2, 2))(np.ones((2, 2), "float16"))


WAYS = {
    "strict": ("xp.astype(x, xp.float32)", lambda x, xp: xp.astype(x, xp.float32)),
    "torch": ("x.to(torch.float32)", lambda x, torch: x.to(torch.float32)),
}


def test_the_conversion_is_that_of_the_library(space):
    x, w = (space.asarray(np.ones((2, 2)), dtype) for dtype in ("float64", "float32"))
    shown, convert = WAYS.get(space.name, ("x.astype('float32')", lambda x, _: x.astype("float32")))
    text = re.escape(f": convert x, as in {shown}, or make the model with dtype='float64'")
    with pytest.raises(DtypeError, match=f"{text}$"):
        linear(x, w)
    assert linear(convert(x, space.xp), w).shape == (2, 2)


def test_arrays_that_are_no_parameters_are_converted_themselves():
    text = "A: expected dy and x of one dtype, got float32 and float64: convert dy, as in dy.astype('float64')"
    with pytest.raises(DtypeError, match=f"^{re.escape(text)}$"):
        common("A", x=np.ones(2), dy=np.ones(2, "float32"))


def test_a_parameter_that_is_no_floating_number_is_what_is_wrong():
    with pytest.raises(DtypeError, match=r": convert weight, as in weight\.astype\('float64'\)$"):
        common("A", x=np.ones(2), weight=np.ones(2, "int64"))


def test_a_step_of_a_trainer_says_it_too():
    trainer = Trainer(Sequential(Flatten(), Linear(2, 2)))
    text = "Trainer.step: expected x of the model's dtype float32, got float64: convert it, as in x.astype('float32')"
    with pytest.raises(DtypeError, match=f"^{re.escape(text)}$"):
        trainer.step(np.ones((2, 2)), np.zeros(2, "int64"))
