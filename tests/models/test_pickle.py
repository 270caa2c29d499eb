"""Models can be pickled, for the tools that want to (files for keeping are those of model.save)."""

import pickle

import numpy as np
import pytest

from tests.models.nets import branching, nested
from tests.namespaces import snapshot
from xpcnn.backend import Key, normal, resolve
from xpcnn.models import Model
from xpcnn.optimizers import Adam
from xpcnn.training import Trainer


@pytest.mark.parametrize("make", [nested, branching], ids=lambda make: make.__name__)
def test_a_pickled_model_goes_on_where_it_was(make, space):
    if space.name == "strict":
        pytest.skip("its arrays cannot be pickled")
    model = make(seed=4).to(like=space.asarray(np.zeros(1)))
    x, y = space.asarray(normal((4, 2, 6, 6), Key(0)), "float32"), space.asarray([0, 1, 2, 0])
    trainer = Trainer(model, optimizer=Adam(0.01))
    trainer.step(x, y)
    again = pickle.loads(pickle.dumps(trainer))
    assert snapshot(again.model) == snapshot(model)
    assert again.model.aliases == model.aliases
    assert again.model.device == model.device
    assert all(space.device.owns(p) for p in again.model.params.values())
    for one in (trainer, again):
        one.step(x, y)
    assert snapshot(again.model) == snapshot(model)


def test_a_pickled_device_is_the_same_place(space):
    if space.name == "strict":
        again = pickle.loads(pickle.dumps(space.device))
        assert (again.name, again.xp, str(again.native)) == (space.device.name, space.xp, str(space.device.native))
    else:
        assert pickle.loads(pickle.dumps(space.device)) == space.device
    assert pickle.loads(pickle.dumps(resolve("cpu"))) is resolve("cpu")


def test_pickled_parameters_are_a_plain_dict():
    params = nested().params
    again = pickle.loads(pickle.dumps(params))
    assert type(again) is dict
    assert all(np.array_equal(a, params[name]) for name, a in again.items())


@pytest.mark.parametrize("name", ["fit", "evaluate", "predict", "predict_proba", "explain_step"])
def test_a_method_can_be_pickled_and_errors_name_it_as_people_know_it(name):
    method = getattr(Model, name)
    assert pickle.loads(pickle.dumps(method)) is method
    with pytest.raises(TypeError, match=rf"^Model\.{name}\(\) got an unexpected keyword argument 'epoch'"):
        getattr(nested(), name)(epoch=3)
