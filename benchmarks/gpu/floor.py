"""
The least time that a work can take on a GPU of which the ceilings are known.

Counted are products, numbers that pass through memory, and kernels; each by the rate that was measured. The largest of
the three times is the floor.
"""

import math
from typing import Any

# computed by the kernel of the layer before, on numbers that it holds anyway
FREE = ("ReLU", "Dropout", "Flatten")
SIZES = {"float32": 4, "bfloat16": 2, "float16": 2}  # bytes
STATES = {"momentum": 1, "adam": 2}  # arrays as large as the weights that an optimizer keeps

FORMULA = """\
- **operations**: 2 x products / matrix rate; a training step has three products of the same size where inference has
  one (output, gradient of the input, gradient of the weights).
- **bytes**: with N images of I numbers, whose layers write A numbers (ReLU, dropout and flatten are free, batch norm
  is in inference), P weights, s bytes a number and k arrays of an optimizer: inference s (N (I + 2 A) + P); a
  training step s (N (2 I + 5 A) + 2 P) + 4 (4 + 2 k) P: arrays are written and read once forward, and once more read,
  beside a gradient that is written and read, backward; gradients, weights and the optimizer's arrays are in float32.
- **launches**: kernels x the time of one in a graph that is replayed, but at least that of launching the graph. A
  layer that is not free is one kernel forward, one backward, and one more where it has weights; the loss and the
  update are one each."""


def count(net: Any, shape: tuple[int, ...]) -> dict[str, int]:
    """
    What a network's forward pass comes to for one image.

    Returns
    -------
    counts : dict
        ``macs``: products; ``weights``; ``input``: numbers; ``train_numbers``, ``infer_numbers``: that layers write;
        ``train_kernels``, ``infer_kernels``.
    """
    from xpcnn.models.container import traverse

    found = {"macs": net.cost(shape, 4).macs, "weights": sum(math.prod(p.shape) for p in net.params.values())}
    found |= {"input": math.prod(shape), "train_numbers": 0, "infer_numbers": 0, "train_kernels": 2, "infer_kernels": 0}

    def see(visit: Any) -> None:
        kind, numbers = type(visit.layer).__name__, math.prod(visit.output_shape)
        if kind in FREE:
            return
        found["train_numbers"] += numbers
        found["train_kernels"] += 3 if visit.layer.params else 2
        if not kind.startswith("BatchNorm"):
            found["infer_numbers"] += numbers
            found["infer_kernels"] += 1

    traverse(net, shape, see)
    return found


def floor(
    work: dict[str, Any], counts: dict[str, int], ceilings: dict[str, Any], tf32: bool
) -> dict[str, float | None]:
    """
    Milliseconds that operations, bytes and launches take at least, and the largest of them; None: not known.

    Parameters
    ----------
    work : dict
        ``batch``, ``dtype``, ``optimizer``.
    counts : dict
        See `count`.
    ceilings : dict
        ``float32_tflops``, ``tf32_tflops``, ``bfloat16_tflops``, ``copy_gb_s``, ``graph_launch_us``,
        ``graph_kernel_us``, as far as they were measured.
    """
    n, dtype, train = work["batch"], work["dtype"], work["optimizer"] is not None
    times: dict[str, float | None] = {"operations": None, "bytes": None, "launches": None}
    rate = ceilings.get(f"{'tf32' if tf32 and dtype == 'float32' else dtype}_tflops")
    if rate:
        times["operations"] = 2.0 * counts["macs"] * n * (3 if train else 1) / rate / 1e9
    if ceilings.get("copy_gb_s"):
        times["bytes"] = moved(work, counts) / ceilings["copy_gb_s"] / 1e6
    launch, kernel = ceilings.get("graph_launch_us"), ceilings.get("graph_kernel_us")
    if launch and kernel:
        times["launches"] = max(launch, kernel * counts["train_kernels" if train else "infer_kernels"]) / 1e3
    known = [value for value in times.values() if value is not None]
    return {**times, "floor": max(known) if len(known) == len(times) else None}


def moved(work: dict[str, Any], counts: dict[str, int]) -> int:
    """Bytes through memory, in a training step or in inference."""
    n, size, weights = work["batch"], SIZES[work["dtype"]], counts["weights"]
    if work["optimizer"] is None:
        return size * (n * (counts["input"] + 2 * counts["infer_numbers"]) + weights)
    through = size * (n * (2 * counts["input"] + 5 * counts["train_numbers"]) + 2 * weights)
    return through + 4 * (4 + 2 * STATES[work["optimizer"]]) * weights
