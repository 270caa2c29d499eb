"""The text and the page: what they say, what they leave as it is, and what they refuse."""

import copy
from html.parser import HTMLParser

import numpy as np
import pytest

from tests.models import nets
from tests.namespaces import snapshot
from xpcnn import (
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    Layer,
    Linear,
    MaxPool2d,
    ReLU,
    Sequential,
    optimizers,
    register,
)
from xpcnn.backend import Key, normal
from xpcnn.errors import ConfigError, DtypeError, LabelError, NamespaceError, ShapeError
from xpcnn.models import Graph
from xpcnn.training import Trainer

GOLDEN = """\
One training step, explained
============================
model     Sequential of 2 layers, float64 on cpu, step 0
sample    0 of 1; x (1, 2), y = 1
loss      SoftmaxCrossEntropy = 0.6691
note      numbers are rounded to 4 digits; the model is as it was


FORWARD
-------

[0] Linear(2, 3)
    y[n, o] = sum_i x[n, i] w[o, i] + b[o]

                shape   smallest      mean  largest
    x           (1, 2)         1         2        3
    w (weight)  (3, 2)        -2  -0.04167        1
    b (bias)    (3,)          -1   -0.1667      0.5
    y           (1, 3)        -3   0.08333     1.75

    x[0]        w[2]
     [3]   1     [-1]    1
    y[0, 2] = b[2] + sum of 2 products = (-1) + (-1)*3 + 1*1 = -3

[1] ReLU()
    y = max(x, 0)

       shape   smallest     mean  largest
    x  (1, 3)        -3  0.08333     1.75
    y  (1, 3)         0    1.083     1.75

    y[0, 1] = max(1.75, 0) = 1.75
    y[0, 2] = max(-3, 0) = 0
"""

GOLDEN_END = """\
[0] Linear(2, 3), backward
    dx[n, i] = sum_o dy[n, o] w[o, i]
    dw[o, i] = sum_n dy[n, o] x[n, i],  db[o] = sum_n dy[n, o]

                 shape   smallest      mean  largest
    dy           (1, 3)   -0.4879  -0.02967   0.3989
    dx           (1, 2)   -0.9197   -0.3824   0.1549
    dw (weight)  (3, 2)    -1.464  -0.05933    1.197
    db (bias)    (3,)     -0.4879  -0.02967   0.3989

    dw[1, 0] = (-0.4879)*3 = -1.464
    db[1] = -0.4879
    dx[0, 1] = sum of 3 products = (-2)*0.3989 + 0.25*(-0.4879) + 1*0 = -0.9197


UPDATE
------

SGD, the parameter 0.weight
    v <- momentum v + g;  p <- p - lr v

                 shape    smallest       mean   largest
    0.weight     (3, 2)         -2   -0.04167         1
    d(0.weight)  (3, 2)     -1.464   -0.05933     1.197
    the change   (3, 2)  -0.001197  5.933e-05  0.001464

    0.weight[1, 0] is 0.5, its gradient -1.464, the learning rate 0.001
    0.weight[1, 0] = 0.5 - 0.001 * (-1.464) = 0.5015
"""


def test_the_text_of_a_tiny_net():
    model = Sequential(Linear(2, 3), ReLU(), dtype="float64")
    model.params["0.weight"] = np.asarray([[1.0, -2.0], [0.5, 0.25], [-1.0, 1.0]])
    model.params["0.bias"] = np.asarray([0.5, 0.0, -1.0])
    text = str(model.explain_step(np.asarray([[3.0, 1.0]]), np.asarray([1]), optimizer="sgd"))
    assert text.startswith(GOLDEN)
    assert text.endswith(GOLDEN_END)


@register
class Doubled(Layer):
    """Twice <b>x</b> & more."""

    def __init__(self, word="<script>alert('x')</script>"):
        self.word = word

    def forward(self, x, *, train=False):
        return x * 2.0, self.keep(x) if train else None

    def backward(self, dy, cache):
        self.recall(dy, cache)
        return dy * 2.0, {}


def small(**options):
    return Sequential(
        Conv2d(1, 3, 3, padding=1, bias=False),
        BatchNorm2d(3),
        ReLU(),
        MaxPool2d(2),
        Doubled("<i>"),
        Dropout(0.5),
        Flatten(),
        Linear(48, 4),
        **options,
    )


def images(n=1, dtype="float32", size=8):
    return normal((n, 1, size, size), Key(3, "x")).astype(dtype), np.arange(n) % 4


def test_everything_fits_into_100_columns():
    x, y = images(2)
    for digits, entries in ((4, 6), (17, 20), (1, 1)):
        text = str(small().explain_step(x, y, digits=digits, max_entries=entries, optimizer="adam"))
        assert max(map(len, text.splitlines())) <= 100


def test_a_layer_of_ones_own_shows_shapes_numbers_and_what_it_says_of_itself():
    text = str(small().explain_step(*images()))
    part = text[text.index("[4] Doubled(word='<i>')") :]
    assert "Twice <b>x</b> & more." in part[: part.index("[5]")]
    assert "x[0, 0]" in part[: part.index("[5]")]
    assert "y[0, 0]" in part[: part.index("[5]")]


class Checker(HTMLParser):
    """Every tag is closed, and none is there that was not meant."""

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.ids, self.links = [], set(), [], []

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        attrs = dict(attrs)
        self.ids += [attrs["id"]] if "id" in attrs else []
        self.links += [attrs["href"]] if "href" in attrs else []
        if tag not in ("meta", "br", "path"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag != "path":
            assert self.open.pop() == tag


def test_the_page_is_one_file_of_closed_tags_without_scripts_or_links_to_elsewhere():
    html = small().explain_step(*images(size=8), optimizer="sgd").html()
    page = Checker()
    page.feed(html)
    page.close()
    assert not page.open
    assert not page.seen & {"script", "link", "img", "iframe", "i", "b"}
    assert {"svg", "path", "table", "section", "style"} <= page.seen
    assert len(set(page.ids)) == len(page.ids)
    assert {link.removeprefix("#") for link in page.links} == set(page.ids)
    assert "http" not in html.replace("http-equiv", "")
    assert "&lt;i&gt;" in html
    assert "Twice &lt;b&gt;x&lt;/b&gt; &amp; more." in html


def test_the_page_holds_the_lines_of_the_text(tmp_path):
    explanation = small().explain_step(*images())
    explanation.save_html(tmp_path / "step.html")
    html = (tmp_path / "step.html").read_text(encoding="utf-8")
    assert html == explanation.html()
    assert html.count("<svg") == 1 + 6 * 3 + 6 * 3 + 1  # the image, then channels, forward and backward
    text = " ".join(str(explanation).split())
    for line in (line for line in html.split("<p>")[2:] if "&" not in line):
        assert " ".join(line.partition("</p>")[0].split()) in text


def test_a_notebook_gets_the_page_in_a_frame():
    shown = small().explain_step(*images())._repr_html_()
    assert shown.startswith('<iframe srcdoc="&lt;!DOCTYPE html&gt;')
    assert shown.count('"') == 4


def test_lines_are_escaped():
    from xpcnn.training.explain.page import Line
    from xpcnn.training.explain.webpage import _block

    assert list(_block(Line("<b>&"), 4)) == ["<p>&lt;b&gt;&amp;</p>\n"]


def test_pictures_have_a_shade_for_every_pixel():
    from xpcnn.training.explain.webpage import _svg

    picture = _svg([[0.0, 1.0, 1.0], [-1.0, 0.5, 0.0]])
    assert 'viewBox="0 0 3 2"' in picture
    assert 'd="M1 0h2v1h-2z"' in picture  # two equal neighbours are one run
    assert picture.count("<path") == 3
    assert "#1d2430" in _svg([[1.0, 0.0]])  # where nothing is negative the shades are grey


@pytest.mark.parametrize("optimizer", [None, "adam"])
def test_nothing_is_changed(optimizer):
    model, (x, y) = small(seed=5), images(2)
    rule = None if optimizer is None else optimizers.get(optimizer)
    model.fit(x, y, optimizer=rule or "sgd", verbose=0)
    before, step = snapshot(model), model.step
    state = {} if rule is None else {k: v.copy() for k, v in rule.state["0.weight"].items()}
    attributes = [set(vars(layer)) for layer in (model, *model.children.values())]
    model.explain_step(x, y, optimizer=rule)
    assert snapshot(model) == before
    assert model.step == step
    assert [set(vars(layer)) for layer in (model, *model.children.values())] == attributes
    if rule is not None:
        assert rule.steps == 1
        assert all(np.array_equal(rule.state["0.weight"][k], v) for k, v in state.items())


def test_it_shows_the_step_that_training_makes_next():
    """The same dropout mask, and so the same loss and gradients."""
    model, (x, y) = small(seed=2), images(3)
    Trainer(model, optimizer="sgd").step(x, y)
    explanation = model.explain_step(x, y, digits=9, optimizer="sgd")
    (entry,) = (e for e in explanation.entries if e.path == "update")
    twin = copy.deepcopy(model)
    value = float(Trainer(twin, optimizer="sgd").step(x, y))
    assert f"SoftmaxCrossEntropy = {value:.9g}" in str(explanation)
    assert entry.real == float(twin.params[entry.array][entry.place])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_library_tells_the_same(space, dtype):
    model, (x, y) = small(dtype=dtype), images(2, dtype)
    expected = model.explain_step(x, y, digits=3).entries
    there = small(dtype=dtype).to(like=space.asarray(np.zeros(1)))
    found = there.explain_step(space.asarray(x), space.asarray(y), digits=3).entries
    assert [e[:3] for e in found] == [e[:3] for e in expected]
    tolerance = 1e-9 if dtype == "float64" else 1e-3
    for one, other in zip(found, expected, strict=True):
        assert one.real == pytest.approx(other.real, rel=tolerance, abs=tolerance)
        assert one.said == pytest.approx(one.real, rel=tolerance, abs=tolerance)


def test_nested_and_branching_networks_name_their_layers():
    text = str(nets.nested().explain_step(normal((3, 2, 6, 6), Key(0)).astype("float32"), np.asarray([0, 1, 2])))
    for title in (
        "[stem] Conv2d",
        "[2.body.again] Conv2d",
        "[2] Residual, backward",
        "[3.1.0] AvgPool2d",
        "[3] Concat",
    ):
        assert f"\n{title}" in text


def test_where_one_output_has_several_users_their_gradients_are_added():
    from xpcnn import Add, GlobalMaxPool2d

    nodes = {"a": (Conv2d(1, 2, 3), "input"), "b": (ReLU(), "a"), "s": (Add(), "a", "b"), "p": (GlobalMaxPool2d(), "s")}
    explanation = Graph(nodes).explain_step(*images(2))
    (entry,) = (e for e in explanation.entries if e.array == "d(a)")
    assert entry.said == pytest.approx(entry.real)
    assert "s takes a, b" in str(explanation)


def test_frozen_parameters_have_no_gradient():
    text = str(small().freeze("0", "1").explain_step(*images(2)))
    assert "frozen, so without a gradient: weight, bias" in text
    assert "the running statistics are frozen" in text


@pytest.mark.parametrize(
    ("x", "y", "options", "error"),
    [
        (np.zeros((1, 8, 8, 1), "float32"), [0], {}, ShapeError),
        (np.zeros((1, 8, 8), "float32"), [0], {}, ShapeError),
        (np.zeros((1, 1, 8, 8)), [0], {}, DtypeError),
        (np.zeros((1, 1, 8, 8), "float32"), [4], {}, LabelError),
        (np.zeros((1, 1, 8, 8), "float32"), [0, 1], {}, LabelError),
        ([[0.0]], [0], {}, NamespaceError),
        (np.zeros((1, 1, 8, 8), "float32"), [0], {"sample": 1}, ConfigError),
        (np.zeros((1, 1, 8, 8), "float32"), [0], {"digits": 0}, ConfigError),
        (np.zeros((1, 1, 8, 8), "float32"), [0], {"max_entries": 0}, ConfigError),
        (np.zeros((1, 1, 8, 8), "float32"), [0], {"loss": "none"}, ConfigError),
        (np.zeros((1, 1, 8, 8), "float32"), [0], {"optimizer": "none"}, ConfigError),
    ],
)
def test_what_does_not_fit_is_refused(x, y, options, error):
    with pytest.raises(error, match="expected") as caught:
        small().explain_step(x, np.asarray(y), **options)
    if error in (ShapeError, DtypeError, NamespaceError):
        assert str(caught.value).startswith("explain_step: ")  # at the door, not in a layer


def test_one_value_for_each_channel_is_no_batch():
    model = Sequential(Linear(2, 2), BatchNorm1d(2))
    with pytest.raises(ShapeError, match="more than one value per channel"):
        model.explain_step(np.ones((1, 2), "float32"), np.asarray([0]))


def test_numbers_that_are_none_are_shown():
    x = np.asarray([[np.nan, np.inf, -1.0]], dtype="float32")
    explanation = Sequential(ReLU(), Linear(3, 2)).explain_step(x, np.asarray([0]))
    assert "nan" in str(explanation)
    assert "nan" in explanation.html()
