"""
What a GPU is and what it can do at most: versions, rates, and what it costs the host to start something.

Takes a JSON object with the name of one part, prints its figures as another one in its last line. A figure that cannot
be had is said to have failed, and why; the others do not care.
"""

import contextlib
import importlib
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

PACKAGES = ("numpy", "array-api-compat", "cupy-cuda13x", "cupy-cuda12x", "cupy", "nvidia-cudnn-frontend", "torch")
CALLS = 200  # of which the mean is taken
CHAIN = 64  # kernels in a graph
_ADD = 'extern "C" __global__ void add(float* y) { y[threadIdx.x] += 1.0f; }'


def tried(figures: dict[str, Callable[[], Any]]) -> dict[str, Any]:
    """Each figure, or why there is none under the key ``"failed"``."""
    found: dict[str, Any] = {}
    failed: dict[str, str] = {}
    for name, measure in figures.items():
        try:
            found[name] = measure()
        except Exception as error:  # whatever is missing or new on a machine that nobody has seen before
            failed[name] = f"{type(error).__name__}: {error}"[:200]
    return {**found, "failed_figures": failed} if failed else found


def versions(job: dict[str, Any]) -> dict[str, Any]:
    """The device, drivers and packages; ``{"missing": why}`` where the device cannot be used."""
    facts: dict[str, Any] = {"python": platform.python_version(), "system": platform.platform()}
    from xpcnn import __version__
    from xpcnn.backend import resolve
    from xpcnn.errors import DeviceUnavailable

    facts["xpcnn"] = __version__
    for name in PACKAGES:
        try:
            facts[name] = version(name)
        except PackageNotFoundError:
            continue
    if job["device"] == "cpu":
        return {"device": platform.processor() or platform.machine(), **facts}
    try:
        resolve("cuda")
    except DeviceUnavailable as error:
        return {"missing": str(error)}
    import cupy

    runtime = cupy.cuda.runtime
    properties = runtime.getDeviceProperties(0)
    name = properties["name"]
    facts = {"device": name.decode() if isinstance(name, bytes) else name, **facts}
    return facts | tried(
        {
            "multiprocessors": lambda: properties["multiProcessorCount"],
            "memory_gib": lambda: round(properties["totalGlobalMem"] / 2**30, 1),
            "level2_mib": lambda: properties["l2CacheSize"] / 2**20,
            "driver_cuda": lambda: _dotted(runtime.driverGetVersion()),
            "runtime_cuda": lambda: _dotted(runtime.runtimeGetVersion()),
            "driver": _driver,
            "cudnn": lambda: _cudnn().backend_version(),
        }
    )


def rates(job: dict[str, Any]) -> dict[str, Any]:
    """Bandwidth of a copy in memory, and rates of products of large matrices."""
    import numpy

    xp, clock = _library(job)
    side, numbers = (256, 1 << 20) if job["toy"] else (8192, 1 << 28)

    def copy() -> float:
        x = xp.ones(numbers, dtype="float32")
        y = xp.empty_like(x)
        return 2 * x.nbytes / _ms(clock, lambda: xp.copyto(y, x)) / 1e6

    def product(dtype: Any) -> float:
        # random: a GPU multiplies zeros faster, since that takes less power; NumPy's, which needs no cuRAND
        a = xp.asarray(numpy.random.default_rng(0).random((side, side), dtype="float32")).astype(dtype)
        out = xp.empty_like(a)
        return 2 * side**3 / _ms(clock, lambda: xp.matmul(a, a, out=out)) / 1e9

    if job["part"] == "tf32":
        if not _on_gpu(job):
            return {}
        return tried({"tf32_tflops": lambda: product("float32")})
    figures = {"copy_gb_s": copy, "float32_tflops": lambda: product("float32")}
    if _on_gpu(job):
        figures["bfloat16_tflops"] = lambda: _bfloat16(product, side)
    return tried(figures)


def _bfloat16(product: Callable[[Any], float], side: int) -> float:
    """By CuPy where it has such numbers, else by PyTorch."""
    try:
        import ml_dtypes

        return product(ml_dtypes.bfloat16)
    except Exception:  # in whatever way CuPy refuses such numbers: the ceiling is the device's, whoever multiplies
        import torch

        from .clocks import torch_clock

        a = torch.randn(side, side, device="cuda", dtype=torch.bfloat16)
        return 2 * side**3 / _ms(torch_clock(torch), lambda: a @ a) / 1e9


def host(job: dict[str, Any]) -> dict[str, Any]:
    """Microseconds of the host until a call returns, and of a kernel in a graph on the device."""
    xp, clock = _library(job)
    x = xp.ones(1024, dtype="float32")
    y = xp.empty_like(x)
    figures: dict[str, Callable[[], Any]] = {"ufunc_us": lambda: _host_us(clock, lambda: xp.add(x, x, out=y))}
    if not _on_gpu(job):
        return tried(figures)
    kernel = xp.RawKernel(_ADD, "add")

    def launch() -> None:
        kernel((1,), (256,), (y,))

    figures["raw_kernel_us"] = lambda: _host_us(clock, launch)
    figures["cudnn_execute_us"] = lambda: _cudnn_us(xp, clock)
    found = tried(figures)
    return found | tried({"graph": lambda: _graph(xp, clock, launch)})


def _graph(cupy: Any, clock: Any, launch: Callable[[], None]) -> dict[str, float]:
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        launch()
        stream.synchronize()
        stream.begin_capture()
        try:
            for _ in range(CHAIN):
                launch()
        finally:
            graph = stream.end_capture()
        return {
            "launch_us": _host_us(clock, lambda: graph.launch(stream), calls=50),
            "kernel_us": _ms(clock, lambda: graph.launch(stream)) * 1e3 / CHAIN,
        }


def _cudnn_us(cupy: Any, clock: Any) -> float:
    """A small convolution without a bias, images channels-last, by numbers that say where the arrays lie."""
    cudnn = _cudnn()
    handle = cudnn.create_handle()
    cudnn.set_stream(handle=handle, stream=cupy.cuda.get_current_stream().ptr)
    kind = cudnn.data_type.FLOAT
    graph = cudnn.pygraph(io_data_type=kind, intermediate_data_type=kind, compute_data_type=kind, handle=handle)
    x = graph.tensor(dim=[8, 32, 16, 16], stride=[8192, 1, 512, 32], data_type=kind, uid=1)
    w = graph.tensor(dim=[32, 32, 3, 3], stride=[288, 1, 96, 32], data_type=kind, uid=2)
    y = graph.conv_fprop(image=x, weight=w, padding=[1, 1], stride=[1, 1], dilation=[1, 1])
    y.set_output(True).set_data_type(kind)
    y.set_uid(3)
    graph.validate()
    graph.build_operation_graph()
    graph.create_execution_plans([cudnn.heur_mode.A, cudnn.heur_mode.FALLBACK])
    graph.check_support()
    graph.build_plans(cudnn.build_plan_policy.HEURISTICS_CHOICE)
    sizes = (8 * 32 * 16 * 16, 32 * 32 * 9, 8 * 32 * 16 * 16)
    arrays = [cupy.zeros(size, dtype="float32") for size in sizes]
    places = {i + 1: array.data.ptr for i, array in enumerate(arrays)}
    workspace = cupy.empty(max(graph.get_workspace_size(), 1), dtype="uint8")
    return _host_us(clock, lambda: graph.execute(places, workspace.data.ptr, handle=handle))


def _cudnn() -> Any:
    """The frontend; it looks for a CUDA runtime that somebody has loaded, and CuPy has its own inside."""
    with contextlib.suppress(ImportError):  # then it may still be on the loader's path
        importlib.import_module("cuda.pathfinder").load_nvidia_dynamic_lib("cudart")
    return importlib.import_module("cudnn")


def _driver() -> str:
    from pathlib import Path

    return Path("/proc/driver/nvidia/version").read_text().splitlines()[0].partition("  ")[2].split("  ")[0]


def _dotted(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


def _on_gpu(job: dict[str, Any]) -> bool:
    return job["device"] != "cpu"


def _library(job: dict[str, Any]) -> tuple[Any, Any]:
    """CuPy or NumPy, and a clock for it."""
    from .clocks import Clock, cupy_clock

    if not _on_gpu(job):
        import numpy

        return numpy, Clock()
    import cupy

    return cupy, cupy_clock(cupy)


def _ms(clock: Any, call: Callable[[], Any]) -> float:
    """The least time of five laps: a ceiling is what can be reached."""
    clock.lap(call, 3)
    laps = [clock.lap(call, 10) for _ in range(5)]
    return min(lap.wall if lap.events is None or lap.events < 0.5 * lap.wall else lap.events for lap in laps) / 10


def _host_us(clock: Any, call: Callable[[], Any], calls: int = CALLS) -> float:
    """Until the call returns, whatever the device does; few enough that its queue is never full."""
    for _ in range(20):
        call()
    clock.synchronize()
    started = time.perf_counter()
    for _ in range(calls):
        call()
    seconds = time.perf_counter() - started
    clock.synchronize()
    return seconds / calls * 1e6


def cudnn(job: dict[str, Any]) -> dict[str, Any]:
    """What cuDNN's frontend says of the device: with it graphs can be looked at on a machine without a GPU."""
    if not _on_gpu(job):
        return {}
    return tried({"properties": lambda: str(_cudnn().create_device_properties(0).serialize())})


PARTS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "versions": versions,
    "rates": rates,
    "tf32": rates,
    "host": host,
    "cudnn": cudnn,
}

if __name__ == "__main__":
    told = json.loads(sys.argv[1])
    if told["part"] == "tf32":
        os.environ["CUPY_TF32"] = "1"  # read when CuPy first multiplies
    print(json.dumps(PARTS[told["part"]](told)))
