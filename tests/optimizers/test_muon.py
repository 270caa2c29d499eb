"""Muon makes momenta orthogonal, on every namespace; what is no matrix is refused."""

import numpy as np
import pytest

from tests.optimizers.helpers import example, forbid_reading, hosted, placed
from xpcnn.backend import device_of
from xpcnn.errors import ShapeError
from xpcnn.optimizers import SGD, Muon, ParamGroups

SHAPES = {"0.weight": (3, 2, 2, 2), "1.weight": (2, 4), "2.weight": (5, 2), "3.weight": (4, 1, 3)}
CONVERGES = (1.5, -0.5, 0.0)  # Newton and Schulz' own cubic iteration, which goes on to 1


def weights(seed=0, dtype="float64"):
    return example(dtype, seed, SHAPES)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("nesterov", [False, True])
def test_every_namespace_gives_the_same_numbers(nesterov, dtype, place):
    ours, theirs = weights(dtype=dtype), placed(place, weights(dtype=dtype))
    settings = {"lr": 0.1, "nesterov": nesterov, "clip_value": 0.4, "clip_norm": 0.8}
    one, two = Muon(**settings), Muon(**settings)
    before = dict(theirs)
    for seed in (1, 2, 3):
        one.update(ours, weights(seed, dtype))
        two.update(theirs, placed(place, weights(seed, dtype)))
    for name, p in hosted(theirs).items():
        np.testing.assert_allclose(p, ours[name], rtol=0, atol=1e-12 if dtype == "float64" else 2e-5)
        assert theirs[name] is before[name]
        buffer = two.state[name]["momentum_buffer"]
        assert type(buffer) is type(theirs[name])
        assert device_of(buffer) == device_of(theirs[name])
        assert str(buffer.dtype).endswith(dtype)


def test_update_never_reads_the_device(monkeypatch):
    strict = pytest.importorskip("array_api_strict")
    params = {k: strict.asarray(x, device=strict.Device("device1")) for k, x in weights().items()}
    grads = {k: p + 1.0 for k, p in params.items()}
    forbid_reading(monkeypatch, params["0.weight"])
    opt = Muon(adjust_lr_fn="match_rms_adamw")
    for _ in range(2):
        opt.update(params, grads)


def test_gradients_are_never_modified_and_views_are_written_through():
    whole = {name: np.stack([p, p], axis=-1) for name, p in weights().items()}
    grads, plain = weights(1), weights()
    for g in grads.values():
        g.flags.writeable = False
    Muon().update({name: p[..., 0] for name, p in whole.items()}, grads)
    Muon().update(plain, weights(1))
    for name, p in plain.items():
        np.testing.assert_allclose(whole[name][..., 0], p, rtol=1e-13)
        np.testing.assert_array_equal(whole[name][..., 1], weights()[name])


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 4), (3, 2, 2, 2), (9, 2, 2, 2), (4, 1, 3)], ids=str)
def test_step_is_the_orthogonal_factor_of_the_momentum(shape):
    """By the singular value decomposition: U V' of U S V', times the scale."""
    g = example(seed=3, shapes={"w": shape})["w"]
    params = {"w": np.zeros(shape)}
    Muon(lr=1.0, weight_decay=0.0, ns_coefficients=CONVERGES, ns_steps=60).update(params, {"w": g})
    matrix = g.reshape(shape[0], -1)
    u, _, vt = np.linalg.svd(matrix, full_matrices=False)
    scale = max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5
    np.testing.assert_allclose(params["w"].reshape(matrix.shape), -scale * (u @ vt), atol=1e-10)


def test_default_polynomial_leaves_singular_values_near_one():
    g = example(seed=4, shapes={"w": (20, 30)})["w"]
    params = {"w": np.zeros((20, 30))}
    Muon(lr=1.0).update(params, {"w": g})
    values = np.linalg.svd(params["w"], compute_uv=False)
    assert values.min() > 0.6
    assert values.max() < 1.3


def test_step_does_not_depend_on_the_size_of_the_gradient():
    for size in (1e-3, 1e4):
        params = {"w": np.zeros((4, 6))}
        Muon(lr=1.0).update(params, {"w": size * example(seed=5, shapes={"w": (4, 6)})["w"]})
        assert np.abs(np.linalg.svd(params["w"], compute_uv=False) - 1.0).max() < 0.4


def test_zero_gradient_is_a_finite_step():
    params = {"w": np.ones((2, 3))}
    Muon(lr=0.5, weight_decay=0.5).update(params, {"w": np.zeros((2, 3))})
    np.testing.assert_array_equal(params["w"], np.full((2, 3), 0.75))


@pytest.mark.parametrize("shape", [(), (3,)])
def test_bias_is_refused_before_anything_changes_and_the_error_names_the_way_out(shape):
    params, opt = {"0.weight": np.ones((2, 2)), "0.bias": np.ones(shape)}, Muon()
    with pytest.raises(ShapeError, match=r"Muon: expected parameter '0.bias' of at least two axes.*ParamGroups"):
        opt.update(params, {name: np.ones_like(p) for name, p in params.items()})
    assert opt.steps == 0
    assert opt.state == {}
    assert params["0.weight"].tolist() == [[1.0, 1.0], [1.0, 1.0]]
    groups = ParamGroups({"ndim>=2": Muon()}, rest=SGD(lr=1.0))
    groups.update(params, {name: np.ones_like(p) for name, p in params.items()})
    assert (params["0.bias"] == 0.0).all()


@pytest.mark.oracle
def test_torch_in_bfloat16_is_near():
    """torch_answers are of PyTorch with the rounding to bfloat16 taken out; with it, one digit is left."""
    torch = pytest.importorskip("torch")
    g = example(seed=6, shapes={"w": (4, 6)})["w"]
    theirs = torch.nn.Parameter(torch.zeros(4, 6, dtype=torch.float64))
    theirs.grad = torch.asarray(g)
    torch.optim.Muon([theirs], lr=1.0).step()
    ours = {"w": np.zeros((4, 6))}
    Muon(lr=1.0).update(ours, {"w": g})
    np.testing.assert_allclose(ours["w"], theirs.detach().numpy(), atol=0.1)
