"""A GPU that is not there, in the place of CuPy, cuDNN and cuBLAS."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.backend.cuda.fake_blas import Cublas
from tests.backend.cuda.fake_cudnn import Cudnn
from tests.backend.cuda.fake_gpu import Gpu
from xpcnn.backend.cuda import blas, launch
from xpcnn.backend.cuda.cudnn import choices, library, plans


def forget() -> None:
    """What was made for another GPU."""
    blas._workspaces.clear()
    for handles in (blas._handles, library._handles):
        vars(handles).clear()
    for cache in (launch._kernel, launch.compiled, plans._plan):
        cache.cache_clear()


@contextmanager
def installed(folder) -> Iterator[Gpu]:
    """The library, as if it were on a machine with a GPU; `folder` is for what is compiled."""
    gpu = Gpu(folder)
    gpu.cudnn, gpu.cublas = Cudnn(gpu), Cublas(gpu, folder)
    forget()
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("XPCNN_KERNELS", raising=False)
        patch.setattr(launch, "cupy", lambda: gpu)
        patch.setattr(blas, "library", lambda: gpu.cublas)
        for module in (library, plans, choices):
            patch.setattr(module, "frontend", lambda: gpu.cudnn)
        yield gpu
    forget()
