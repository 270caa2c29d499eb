"""How many threads a command uses, and who says so."""

import pytest

import xpcnn as library
from xpcnn.models import Model

TRAIN = ("train", "--epochs", 1, "--device", "cpu", "--out", "here")


@pytest.fixture(autouse=True)
def default_threads(monkeypatch):
    monkeypatch.delenv("XPCNN_NUM_THREADS", raising=False)
    library.set_num_threads(None)
    yield
    library.set_num_threads(None)


@pytest.fixture
def used(monkeypatch):
    """The numbers of threads with which models were called."""
    forward, seen = Model.forward, set()

    def watched(self, *args, **options):
        seen.add(library.get_num_threads())
        return forward(self, *args, **options)

    monkeypatch.setattr(Model, "forward", watched)
    return seen


def test_train_evaluate_and_predict_use_as_many_threads_as_they_are_told(xpcnn, small, used):
    before = library.get_num_threads()
    for command in (
        [*TRAIN, "--json"],
        ["evaluate", "here/model.safetensors"],
        ["predict", "here/model.safetensors", "--dataset", "mnist-mini", "--limit", 3],
    ):
        result = xpcnn(*command, "--threads", 3)
        assert (result.code, used) == (0, {3}), result.err
        if command[0] == "train":
            assert result.json["options"]["threads"] == 3
        assert library.get_num_threads() == before
        used.clear()


def test_without_the_option_it_is_as_before(xpcnn, small, used):
    library.set_num_threads(5)
    assert xpcnn(*TRAIN).code == 0
    assert (used, library.get_num_threads()) == ({5}, 5)


def test_the_number_is_given_back_after_an_error(fails):
    library.set_num_threads(5)
    fails(1, "evaluate", "missing.safetensors", "--threads", 2)
    assert library.get_num_threads() == 5


@pytest.mark.parametrize("number", ["0", "1025", "-1", "two", "1.5"])
def test_a_number_that_is_none_is_refused(fails, here, number):
    line = fails(2, "train", f"--threads={number}")
    assert f"--threads: expected a whole number from 1 to 1024, got '{number}'" in line
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("command", [["train"], ["predict", "a", "b"], ["gradcheck"]])
def test_a_wrong_variable_is_one_line_and_nothing_is_done(fails, here, monkeypatch, command):
    monkeypatch.setenv("XPCNN_NUM_THREADS", "many")
    fails(2, *command, words="XPCNN_NUM_THREADS: expected an integer from 1 to 1024, got 'many'")
    assert list(here.iterdir()) == []


def test_a_process_of_its_own_obeys_the_variable_and_refuses_a_wrong_one(process):
    wrong = process("train", env={"XPCNN_NUM_THREADS": "0"})
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr == "xpcnn: error: XPCNN_NUM_THREADS: expected an integer from 1 to 1024, got '0'\n"


def test_results_do_not_depend_on_threads(xpcnn, small, here):
    one, two = (xpcnn(*TRAIN[:-1], f"out{n}", "--json", "--threads", n).json for n in (1, 2))
    assert one["history"] == two["history"]
    files = [(here / f"out{n}" / "model.safetensors").read_bytes() for n in (1, 2)]
    assert files[0] == files[1]
