"""Every kernel compiles for every GPU that CUDA 13 knows: NVRTC needs no GPU for that."""

import functools
import re
from importlib.resources import files

import numpy as np
import pytest

from xpcnn.backend import Device
from xpcnn.backend.cuda import launch

GPUS = ("sm_80", "sm_89", "sm_90", "sm_100", "sm_120")
PLACES = [{"Number": number, "Place": place} for number in ("float32", "float64") for place in ("uint8", "int32")]
LABELS = [{"Number": n, "Label": label} for n in ("float32", "float64") for label in ("uint8", "int32", "int64")]
TYPES = {
    "adaptive_pool": PLACES,
    "avg_pool": [{"Number": "float32"}, {"Number": "float64"}],
    "bias": [{"Number": "float32"}, {"Number": "float64"}],
    "cross_entropy": LABELS,
    "draws": [{}],
    "dropout": [{"Number": "float32"}, {"Number": "float64"}],
    "loss_scale": [{"Number": "float32"}, {"Number": "float64"}],
    "norm": [
        {"Number": n, "Stat": s} for n, s in (("float32", "float32"), ("float32", "float64"), ("float64", "float64"))
    ],
    "pool": PLACES,
    "ranks": [{"Number": "float32"}, {"Number": "float64"}],
    "sampling": [{"Number": "float32"}, {"Number": "float64"}],
    "tally": LABELS,
    "sums": [{"Number": number, "Sum": total} for number in ("float32", "float64") for total in ("float32", "float64")],
}


NARROW = ("float16", "bfloat16")
for file in ("avg_pool", "bias", "dropout"):
    TYPES[file] += [{"Number": number} for number in NARROW]
TYPES["norm"] += [{"Number": number, "Stat": stat} for number in NARROW for stat in ("float32", "float64")]
TYPES["pool"] += [{"Number": number, "Place": "uint8"} for number in NARROW]
TYPES["adaptive_pool"] += [{"Number": number, "Place": "uint8"} for number in NARROW]
TYPES["sums"] += [{"Number": number, "Sum": number} for number in NARROW]


def compiled(code: str, options: tuple[str, ...]) -> bytes:
    compiler = pytest.importorskip("cupy.cuda.compiler", reason="CuPy is not installed", exc_type=ImportError)
    try:
        _probe(compiler)
    except RuntimeError as error:  # CuPy finds no NVRTC; one that refuses the code raises something else
        pytest.skip(f"NVRTC does not answer ({type(error).__name__}): pip install nvidia-cuda-nvrtc")
    return compiler._NVRTCProgram(code, "kernel.cu").compile(options)[0]


def dtype_of(name: str) -> np.dtype:
    return np.dtype(Device("cpu", np, "cpu").dtype(name))


@functools.cache
def _probe(compiler) -> None:
    compiler._NVRTCProgram('extern "C" __global__ void nothing() {}', "nothing.cu").compile(("-arch=sm_80",))


def test_no_file_is_left_out():
    names = [path.name for path in files("xpcnn.backend.cuda").iterdir()]
    assert {name.removesuffix(".cu") for name in names if name.endswith(".cu")} == set(TYPES)


@pytest.mark.parametrize("gpu", GPUS)
@pytest.mark.parametrize(("file", "types"), [(file, t) for file in TYPES for t in TYPES[file]], ids=repr)
def test_kernels_compile(file, types, gpu):
    types = {name: dtype_of(dtype) for name, dtype in types.items()}
    code = launch.text(file, types)
    cubin = compiled(code, (*launch.OPTIONS, *launch.macros(types), f"-arch={gpu}"))
    names = re.findall(r'extern "C" __global__ void (\w+)', code)
    assert names
    for name in names:
        assert name.encode() in cubin
