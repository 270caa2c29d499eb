"""What the page says in words."""

HEAD = """\
# A GPU in figures

<!-- Written by `python -m benchmarks.gpu --report`: change the words in benchmarks/gpu/, and run that. -->"""

NEVER = """\
**Nothing here has run on a GPU: none has been had. There are no figures, and this project claims none.** How the code
is tested without one is told in [cuda.md](cuda.md). This page will be written anew from the first results."""

MEASURED = """\
Everything below is written from the files in [benchmarks/results](../benchmarks/results), one for each GPU and day.
How the code works and how it is tested without a GPU is told in [cuda.md](cuda.md)."""

NEVER_RUN = """\
## What has never run

- The kernels in CUDA C, on a GPU: their source has run on a CPU, thread by thread, and was compiled for GPUs.
- Any layer, loss, optimizer, metric or augmentation on CuPy's arrays, and so `device="cuda"` as a whole: the same
  bodies of code run on NumPy, on array-api-strict, and on a GPU that is played by NumPy.
- Whatever calls cuDNN, captures a step in a CUDA graph, or computes in TF32, bfloat16 or float16 on a device.
- Convolutions fused with a rectifier, a folded norm or a sum, of which cuDNN's plans are partly compiled while running;
  augmentation drawn on a device; batches dropped, and losses looked at, there; checkpoints of arrays on a GPU.
- The tests marked `gpu`, which are skipped everywhere else.
- `OutOfMemory` of a real device, two GPUs in a machine, the container with `--gpus all`.
- This benchmark on a GPU: all of it runs at toy sizes on a CPU, but for what calls CuPy, cuDNN, CUDA graphs and
  PyTorch's CUDA modes. The first run may have to mend small things.

So no speed is known: not ours on a GPU, not its ratio to PyTorch's, not the gap to what a GPU can do."""

HOW = """\
## How to run it

```sh
pip install '.[cuda13,test]' torch   # or cuda12; on the machine with the GPU
export XPCNN_DATA_DIR=/data          # with fashion-mnist/ in it; nothing is downloaded
python -m benchmarks.gpu --rehearse  # toy sizes: mend what is small; with --device cpu anywhere
python -m benchmarks.gpu             # about ten minutes; once more goes on where it ended, and tries what failed
```

A plain checkout will do, too, where CuPy, array-api-compat and threadpoolctl are installed (and pytest, hypothesis
and array-api-strict for the tests): the command runs from its root, and nothing has to be built. Parts can be chosen
(`--parts probe table`), works (`--work`), PyTorch's modes (`--against graph`), the time in all (`--seconds`). Each
result is written at once; what there was no time for is named, and measured by the next run. `pytest -m gpu` is one
of the parts. Commit the file of results and this page together."""

COMPARED = """\
Steps of training and of inference on one batch that lies on the device, in float32 or bfloat16 (with weights,
optimizer and loss in float32), TF32 off on both sides unless the results say otherwise. PyTorch in each of its modes:
eager; compiled, in the modes default, reduce-overhead and max-autotune; and a step captured by hand as a CUDA graph;
always with images channels-last, cudnn.benchmark, and fused optimizers. xpcnn step by step (call by call), and with
steps and forward passes captured. The network of PyTorch is built from our description of ours and starts from our
weights; losses of the first five steps are compared, and a contender whose losses are others takes no part in a
ratio.

Each figure is the median over processes, in each of which steps are timed by CUDA events in ten laps of a second in
all, once they are warm. In a round the contenders of a work follow one another and take turns at being first; a ratio
is taken within a round, and the median over the rounds is shown. The goals are this project's, for an H200."""

FLOOR = """\
Three times that a step cannot fall below, from the ceilings that are measured in the same run; the largest is the
floor, and the gap is our time over it."""

LIMITS = """\
- One batch, which is always the same and lies on the device: nothing is said of loading data. Its losses fall fast,
  which changes no time.
- The floor of bytes counts every array as if it went through memory. What stays in the level 2 cache is faster, so
  that small networks in small batches can fall below it.
- The floor of operations takes the rate of one large product of square matrices. Winograd's way needs fewer products
  than are counted.
- Losses are compared over five steps from the same weights. That two libraries train equally well is shown by the
  time to an accuracy, once, for one network.
- A clock called "wall" is the time between two moments at which the device has nothing to do, where events did not
  see what was computed, since it was on another stream. It holds the microseconds of waiting, once a lap.
- PyTorch's networks are compiled, its optimizers are not: they are fused kernels. Its captured step holds both.
- In the time to an accuracy, PyTorch's modes reduce-overhead and max-autotune take no part: they compile for longer
  than the others train.
- Clocks, temperature and neighbours of the GPU are not looked at; rounds in turns are what there is against them.
- Nothing is said of several GPUs."""

GOAL_TITLE = ("work", "goal", "ratio", "from - to", "met", "ours", "PyTorch's best", "images/s, ours / its", "gap")
FLOOR_TITLE = ("work", "operations", "bytes", "launches", "floor", "ours", "gap")
ACCURACY_TITLE = ("who", "of the test images", "from process start", "after each epoch")

TIMES = """\
In brackets, how many processes were measured."""
STARTS = """\
Medians over the rounds, with compiled kernels kept from one round to the next, and some shared by several works."""
COLD = """\
From the start of a process to the end of its first step, with empty folders of compiled kernels / in a second
process, which finds them filled. Python, the library's import and the start of CUDA are in it."""
SUMS = """\
The largest relative difference from xpcnn (where that was not measured: from PyTorch, eager): of a loss in the first
five steps, where one below a tenth of the first counts as that; of scores from the largest score. Allowed: {float32}
in float32, {bfloat16} in bfloat16; what is above is in bold type, and takes no part in a ratio."""
ACCURACY = """\
fashion_small on Fashion-MNIST by the recipe of `xpcnn train`, from the start of the process, data on disk; evaluated
after each epoch."""
