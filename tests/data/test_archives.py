"""
Archives that hold what they should not. Their digests stand in the catalogue here, as otherwise nothing of them would
be looked at.
"""

import gzip
import re
import stat
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from tests.data import archived
from xpcnn.data import archives, catalogue, datasets
from xpcnn.errors import DataError


@pytest.fixture
def load(monkeypatch, tmp_path):
    """Function that loads a set from an archive, whose digest is put into the catalogue."""

    def loaded(name, contents, archive):
        known = archived.entry(catalogue.SETS[name], contents, archive)
        monkeypatch.setitem(catalogue.SETS, name, known)
        return datasets.load(name, archived.put(tmp_path / "archive", known, archive))

    return loaded


def member(name, content=b"", kind=tarfile.REGTYPE, **fields):
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(content) if kind == tarfile.REGTYPE else 0
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


INSIDE = f"{archived.CIFAR10}/data_batch_1.bin"
ODD = {
    "above": (member("../x", b"x"), "names below the archive's folder, got '../x'"),
    "above-in-the-middle": (member("a/../../x", b"x"), "names below"),
    "absolute": (member("/etc/x", b"x"), "names below"),
    "backslash": (member("..\\x", b"x"), "names below"),
    "link": (member("x", kind=tarfile.SYMTYPE, linkname="/etc/passwd"), "plain files, got 'x', which is a link"),
    "hard-link": (member("x", kind=tarfile.LNKTYPE, linkname=INSIDE), "which is a link"),
    "character-device": (member("x", kind=tarfile.CHRTYPE, devmajor=1, devminor=5), "which is a device"),
    "block-device": (member("x", kind=tarfile.BLKTYPE), "which is a device"),
    "pipe": (member("x", kind=tarfile.FIFOTYPE), "which is a device, pipe"),
    "duplicate": (member(INSIDE, b"x"), f"{INSIDE} once, got it twice"),
    "link-as-a-duplicate": (member(INSIDE, kind=tarfile.SYMTYPE, linkname="/etc/passwd"), "which is a link"),
}


@pytest.mark.parametrize("kind", ODD)
def test_an_odd_entry_is_refused_with_everything_else(load, kind):
    entry, reason = ODD[kind]
    contents = archived.cifar_files("cifar10")
    with pytest.raises(DataError, match=re.escape(reason) + ".*: do not use this archive"):
        load("cifar10", contents, archived.tar(contents, archived.CIFAR10, (entry,)))


@pytest.mark.parametrize(
    ("kind", "fields"),
    [(tarfile.SYMTYPE, {"linkname": "/etc/passwd"}), (tarfile.LNKTYPE, {"linkname": "x"}), (tarfile.DIRTYPE, {})],
)
def test_something_else_in_place_of_a_file_is_refused(load, kind, fields):
    contents = archived.cifar_files("cifar10")
    rest = {name: content for name, content in contents.items() if name != "data_batch_1.bin"}
    with pytest.raises(DataError, match=r"data_batch_1\.bin"):
        load("cifar10", contents, archived.tar(rest, archived.CIFAR10, (member(INSIDE, kind=kind, **fields),)))


@pytest.mark.parametrize("grown", [-1, 1, 3073])
def test_a_file_of_another_size_than_published_is_refused(load, grown):
    contents = archived.cifar_files("cifar10")
    content = contents["data_batch_5.bin"]
    other = {**contents, "data_batch_5.bin": content[:grown] if grown < 0 else content + bytes(grown)}
    with pytest.raises(DataError, match=r"data_batch_5.bin of 12,292 bytes, got 1\d,\d+: do not use"):
        load("cifar10", contents, archived.tar(other, archived.CIFAR10))


def test_files_in_another_folder_do_not_count(load):
    contents = archived.cifar_files("cifar10")
    with pytest.raises(DataError, match=r"expected 6 files of cifar10, missing in it: cifar-10-batches-bin/data_bat"):
        load("cifar10", contents, archived.tar(contents, "somewhere"))


def test_a_missing_batch_in_an_archive_is_named(load):
    contents = archived.cifar_files("cifar10")
    rest = {name: content for name, content in contents.items() if name != "data_batch_2.bin"}
    with pytest.raises(DataError, match=r"missing in it: cifar-10-batches-bin/data_batch_2.bin: fetch it again"):
        load("cifar10", contents, archived.tar(rest, archived.CIFAR10))


def plain_tar(contents):
    return bytearray(gzip.decompress(archived.tar(contents, archived.CIFAR10)))


@pytest.mark.parametrize("part", [0.1, 0.5, 0.75])
def test_a_tar_that_ends_early_is_refused(load, part):
    contents = archived.cifar_files("cifar10")
    whole = plain_tar(contents)
    with pytest.raises(DataError, match=r"truncated|missing in it|damaged"):
        load("cifar10", contents, gzip.compress(whole[: int(len(whole) * part)]))


@pytest.mark.parametrize("part", [0.01, 0.3, 0.6, 0.95])
def test_a_gzip_stream_that_ends_early_is_refused(load, part):
    contents = archived.cifar_files("cifar10")
    archive = archived.tar(contents, archived.CIFAR10)
    with pytest.raises(DataError, match="the gzip stream is truncated"):
        load("cifar10", contents, archive[: int(len(archive) * part)])


def test_a_damaged_header_is_refused(load):
    contents = archived.cifar_files("cifar10")
    whole = plain_tar(contents)
    whole[whole.index(b"data_batch_5.bin")] ^= 1
    with pytest.raises(DataError, match=r"damaged|missing in it"):
        load("cifar10", contents, gzip.compress(whole))


@pytest.mark.parametrize("content", [b"", b"PK\3\4", b"<html>no</html>", gzip.compress(b"no tar" * 1000)])
def test_something_else_than_an_archive_is_refused(load, content):
    contents = archived.cifar_files("cifar10")
    with pytest.raises(DataError, match=r"cifar-10-binary.tar.gz"):
        load("cifar10", contents, content)


def claim(info, size):
    """An entry that claims more than it holds."""
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT)


def test_a_huge_claim_costs_no_memory(load):
    contents = archived.cifar_files("cifar10")
    bomb = claim(member(INSIDE)[0], 1 << 40) + bytes(1 << 16)
    tracemalloc.start()
    with pytest.raises(DataError, match=r"12,292 bytes, got 1,099,511,627,776"):
        load("cifar10", contents, gzip.compress(bomb))
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_a_long_name_without_end_is_cut_off(load, kind):
    contents = archived.cifar_files("cifar10")
    bomb = claim(member("x", kind=kind)[0], 1 << 33) + bytes(40 << 20)
    tracemalloc.start()
    with pytest.raises(DataError, match=r"expected at most 1,122,328 bytes when decompressed, got more"):
        load("cifar10", contents, gzip.compress(bomb, 1))
    assert tracemalloc.get_traced_memory()[1] < 8e6
    tracemalloc.stop()


def test_an_unknown_file_that_inflates_without_end_is_cut_off(load):
    contents = archived.cifar_files("cifar10")
    archive = archived.tar(contents, archived.CIFAR10, (member("x", bytes(60 << 20)),))
    tracemalloc.start()
    with pytest.raises(DataError, match="when decompressed, got more: do not use it"):
        load("cifar10", contents, archive)
    assert tracemalloc.get_traced_memory()[1] < 8e6
    tracemalloc.stop()


@pytest.mark.parametrize("size", [12292, 1 << 40])
def test_a_sparse_file_is_refused(load, size):
    contents = archived.cifar_files("cifar10")
    rest = {name: content for name, content in contents.items() if name != "data_batch_1.bin"}
    info, content = member("x", b"1\n0\n512\n".ljust(512, b"\0") + bytes(512))
    info.pax_headers = {
        "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(size), "GNU.sparse.name": INSIDE
    }  # fmt: skip
    with pytest.raises(DataError, match="which is a device, pipe or sparse file: do not use"):
        load("cifar10", contents, archived.tar(rest, archived.CIFAR10, ((info, content),)))


def test_entries_without_end_are_cut_off(load, monkeypatch):
    monkeypatch.setattr(archives, "_MOST_MEMBERS", 50)
    contents = archived.cifar_files("cifar10")
    many = tuple(member(f"x{i}") for i in range(60))
    with pytest.raises(DataError, match="expected at most 50 entries, got more"):
        load("cifar10", contents, archived.tar(contents, archived.CIFAR10, many))


def info(name, mode=0, **fields):
    made = zipfile.ZipInfo(name)
    made.external_attr = mode << 16
    for field, value in fields.items():
        setattr(made, field, value)
    return made


ZIP_INSIDE = "gzip/emnist-letters-test-labels-idx1-ubyte.gz"
ZIP_ODD = {
    "above": (info("../x"), "names below"),
    "absolute": (info("/x"), "names below"),
    "link": (info("x", stat.S_IFLNK | 0o777), "a link or device"),
    "device": (info("x", stat.S_IFCHR), "a link or device"),
    "lzma": (info("x", compress_type=zipfile.ZIP_LZMA), "compressed in a way"),
}


@pytest.mark.parametrize("kind", ZIP_ODD)
def test_an_odd_entry_of_a_zip_is_refused(load, kind):
    entry, reason = ZIP_ODD[kind]
    contents = archived.emnist_files("emnist-letters")
    with pytest.raises(DataError, match=f"{reason}.*: do not use this archive"):
        load("emnist-letters", contents, archived.zipped(contents, ((entry, b"x"),)))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_file_twice_in_a_zip_is_refused(load):
    contents = archived.emnist_files("emnist-letters")
    with pytest.raises(DataError, match="once, got it twice"):
        load("emnist-letters", contents, archived.zipped(contents, ((info(ZIP_INSIDE), b"x"),)))


def test_an_encrypted_zip_is_refused(load):
    contents = archived.emnist_files("emnist-letters")
    archive = bytearray(archived.zipped(contents))
    at = archive.index(b"PK\1\2")
    archive[at + 8] |= 1
    with pytest.raises(DataError, match="which is encrypted"):
        load("emnist-letters", contents, bytes(archive))


def test_a_zip_that_lacks_a_file_is_refused_and_it_is_named(load):
    contents = archived.emnist_files("emnist-letters")
    rest = {name: content for name, content in contents.items() if "test-labels" not in name}
    with pytest.raises(DataError, match=f"missing in it: {ZIP_INSIDE}"):
        load("emnist-letters", contents, archived.zipped(rest))


def test_a_bomb_in_a_zip_costs_little_memory(load):
    contents = archived.emnist_files("emnist-letters")
    name = "emnist-letters-train-images-idx3-ubyte"
    bomb = {**contents, name: contents[name][:16] + bytes(100 << 20)}
    archive = archived.zipped(bomb)
    tracemalloc.start()
    with pytest.raises(DataError, match=f"{name}.gz: expected 4,720 bytes, .* got more"):
        load("emnist-letters", contents, archive)
    assert tracemalloc.get_traced_memory()[1] < 8e6
    tracemalloc.stop()


def test_a_claim_of_a_huge_entry_in_a_zip_is_refused(load):
    contents = archived.emnist_files("emnist-letters")
    rest = {name: content for name, content in contents.items() if "test-labels" not in name}
    huge = info(ZIP_INSIDE, compress_type=zipfile.ZIP_DEFLATED)
    with pytest.raises(DataError, match=r"test-labels-idx1-ubyte.gz of at most 1,048,588 bytes, got 20,971,520"):
        load("emnist-letters", contents, archived.zipped(rest, ((huge, bytes(20 << 20)),)))


def test_a_damaged_entry_of_a_zip_is_refused(load):
    contents = archived.emnist_files("emnist-letters")
    archive = bytearray(archived.zipped(contents))
    archive[archive.index(b"train-images-idx3-ubyte.gz") + 200] ^= 1
    with pytest.raises(DataError, match=r"damaged|expected"):
        load("emnist-letters", contents, bytes(archive))


@pytest.mark.parametrize("keep", [1, 10, 0.3, 0.9])
def test_a_truncated_zip_is_refused(load, keep):
    contents = archived.emnist_files("emnist-letters")
    archive = archived.zipped(contents)
    with pytest.raises(DataError, match=r"gzip.zip: the archive is damaged"):
        load("emnist-letters", contents, archive[: keep if isinstance(keep, int) else int(len(archive) * keep)])


def test_an_archive_that_cannot_be_opened_is_a_data_error(load, tmp_path):
    contents = archived.cifar_files("cifar10")
    load("cifar10", contents, archived.tar(contents, archived.CIFAR10))
    with pytest.raises(DataError, match="cannot be read"):
        archives.check_archive(tmp_path, catalogue.SETS["cifar10"].archive)
    with pytest.raises(DataError, match="published as an archive, got mnist"):
        archives.each_file(tmp_path, catalogue.SETS["mnist"], lambda *_: None)


def test_no_archive_is_ever_extracted_to_the_disk():
    source = Path(archives.__file__).read_text(encoding="utf-8")
    assert not re.search(r"\.extract(all)?\(", source)
