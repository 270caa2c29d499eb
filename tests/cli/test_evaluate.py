"""Evaluation from the command line."""

import dataclasses

import numpy as np
import pytest

import xpcnn as library


def test_it_prints_loss_accuracy_and_the_confusion_matrix(xpcnn, small, model_file):
    result = xpcnn("evaluate", model_file, "--device", "cpu")
    model = library.load(model_file)
    figures, labels = model.evaluate(small.x_test, small.y_test), model.predict(small.x_test)
    assert result.code == 0
    assert result.lines[-2:] == [f"test loss {figures['loss']:.4f}", f"test accuracy {figures['accuracy']:.4f}"]
    rows = [line.split() for line in result.lines[-12:-2]]
    expected = np.zeros((10, 10), dtype=int)
    np.add.at(expected, (small.y_test, labels), 1)
    assert [row[0] for row in rows] == [str(i) for i in range(10)]
    assert [[int(cell) for cell in row[1:]] for row in rows] == expected.tolist()


def test_json_holds_the_same(xpcnn, small, model_file):
    found = xpcnn("evaluate", model_file, "--json", "--batch-size", 30).json
    matrix = np.asarray(found["confusion_matrix"])
    assert matrix.sum() == found["images"] == len(small.y_test)
    assert np.trace(matrix) / matrix.sum() == found["test_accuracy"]
    assert matrix.sum(axis=1).tolist() == np.bincount(small.y_test, minlength=10).tolist()
    assert found["test_loss"] == pytest.approx(library.load(model_file).evaluate(*list(small)[1])["loss"], rel=1e-5)
    assert (found["dataset"], found["device"]) == ("mnist-mini", library.load(model_file, "auto").device)


def test_mirror_images_have_a_say(xpcnn, small, model_file):
    found = xpcnn("evaluate", model_file, "--json", "--mirror", "--device", "cpu").json
    model = library.load(model_file)
    p = (model.predict_proba(small.x_test) + model.predict_proba(small.x_test[:, :, :, ::-1].copy())) / 2.0
    assert found["mirror"] and not xpcnn("evaluate", model_file, "--json").json["mirror"]
    assert found["test_accuracy"] == (p.argmax(axis=1) == small.y_test).mean()
    assert found["test_loss"] == pytest.approx(-np.log(p[np.arange(len(p)), small.y_test]).mean(), rel=1e-5)
    assert np.trace(found["confusion_matrix"]) / len(p) == found["test_accuracy"]


def test_classes_with_names_are_named(xpcnn, small, model_file, monkeypatch):
    named = dataclasses.replace(small, classes=("T-shirt/top", *"123456789"))
    monkeypatch.setattr(library.datasets, "load", lambda *_: named)
    _, line = (line for line in xpcnn("evaluate", model_file).lines if line.split()[0] == "0")
    assert line.endswith("  T-shirt/top")


def test_a_network_may_know_more_classes_than_the_data(xpcnn, small, here):
    from xpcnn.layers import Flatten, Linear

    library.Sequential(Flatten(), Linear(784, 12), input_shape=(1, 28, 28)).save(here / "m")
    found = xpcnn("evaluate", "m", "--json").json
    assert np.shape(found["confusion_matrix"]) == (12, 12)


def test_a_network_for_other_images_exits_1(xpcnn, small, here):
    from xpcnn.layers import Flatten, Linear

    library.Sequential(Flatten(), Linear(3 * 784, 10), input_shape=(3, 28, 28)).save(here / "m")
    result = xpcnn("evaluate", "m", "--device", "cpu")
    assert result.code == 1
    text = "expected images of shape (3, 28, 28), got (1, 28, 28): this network wants 3 channel(s)"
    assert result.err.startswith(f"xpcnn: error: {text}")


def test_images_that_do_not_fit_are_refused_before_they_are_fetched(fails, monkeypatch, model_file):
    monkeypatch.setattr(library.datasets, "load", lambda *_: pytest.fail("the data set was loaded"))
    line = fails(1, "evaluate", model_file, "--dataset", "cifar10", "--device", "cpu")
    assert "expected images of shape (1, 28, 28), got (3, 32, 32)" in line


def test_a_missing_file_exits_1(fails):
    fails(1, "evaluate", "no.safetensors", words=["no.safetensors", "No such file"])


@pytest.mark.parametrize("content", [b"", b"not a model", b"\xff" * 100])
def test_a_foreign_file_exits_1(fails, here, content):
    (here / "m.safetensors").write_bytes(content)
    fails(1, "evaluate", "m.safetensors", words="m.safetensors")


def test_a_folder_for_a_file_exits_1(fails, here):
    fails(1, "evaluate", here, words=here)


def test_a_damaged_file_exits_1(fails, here, model_file):
    content = bytearray(model_file.read_bytes())
    content[-1000] ^= 1
    (here / "m").write_bytes(content)
    fails(1, "evaluate", "m", words=["m", "checksum"])
    (here / "m").write_bytes(content[:5000])
    fails(1, "evaluate", "m", words="m")


def test_wrong_options_exit_2(fails, model_file):
    fails(2, "evaluate", model_file, "--batch-size", 0, words="--batch-size")
    fails(2, "evaluate", model_file, "--device", "gpu", words="gpu")
    fails(2, "evaluate", model_file, "--dataset", "nine", words="nine")


def test_missing_data_exits_1(xpcnn, fails, model_file, tmp_path):
    fails(1, "evaluate", model_file, "--dataset", "mnist", "--data-dir", tmp_path, words=tmp_path)
    assert xpcnn("evaluate", model_file, "--dataset", "mnist").code == 1
