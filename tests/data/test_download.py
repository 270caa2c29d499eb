"""Downloads: from a web server on this machine, with everything that can go wrong on the way."""

import dataclasses
import errno
import gzip
import json
import os
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.data import archived
from xpcnn.data import catalogue, datasets, download
from xpcnn.errors import DataError, DownloadError

NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


TIMEOUTS = download.TIMEOUTS


def send(handler, body, status=200, **headers):
    handler.send_response(status)
    for name, value in {"Content_Length": len(body), **headers}.items():
        handler.send_header(name.replace("_", "-"), str(value))
    handler.end_headers()
    handler.wfile.write(body)


def serve(made):
    """Answer that sends the files of a tiny set."""
    return lambda handler, name: send(handler, gzip.compress(made.contents[name.removesuffix(".gz")]))


def not_found(handler, name):
    send(handler, b"<html>no such file</html>", 404)


def broken(handler, name):
    send(handler, b"", 500)


def cut_short(handler, name):
    send(handler, gzip.compress(b"")[:10], Content_Length=1000)


def web_page(handler, name):
    send(handler, b"<!DOCTYPE html><html>Sign in to the hotel's network</html>")


def endless(handler, name):
    handler.send_response(200)
    handler.end_headers()
    try:
        for _ in range(10_000):
            handler.wfile.write(bytes(10_000))
    except OSError:
        pass


def silent(handler, name):
    time.sleep(1)


@pytest.fixture
def mirrored(monkeypatch, tiny, server):
    """Function that gives the set "tiny" mirrors with the given answers, named after the functions."""

    def set_mirrors(*answers):
        mirrors = tuple(server.mirror(f"{i}{answer.__name__.strip('<>')}", answer) for i, answer in enumerate(answers))
        monkeypatch.setitem(catalogue.SETS, "tiny", dataclasses.replace(tiny.known, mirrors=mirrors))
        return mirrors

    return set_mirrors


@pytest.fixture
def cache(tmp_path):
    """The cache folder of the set "tiny"."""
    return tmp_path / "cache/xpcnn/tiny"


def test_a_set_is_fetched_into_the_cache_once(mirrored, tiny, server, cache):
    mirrored(serve(tiny))
    assert datasets.load("tiny").source == str(cache)
    assert sorted(p.name for p in cache.iterdir()) == sorted(f"{name}.gz" for name in NAMES)
    assert len(server.asked) == 4
    assert datasets.load("tiny").x_train.shape == (6, 1, 2, 3)
    assert len(server.asked) == 4


def test_only_missing_files_are_fetched(mirrored, tiny, server, cache):
    mirrored(serve(tiny))
    tiny.put(cache, skip=NAMES[2:])
    datasets.load("tiny")
    assert [path.rpartition("/")[2] for path in server.asked] == [f"{name}.gz" for name in NAMES[2:]]


def test_files_of_the_cache_are_for_everybody_who_may_read_new_files(mirrored, tiny, cache):
    mirrored(serve(tiny))
    datasets.load("tiny")
    probe = cache / "probe"
    probe.touch()
    assert {(cache / f"{name}.gz").stat().st_mode for name in NAMES} == {probe.stat().st_mode}


@pytest.mark.parametrize("failure", [not_found, broken, cut_short, web_page, endless])
def test_when_a_mirror_fails_the_next_one_serves(mirrored, tiny, server, cache, failure):
    mirrored(failure, serve(tiny))
    assert datasets.load("tiny").x_train.shape == (6, 1, 2, 3)
    assert sorted(p.name for p in cache.iterdir()) == sorted(f"{name}.gz" for name in NAMES)
    assert sum(failure.__name__ in path for path in server.asked) == 1, "a failing mirror is not asked first again"


def test_a_mirror_that_serves_another_set_under_the_same_names_is_passed_over(mirrored, tiny, other, cache):
    mirrored(serve(other), serve(tiny))
    assert datasets.load("tiny").x_train.shape == (6, 1, 2, 3)


def test_a_server_may_decompress_on_the_way(mirrored, tiny, cache):
    def decompressing(handler, name):
        send(handler, tiny.contents[name.removesuffix(".gz")])

    mirrored(decompressing)
    assert datasets.load("tiny").x_train.shape == (6, 1, 2, 3)
    assert sorted(p.name for p in cache.iterdir()) == sorted(NAMES)


def test_what_a_server_calls_an_encoding_is_not_undone(mirrored, tiny, cache):
    def naming(handler, name):
        send(handler, gzip.compress(tiny.contents[name.removesuffix(".gz")]), Content_Encoding="x-gzip")

    mirrored(naming)
    assert datasets.load("tiny").x_train.shape == (6, 1, 2, 3)
    assert sorted(p.name for p in cache.iterdir()) == sorted(f"{name}.gz" for name in NAMES)


def test_a_server_is_told_who_asks_and_that_nothing_should_be_encoded(mirrored, tiny):
    def picky(handler, name):
        known = handler.headers["User-Agent"] == "xpcnn" and handler.headers["Accept-Encoding"] == "identity"
        (serve(tiny) if known else not_found)(handler, name)

    mirrored(picky)
    assert datasets.load("tiny").x_train.shape == (6, 1, 2, 3)


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (not_found, "404 Client Error"),
        (broken, "500 Server Error"),
        (cut_short, "IncompleteRead|Connection broken"),
        (web_page, "a web page"),
        (endless, "it sends more than 65,588 bytes"),
    ],
)
def test_when_all_mirrors_fail_the_error_says_why_and_what_to_do(mirrored, cache, failure, reason):
    mirrors = mirrored(failure, not_found)
    with pytest.raises(DownloadError, match=f"{mirrors[0]}{NAMES[0]}.gz: .*({reason})") as error:
        datasets.load("tiny")
    text = str(error.value)
    assert re.search(f"{mirrors[1]}{NAMES[0]}.gz: .*404", text)
    assert f"put these files into {cache}, or all 4 of them into $XPCNN_DATA_DIR/tiny:" in text
    assert all(f"\n  {name}.gz" in text for name in NAMES)
    assert list(cache.iterdir()) == [], "nothing partial is left"


def test_a_wrong_digest_is_reported_with_what_was_served_instead(mirrored, other, cache):
    mirrored(serve(other))
    with pytest.raises(DownloadError, match=f"this is {NAMES[0]} of other"):
        datasets.load("tiny")
    assert list(cache.iterdir()) == []


def test_files_that_did_arrive_stay_and_only_the_others_are_asked_for(mirrored, tiny, cache):
    def half(handler, name):
        (serve(tiny) if name.startswith("train") else not_found)(handler, name)

    mirrored(half)
    with pytest.raises(DownloadError) as error:
        datasets.load("tiny")
    assert sorted(p.name for p in cache.iterdir()) == [f"{NAMES[0]}.gz", f"{NAMES[1]}.gz"]
    assert str(error.value).endswith(f":\n  {NAMES[2]}.gz\n  {NAMES[3]}.gz")


def test_nobody_listening_is_a_download_error(monkeypatch, tiny):
    known = dataclasses.replace(tiny.known, mirrors=("http://127.0.0.1:9/",))
    monkeypatch.setitem(catalogue.SETS, "tiny", known)
    with pytest.raises(DownloadError, match="Connection refused"):
        datasets.load("tiny")


def test_a_malformed_address_is_a_download_error(monkeypatch, tiny):
    monkeypatch.setitem(catalogue.SETS, "tiny", dataclasses.replace(tiny.known, mirrors=("http:///",)))
    with pytest.raises(DownloadError, match="http:///train-images"):
        datasets.load("tiny")


def test_a_silent_server_is_given_up(monkeypatch, mirrored, tiny):
    monkeypatch.setattr(download, "TIMEOUTS", (0.2, 0.2))
    mirrored(silent)
    with pytest.raises(DownloadError, match="timed out"):
        datasets.load("tiny")
    assert all(0 < seconds <= 60 for seconds in TIMEOUTS)


def test_a_server_that_drips_is_given_up(monkeypatch, mirrored):
    monkeypatch.setattr(download, "DEADLINE", 0.0)

    def dripping(handler, name):
        handler.send_response(200)
        handler.end_headers()
        for _ in range(3):
            time.sleep(0.01)
            handler.wfile.write(b"x")
            handler.wfile.flush()

    mirrored(dripping)
    with pytest.raises(DownloadError, match="not done within 0 seconds"):
        datasets.load("tiny")


@pytest.mark.parametrize("value", ["1", "yes"])
def test_offline_forbids_downloads(monkeypatch, mirrored, tiny, server, value):
    monkeypatch.setenv("XPCNN_OFFLINE", value)
    mirrored(serve(tiny))
    with pytest.raises(DownloadError, match="XPCNN_OFFLINE is set, so no mirror was tried"):
        datasets.load("tiny")
    assert server.asked == []


@pytest.mark.parametrize("value", ["", "0"])
def test_offline_can_be_switched_off(monkeypatch, mirrored, tiny, value):
    monkeypatch.setenv("XPCNN_OFFLINE", value)
    mirrored(serve(tiny))
    datasets.load("tiny")


def test_a_cache_below_a_file_is_a_data_error_that_names_it(monkeypatch, mirrored, tiny, tmp_path, server):
    (tmp_path / "file").touch()
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    mirrored(serve(tiny))
    with pytest.raises(DataError, match=f"cannot write {tmp_path}/file/.cache/xpcnn/tiny .*: set XDG_CACHE_HOME"):
        datasets.load("tiny")
    assert server.asked == []


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
@pytest.mark.parametrize("existing", ["", ".cache/xpcnn/tiny"])
def test_a_read_only_home_is_a_data_error_that_names_the_cache(monkeypatch, mirrored, tiny, tmp_path, existing):
    home = tmp_path / "home"
    (home / existing).mkdir(parents=True)
    (home / existing).chmod(0o500)
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(home))
    mirrored(serve(tiny))
    with pytest.raises(DataError, match=f"cannot write {home}/.cache/xpcnn/tiny .Permission denied.: set XDG"):
        datasets.load("tiny")


def test_a_full_disk_is_not_blamed_on_the_mirrors(monkeypatch, mirrored, tiny, cache):
    class FullDisk:
        name = "part"

        def write(self, data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    sink = download._Sink
    monkeypatch.setattr(download, "_Sink", lambda file, limit: sink(FullDisk(), limit))
    mirrored(serve(tiny), serve(tiny))
    with pytest.raises(DataError, match=r"cannot write part \(No space left on device\)") as error:
        datasets.load("tiny")
    assert not isinstance(error.value, DownloadError)
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "location", "refused"),
    [
        ("https://a.example/x", "http://a.example/x", True),
        ("https://a.example/x", "ftp://a.example/x", True),
        ("https://a.example/x", "https://b.example/x", False),
        ("https://a.example/x", "/y", False),
        ("http://a.example/x", "http://b.example/x", False),
        ("http://a.example/x", "https://a.example/x", False),
    ],
)
def test_an_encrypted_transfer_is_not_redirected_to_an_open_one(url, location, refused):
    response = requests.Response()
    response.status_code, response.url, response.headers["location"] = 302, url, location
    if refused:
        with pytest.raises(OSError, match="which is not encrypted"):
            download._stay_secure(response)
    else:
        download._stay_secure(response)


def test_redirects_are_looked_at_and_followed(monkeypatch, mirrored, tiny, server):
    def moved(handler, name):
        send(handler, b"", 302, Location=f"{server.url}/target/{name}")

    seen = []
    monkeypatch.setattr(download, "_stay_secure", lambda response: seen.append(response.status_code))
    server.mirror("target", serve(tiny))
    mirrored(moved)
    datasets.load("tiny")
    assert seen == [302, 200] * 4


def test_mirrors_are_encrypted_where_there_is_a_choice_and_those_first():
    for known in catalogue.SETS.values():
        secure = [mirror.startswith("https://") for mirror in known.mirrors]
        assert secure == sorted(secure, reverse=True)
        assert all(mirror.endswith("/") for mirror in known.mirrors)
        assert known.bundled or secure[0]


def test_an_interrupted_transfer_leaves_nothing_behind(monkeypatch, mirrored, tiny, cache):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(download._Sink, "write", interrupt)
    mirrored(serve(tiny))
    with pytest.raises(KeyboardInterrupt):
        datasets.load("tiny")
    assert list(cache.iterdir()) == []


def test_a_part_left_by_a_killed_process_is_not_taken_for_a_file(mirrored, tiny, server, cache):
    cache.mkdir(parents=True)
    (cache / f".{NAMES[0]}.1.abc.part").write_bytes(b"half")
    mirrored(serve(tiny))
    datasets.load("tiny")
    assert len(server.asked) == 4


def test_a_terminal_gets_a_progress_bar_and_a_file_gets_none(monkeypatch, mirrored, tiny, capsys, cache):
    mirrored(serve(tiny))
    datasets.load("tiny")
    assert capsys.readouterr().err == ""
    for name in NAMES:
        (cache / f"{name}.gz").unlink()
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    datasets.load("tiny")
    assert NAMES[0] in capsys.readouterr().err


def test_two_threads_that_load_at_once_both_succeed(mirrored, tiny, cache):
    together = threading.Barrier(2, timeout=30)

    def when_both_asked(handler, name):
        if name.startswith(NAMES[0]):
            together.wait()
        serve(tiny)(handler, name)

    mirrored(when_both_asked)
    with ThreadPoolExecutor(2) as pool:
        loaded = list(pool.map(datasets.load, ["tiny", "tiny"]))
    assert [data.x_train.shape for data in loaded] == [(6, 1, 2, 3)] * 2
    assert sorted(p.name for p in cache.iterdir()) == sorted(f"{name}.gz" for name in NAMES)


SCRIPT = """
import json, sys
from xpcnn.data import catalogue, datasets
known = json.loads(sys.argv[1])
known["files"] = tuple(catalogue.DataFile(*file) for file in known["files"])
catalogue.SETS["tiny"] = catalogue.DataSet(**known)
print(datasets.load("tiny").x_train.shape)
"""


def test_two_processes_that_share_a_cache_both_succeed(mirrored, tiny, server, cache):
    together = threading.Barrier(2, timeout=30)

    def when_both_asked(handler, name):
        if name.startswith(NAMES[0]):
            together.wait()
        serve(tiny)(handler, name)

    mirrored(when_both_asked)
    known = json.dumps(dataclasses.asdict(catalogue.SETS["tiny"]))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    processes = [
        subprocess.Popen([sys.executable, "-c", SCRIPT, known], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in processes:
        assert process.communicate(timeout=60) == ("(6, 1, 2, 3)\n", None)
        assert process.returncode == 0
    assert sorted(p.name for p in cache.iterdir()) == sorted(f"{name}.gz" for name in NAMES)


def test_an_archive_is_fetched_whole_and_kept_as_it_is(monkeypatch, server, tmp_path):
    contents = archived.cifar_files("cifar10")
    archive = archived.tar(contents, archived.CIFAR10)

    def label_it_encoded(handler, name):
        send(handler, archive if name == "cifar-10-binary.tar.gz" else b"", Content_Encoding="x-gzip")

    known = archived.entry(catalogue.SETS["cifar10"], contents, archive)
    mirrors = (server.mirror("broken", cut_short), server.mirror("good", label_it_encoded))
    monkeypatch.setitem(catalogue.SETS, "cifar10", dataclasses.replace(known, mirrors=mirrors))
    folder = tmp_path / "cache/xpcnn/cifar10"
    archived.unpack(folder, {"data_batch_1.bin": contents["data_batch_1.bin"]})
    assert datasets.load("cifar10").x_train.shape == (20, 3, 32, 32)
    assert sorted(p.name for p in folder.iterdir()) == ["cifar-10-binary.tar.gz", "data_batch_1.bin"]
    assert len(server.asked) == 2
    datasets.load("cifar10")
    assert len(server.asked) == 2


def test_a_wrong_archive_never_gets_the_right_name(monkeypatch, server, tmp_path):
    contents = archived.cifar_files("cifar10")
    archive = archived.tar(contents, archived.CIFAR10)
    known = archived.entry(catalogue.SETS["cifar10"], contents, archive)
    changed = archive[:-1] + bytes([archive[-1] ^ 1])
    mirrors = (server.mirror("changed", lambda handler, _: send(handler, changed)),)
    monkeypatch.setitem(catalogue.SETS, "cifar10", dataclasses.replace(known, mirrors=mirrors))
    with pytest.raises(DownloadError, match=r"changed/cifar-10-binary.tar.gz: expected .* it is damaged") as error:
        datasets.load("cifar10")
    folder = tmp_path / "cache/xpcnn/cifar10"
    assert f"put these files into {folder}, or this file into $XPCNN_DATA_DIR/cifar10:\n" in str(error.value)
    assert list(folder.iterdir()) == []
