"""The idx parser: everything that is exactly right is read, and nothing else."""

import gzip
import hashlib
import os
import re
import struct
import threading
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xpcnn.data.idx import read_hashed, read_idx
from xpcnn.errors import DataError

TYPES = {0x08: ("B", "uint8"), 0x09: ("b", "int8"), 0x0B: ("h", "int16"), 0x0C: ("i", "int32"), 0x0D: ("f", "float32"),
         0x0E: ("d", "float64")}  # fmt: skip


def idx(shape, values, code=0x08):
    """Content of an idx file, written with struct alone."""
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, code, len(shape), *shape) + struct.pack(
        f">{len(values)}{TYPES[code][0]}", *values
    )


GOOD = idx((2, 3), [1, 2, 3, 4, 5, 250])


def peak_bytes(function):
    """Largest memory that was in use during a call that must fail with DataError."""
    tracemalloc.start()
    try:
        with pytest.raises(DataError):
            function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("code", TYPES)
@pytest.mark.parametrize("shape", [(6,), (2, 3), (1, 2, 1, 3)])
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_every_type_is_read_as_native_numbers(code, shape, pack):
    values = [0, 1, -2, 100, -128, 127] if code != 0x08 else [0, 1, 2, 100, 128, 255]
    if code in (0x0B, 0x0C):
        values[1] = -12345
    if code in (0x0D, 0x0E):
        values[1] = 1.5e-30
    array = read_idx(pack(idx(shape, values, code)))
    assert array.dtype == np.dtype(TYPES[code][1])
    assert array.dtype.isnative
    assert array.shape == shape
    assert array.ravel().tolist() == [
        struct.unpack(TYPES[code][0], struct.pack(TYPES[code][0], value))[0] for value in values
    ]


@pytest.mark.parametrize("name", ["a.gz", "a"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_compression_is_recognised_by_content_whatever_the_name(tmp_path, name, pack):
    path = tmp_path / name
    path.write_bytes(pack(GOOD))
    assert read_idx(path).tolist() == [[1, 2, 3], [4, 5, 250]]
    assert read_idx(str(path)).tolist() == [[1, 2, 3], [4, 5, 250]]


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_the_digest_is_of_the_decompressed_content(pack):
    assert read_hashed(pack(GOOD))[1] == hashlib.sha256(GOOD).hexdigest()


def test_the_array_may_be_written_to_and_leaves_its_source_alone():
    source = bytes(GOOD)
    array = read_idx(source)
    array[:] = 0
    assert source == idx((2, 3), [1, 2, 3, 4, 5, 250])


def test_a_file_of_many_chunks_is_read_whole(tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (300, 100, 100)).astype("u1")
    path = tmp_path / "big.gz"
    path.write_bytes(gzip.compress(idx(values.shape, []) + values.tobytes(), 1))
    np.testing.assert_array_equal(read_idx(path), values)


@pytest.mark.parametrize("shape", [(0,), (0, 28, 28), (3, 0)])
def test_an_empty_axis_gives_an_empty_array(shape):
    assert read_idx(idx(shape, [])).shape == shape


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "an empty file"),
        (b"\0", "00"),
        (b"\x01\0\x08\x01\0\0\0\0", "01 00 08 01"),
        (b"\0\x01\x08\x01\0\0\0\0", "00 01 08 01"),
        (b"<!DOCTYPE html><html></html>", "web page"),
        (b"PK\x03\x04rest", "zip archive"),
        (np.lib.format.MAGIC_PREFIX + b"\x01\0", "NumPy"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (gzip.compress(gzip.compress(GOOD)), "gzip inside gzip"),
    ],
)
def test_a_wrong_magic_number_is_refused_with_what_it_looks_like(content, complaint):
    with pytest.raises(DataError, match=re.escape(complaint)):
        read_idx(content)


@pytest.mark.parametrize("code", [0x00, 0x07, 0x0A, 0x0F, 0x80, 0xFF])
def test_an_unknown_type_code_is_refused(code):
    with pytest.raises(DataError, match=f"type code of 08, 09, 0b, 0c, 0d, 0e, got {code:02x}"):
        read_idx(bytes([0, 0, code, 1, 0, 0, 0, 1, 0]))


@pytest.mark.parametrize("ndim", [0, 65, 255])
def test_a_senseless_number_of_dimensions_is_refused(ndim):
    with pytest.raises(DataError, match=f"dimensions, got {ndim}"):
        read_idx(bytes([0, 0, 8, ndim]) + bytes(4 * ndim) + b"\0")


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_content_cut_anywhere_is_refused(tmp_path, pack):
    path = tmp_path / "cut"
    for length in range(len(GOOD)):
        path.write_bytes(pack(GOOD[:length]))
        with pytest.raises(DataError, match="cut"):
            read_idx(path)


@pytest.mark.parametrize("extra", [1, 2, 5000])
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_content_longer_than_its_header_says_is_refused(extra, pack):
    with pytest.raises(DataError, match=r"expected 18 bytes, as its header says \(shape \(2, 3\), uint8\), got"):
        read_idx(pack(GOOD + bytes(extra)))


@pytest.mark.parametrize("code", [c for c in TYPES if c not in (0x08, 0x09)])
def test_elements_of_another_width_than_the_type_says_are_refused(code):
    content = bytearray(GOOD)
    content[2] = code
    with pytest.raises(DataError, match="as its header says"):
        read_idx(bytes(content))


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize(
    "sizes", [(2**32 - 1,) * 4, (2**32 - 1,), (60000, 2800, 28), (0, 2**32 - 1, 2**32 - 1, 2**32 - 1)]
)
def test_a_header_that_claims_too_much_is_refused(sizes, pack):
    with pytest.raises(DataError, match="expected at most 1,073,741,824 bytes, got a header that claims"):
        read_idx(pack(idx(sizes, [])))


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_max_bytes_counts_the_header_and_the_decompressed_elements(pack):
    assert read_idx(pack(GOOD), max_bytes=len(GOOD)).shape == (2, 3)
    with pytest.raises(DataError, match="claims 18"):
        read_idx(pack(GOOD), max_bytes=len(GOOD) - 1)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_nothing_is_allocated_on_the_word_of_a_header(tmp_path, pack):
    path = tmp_path / "liar"
    path.write_bytes(pack(idx((2**32 - 1,), [0] * 100)))
    assert peak_bytes(lambda: read_idx(path, max_bytes=2**40)) < 5_000_000


def test_a_gzip_bomb_is_read_one_byte_past_the_declared_end_at_most(tmp_path):
    path = tmp_path / "bomb.gz"
    bomb = zlib.compressobj(9, wbits=31)
    data = bomb.compress(idx((60, 28, 28), []))
    for _ in range(200):
        data += bomb.compress(bytes(1_000_000))
    path.write_bytes(data + bomb.flush())
    assert peak_bytes(lambda: read_idx(path)) < 5_000_000


def test_a_gzip_stream_truncated_anywhere_is_refused(tmp_path):
    values = np.random.default_rng(0).integers(0, 256, 300).tolist()
    packed = gzip.compress(idx((300,), values))
    path = tmp_path / "cut.gz"
    for length in range(len(packed)):
        path.write_bytes(packed[:length])
        with pytest.raises(DataError, match=r"cut.gz"):
            read_idx(path)


def test_no_flipped_bit_of_a_gzip_file_changes_the_array_unnoticed():
    packed = gzip.compress(GOOD, mtime=0)
    expected = read_idx(packed)
    for bit in range(8 * len(packed)):
        damaged = bytearray(packed)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            array = read_idx(bytes(damaged))
        except DataError:
            continue
        # the time stamp, for one, has no checksum
        np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize(("place", "part"), [(-8, "checksum"), (-4, "length")])
def test_a_wrong_gzip_trailer_is_refused(place, part):
    packed = bytearray(gzip.compress(GOOD))
    packed[place] ^= 0x01
    with pytest.raises(DataError, match="gzip stream is damaged"):
        read_idx(bytes(packed))


@pytest.mark.parametrize(
    "garbage", [b"\0", bytes(512), b"x", gzip.compress(b""), gzip.compress(GOOD)], ids=lambda g: f"{len(g)} bytes"
)
def test_anything_after_the_gzip_stream_is_refused(garbage):
    with pytest.raises(DataError, match="more data after its end"):
        read_idx(gzip.compress(GOOD) + garbage)


def test_garbage_that_begins_a_new_chunk_is_refused(monkeypatch):
    packed = gzip.compress(GOOD)
    monkeypatch.setattr("xpcnn.data.streams.CHUNK", len(packed) - 2)  # the first two bytes are read alone
    assert read_idx(packed).shape == (2, 3)
    with pytest.raises(DataError, match="more data after its end"):
        read_idx(packed + b"x")


@pytest.mark.parametrize("chunk", [1, 2, 7, 19])
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_the_size_of_the_chunks_does_not_matter(monkeypatch, chunk, pack):
    monkeypatch.setattr("xpcnn.data.streams.CHUNK", chunk)
    assert read_idx(pack(GOOD)).tolist() == [[1, 2, 3], [4, 5, 250]]
    with pytest.raises(DataError, match="as its header says"):
        read_idx(pack(GOOD + b"x"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_pipe_is_read_like_a_file(tmp_path, pack):
    path = tmp_path / "pipe"
    os.mkfifo(path)

    def send(content):
        thread = threading.Thread(target=path.write_bytes, args=(content,))
        thread.start()
        return thread

    writer = send(pack(GOOD))
    assert read_idx(path).tolist() == [[1, 2, 3], [4, 5, 250]]
    writer.join()
    writer = send(pack(idx((500_000_000,), [0] * 100)))
    assert peak_bytes(lambda: read_idx(path)) < 5_000_000
    writer.join()


def test_unreadable_paths_are_named(tmp_path):
    with pytest.raises(DataError, match=r"absent\.gz: cannot be read \(No such file or directory\)"):
        read_idx(tmp_path / "absent.gz")
    with pytest.raises(DataError, match=re.escape(f"{tmp_path}: cannot be read")):
        read_idx(tmp_path)


@pytest.mark.parametrize("source", [0, None, bytearray(GOOD), 1.5])
def test_a_source_that_is_neither_path_nor_bytes_is_refused(source):
    with pytest.raises(DataError, match="expected a path or bytes"):
        read_idx(source)


def check_any(content):
    try:
        array = read_idx(content, max_bytes=1 << 20)
    except DataError:
        return
    assert isinstance(array, np.ndarray)
    assert array.dtype.isnative
    assert array.nbytes + 4 + 4 * array.ndim <= 1 << 20


@given(st.binary(max_size=200))
@settings(deadline=None, max_examples=200)
def test_any_bytes_give_an_array_or_a_data_error(content):
    check_any(content)
    check_any(gzip.compress(content))
    check_any(b"\x1f\x8b" + content)
    check_any(b"\x1f\x8b\x08\0\0\0\0\0\0\x03" + content)


@given(
    st.sampled_from(sorted(TYPES)), st.lists(st.integers(0, 2**32 - 1) | st.integers(0, 4), max_size=66), st.binary()
)
@settings(deadline=None, max_examples=200)
def test_any_header_with_any_body_gives_an_array_or_a_data_error(code, shape, body):
    content = struct.pack(f">BBBB{len(shape)}I", 0, 0, code, len(shape), *shape) + body
    check_any(content)
    check_any(gzip.compress(content))


@given(st.sampled_from(sorted(TYPES)), st.lists(st.integers(0, 5), min_size=1, max_size=4), st.data())
@settings(deadline=None, max_examples=100)
def test_what_was_written_is_what_is_read(code, shape, data):
    dtype = np.dtype(TYPES[code][1])
    size = int(np.prod(shape))
    raw = data.draw(st.binary(min_size=size * dtype.itemsize, max_size=size * dtype.itemsize))
    array = read_idx(idx(shape, [], code) + raw)
    assert array.shape == tuple(shape)
    assert array.astype(dtype.newbyteorder(">")).tobytes() == raw or (array.dtype.kind == "f" and np.isnan(array).any())
