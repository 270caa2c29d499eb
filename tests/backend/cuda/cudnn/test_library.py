"""Loading cuDNN, and its handles."""

import logging
from types import SimpleNamespace

import pytest

from xpcnn.backend.cuda.cudnn import library, versions


def test_the_handle_follows_the_current_stream_and_is_made_once(gpu):
    first = library.handle()
    with gpu.cuda.Stream(non_blocking=True) as stream:
        assert library.handle() == first
        assert gpu.cudnn.streams == {first: stream.ptr}
    library.handle()
    assert gpu.cudnn.streams == {first: 0}
    assert gpu.cudnn.handles == 1


def test_versions_are_named(gpu):
    assert versions() == {"nvidia-cudnn-frontend": "1.24.1", "cudnn": "9.19.0"}


@pytest.mark.parametrize("missing", ["cuda.pathfinder", "cudnn"])
def test_what_is_missing_is_said_once_with_the_way_to_mend_it(monkeypatch, caplog, missing):
    def load(name):
        if name == missing:
            message = f"No module named {name!r}"
            raise ModuleNotFoundError(message)
        return SimpleNamespace(load_nvidia_dynamic_lib=lambda lib: SimpleNamespace(abs_path="/nowhere/lib.so"))

    monkeypatch.setattr(library.importlib, "import_module", load)
    library.frontend.cache_clear()
    try:
        with caplog.at_level(logging.WARNING, "xpcnn"):
            assert library.frontend() is None
            assert versions() == {}
    finally:
        library.frontend.cache_clear()
    (record,) = caplog.records
    assert missing in record.getMessage()
    assert "pip install" in record.getMessage()


def test_all_parts_of_cudnn_are_loaded_from_one_folder(monkeypatch, tmp_path):
    for name in ("libcudnn.so.9", "libcudnn_ops.so.9", "libcudnn_cnn.so.9", "libother.so.9"):
        (tmp_path / name).touch()
    asked, loaded = [], []

    def load(name):
        asked.append(name)
        return SimpleNamespace(abs_path=str(tmp_path / "libcudnn.so.9"))

    monkeypatch.setattr(library.importlib, "import_module", lambda name: SimpleNamespace(load_nvidia_dynamic_lib=load))
    monkeypatch.setattr(library.ctypes, "CDLL", lambda path, mode: loaded.append((path, mode)))
    library._load_libraries()
    assert asked == ["cudart", "cudnn"]
    assert [path for path, _ in loaded] == sorted(str(p) for p in tmp_path.glob("libcudnn*"))
    assert {mode for _, mode in loaded} == {library.ctypes.RTLD_GLOBAL}
