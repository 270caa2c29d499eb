"""Products of matrices by a handle of our own: which order lies in memory, what types, and what a capture takes."""

import logging
import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xpcnn import ops
from xpcnn.backend import Key, cuda, normal
from xpcnn.backend.cuda import blas


def placed(gpu, a, order):
    """The matrix on the GPU: in C order, as a transposed view, or as a view with gaps."""
    if order == "C":
        return gpu.upload(a)
    if order == "F":
        return gpu.upload(a.T).T
    return gpu.upload(np.repeat(a, 2, axis=1))[:, ::2]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.tuples(*[st.integers(1, 7)] * 3),
    orders=st.tuples(*[st.sampled_from(["C", "F", "gaps"])] * 2),
    dtype=st.sampled_from(["float32", "float64"]),
)
def test_products_are_numpys_for_all_memory_orders(gpu, sizes, orders, dtype):
    m, k, n = sizes
    a, b = (normal(shape, Key(i, "a")).astype(dtype) for i, shape in enumerate([(m, k), (k, n)]))
    made = len(gpu.cublas.products)
    c = blas.matmul(placed(gpu, a, orders[0]), placed(gpu, b, orders[1]))
    assert len(gpu.cublas.products) == made + 1
    assert c.dtype == dtype and c.flags.c_contiguous
    np.testing.assert_allclose(c.host, a @ b, rtol=1e-5 if dtype == "float32" else 1e-13, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("orders", ["CC", "CF", "FC", "FF"])
def test_products_of_16_bits_are_added_in_float32(gpu, dtype, orders):
    narrow = gpu.device.dtype(dtype)
    a, b = (normal(shape, Key(i, "a")).astype(narrow) for i, shape in enumerate([(3, 300), (300, 5)]))
    gpu.done = []
    c = ops.linear(placed(gpu, a, orders[0]), placed(gpu, b.T, orders[1]))
    assert "astype" not in gpu.done
    assert c.dtype == narrow and gpu.cublas.products == [68]
    exact = a.astype("float64") @ b.astype("float64")
    np.testing.assert_allclose(c.host.astype("float64"), exact, rtol=2**-8, atol=1e-4)


def test_tf32_is_used_only_where_it_is_asked_for(gpu):
    for dtype in ("float32", "float64"):
        a = gpu.upload(np.ones((2, 2), dtype))
        blas.matmul(a, a)
        with cuda.computing(cuda.Options(allow_tf32=True)):
            blas.matmul(a, a)
    assert gpu.cublas.products == [68, 77, 70, 70]


def test_a_graph_takes_it_as_it_does_not_take_cupys(gpu):
    a = gpu.upload(np.ones((2, 2), "float32"))
    blas.matmul(a, a)
    graph = cuda.Graph(lambda: blas.matmul(a, a), cuda.Room())
    graph.replay()
    assert graph.result.host.tolist() == [[2.0, 2.0], [2.0, 2.0]]
    with pytest.raises(NotImplementedError):
        cuda.Graph(lambda: gpu.matmul(a, a), cuda.Room())


def test_each_stream_gets_the_workspace_anew(gpu):
    a = gpu.upload(np.ones((2, 2), "float32"))
    stream = gpu.cuda.Stream(non_blocking=True)
    blas.matmul(a, a)
    with stream:
        assert blas.matmul(a, a).host[0, 0] == 2.0  # the library refuses without a workspace
    assert blas.matmul(a, a).host[0, 0] == 2.0


def test_a_workspace_outlives_the_thread_that_captured_with_it_but_not_its_stream(gpu):
    a, room = gpu.upload(np.ones((2, 2), "float32")), cuda.Room()
    blas.matmul(a, a)
    graphs = []
    thread = threading.Thread(target=lambda: graphs.append(cuda.Graph(lambda: blas.matmul(a, a), room)))
    thread.start()
    thread.join()
    assert set(blas._workspaces) == {(0, 0), (0, room.stream.ptr)}
    graphs[0].replay()
    assert graphs[0].result.host[0, 0] == 2.0
    room.release()
    assert set(blas._workspaces) == {(0, 0)}


def test_integers_and_empty_matrices_are_cupys(gpu):
    for a in (np.ones((2, 2), "int64"), np.ones((2, 0), "float32")):
        b = gpu.upload(a)
        assert (blas.matmul(b, b.T).host == a @ a.T).all()
    assert not gpu.cublas.products


def test_a_status_is_an_error(gpu):
    with pytest.raises(RuntimeError, match="cuBLAS: a product of matrices failed with status 13"):
        blas._check(13, "a product of matrices")


def test_a_library_that_does_not_load_is_said_once(caplog):
    blas.library.cache_clear()
    with caplog.at_level(logging.WARNING, "xpcnn"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(blas.importlib, "import_module", lambda name: (_ for _ in ()).throw(ImportError("no pathfinder")))
        assert blas.library() is None
        assert blas.library() is None
    blas.library.cache_clear()
    assert caplog.text.count("products by CuPy") == 1


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_gpu_multiplies(space_of_cupy, dtype):
    a, b = normal((33, 70), Key(0, "a")), normal((70, 5), Key(0, "b"))
    on_gpu = [space_of_cupy.asarray(x, dtype) for x in (a, b)]
    np.testing.assert_allclose(blas.matmul(*on_gpu).get(), a @ b, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(blas.matmul(on_gpu[1].T, on_gpu[0].T).get(), (a @ b).T, rtol=1e-4, atol=1e-4)
