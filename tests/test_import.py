"""Importing xpcnn is quick because it imports nothing that it can do without."""

import subprocess
import sys

OPTIONAL = ("tqdm", "pooch", "safetensors", "threadpoolctl", "torch", "cupy", "matplotlib", "array_api_strict")


def run(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_import_loads_no_optional_package():
    code = f"import sys, xpcnn; print(*(m for m in {OPTIONAL} if m in sys.modules))"
    assert run(code) == ""


def test_import_needs_no_optional_package():
    code = f"import sys; sys.modules.update(dict.fromkeys({OPTIONAL})); import xpcnn; print(xpcnn.__version__)"
    assert run(code).count(".") == 2


def test_import_says_and_touches_nothing():
    code = "import warnings; warnings.simplefilter('error'); import numpy as np, logging; "
    code += "s = np.random.get_state()[1].tobytes(); import xpcnn; "
    code += "print(s == np.random.get_state()[1].tobytes(), logging.getLogger().handlers)"
    assert run(code) == "True []"


def test_import_asks_for_no_large_array():
    code = """
import numpy as np
empty, sizes = np.empty, []
np.empty = lambda *args, **options: sizes.append(empty(*args, **options).nbytes) or empty(*args, **options)
import xpcnn
print(max(sizes, default=0) < 1 << 16)
"""
    assert run(code) == "True"


def test_a_step_on_the_cpu_needs_no_optional_package():
    # threadpoolctl is needed from the first step on, and not before
    code = f"""
import sys
sys.modules.update(dict.fromkeys({tuple(name for name in OPTIONAL if name != "threadpoolctl")}))
import numpy as np
from xpcnn.layers import Conv2d, Dropout, Flatten, Linear, SoftmaxCrossEntropy
from xpcnn.models import Sequential
from xpcnn.optimizers import Adam
model = Sequential(Conv2d(1, 2, 3), Dropout(0.5), Flatten(), Linear(8, 2))
y, cache = model.forward(np.ones((2, 1, 4, 4), "float32"), train=True)
value, dy = SoftmaxCrossEntropy()(y, np.asarray([0, 1]))
Adam().update(model.params, model.backward(dy, cache)[1])
print(np.isfinite(float(value)))
"""
    assert run(code) == "True"


def test_every_public_name_is_there():
    import xpcnn

    for module in (xpcnn, xpcnn.layers, xpcnn.models, xpcnn.ops, xpcnn.optimizers, xpcnn.errors, xpcnn.training):
        for name in module.__all__:
            assert getattr(module, name) is not None


def test_every_error_is_ours_and_a_builtin():
    from xpcnn import errors

    for name in set(errors.__all__) - {"XpcnnError"}:
        cls = getattr(errors, name)
        assert issubclass(cls, errors.XpcnnError)
        assert issubclass(cls, (ValueError, TypeError, RuntimeError, MemoryError, ArithmeticError)), name
