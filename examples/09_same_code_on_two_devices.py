"""
The same lines on several array libraries: same initial weights, same dropout masks, and losses that differ by rounding.

    python examples/09_same_code_on_two_devices.py [--plot FILE.png]

NumPy is compared with each of these that is here: CuPy, if a GPU works; array-api-strict, whose "device1" is a stand-in
for a GPU, because NumPy cannot read what lies on it; PyTorch on the CPU. Expect at most some rounding units: 1e-15 in
float64, 1e-6 in float32.
"""

import sys

import numpy as np
from _show import options, picture, table

import xpcnn
from xpcnn.backend import Key, to_numpy
from xpcnn.errors import DeviceUnavailable
from xpcnn.layers import Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU

STEPS, BATCH = 5, 16


def make_model(dtype):
    return xpcnn.Sequential(
        Conv2d(1, 8, 5, padding=2),
        ReLU(),
        MaxPool2d(4),
        Flatten(),
        Dropout(0.5),
        Linear(8 * 7 * 7, 10),
        dtype=dtype,
        seed=7,
    )


def second_places():
    """How to move a model to each place but NumPy's that there is on this machine."""
    try:
        make_model("float32").to("cuda")
    except DeviceUnavailable as error:
        print(f"left out: {error}\n")
    else:
        yield {"device": "cuda"}
    try:
        import array_api_strict as strict
    except ImportError:
        print("left out: array-api-strict is not installed\n")
    else:
        yield {"like": strict.zeros(1, device=strict.Device("device1"))}
    try:
        import torch
    except ImportError:
        print("left out: PyTorch is not installed\n")
    else:
        yield {"like": torch.zeros(1)}


def first_mask(model):
    """Where dropout lets ones pass, in the first step of this model."""
    ones = model.home.asarray(np.ones((BATCH, 8 * 7 * 7)), model.dtype)
    y, _ = Dropout(0.5).forward(ones, train=True, key=Key(model.seed, "forward", step=0).child("4"))
    return to_numpy(y) > 0


def train(model, x, y):
    trainer = xpcnn.Trainer(model, "softmax_cross_entropy", xpcnn.optimizers.SGD(lr=0.05, momentum=0.9))
    losses = []
    for i in range(STEPS):
        part = slice(i * BATCH, (i + 1) * BATCH)
        losses.append(float(to_numpy(trainer.step(x[part], y[part]))))
    return np.asarray(losses)


def compare(dtype, place, x, y):
    """A name, and the relative differences of the losses of all steps."""
    here, there = make_model(dtype), make_model(dtype).to(**place)
    weights = zip(here.params.values(), there.params.values(), strict=True)
    same_weights = all((to_numpy(a) == to_numpy(b)).all() for a, b in weights)
    same_masks = (first_mask(here) == first_mask(there)).all()
    here_losses, there_losses = train(here, x.astype(dtype), y), train(there, x.astype(dtype), y)
    differences = np.abs(there_losses - here_losses) / here_losses

    print(f"{here.device} and {there.device}, {dtype}")
    print(f"  initial weights are the same bits: {same_weights}")
    print(f"  dropout masks are the same bits: {same_masks}")
    table(
        ["  step", f"loss on {here.device}", f"loss on {there.device}"],
        [(f"  {i + 1}", f"{here_losses[i]:.12f}", f"{there_losses[i]:.12f}") for i in range(STEPS)],
    )
    print(f"  largest relative difference of the losses: {differences.max():.1e}\n")
    return f"{there.device}, {dtype}", differences


def main():
    plot = options(__doc__).parse_args().plot
    data = xpcnn.datasets.load("mnist-mini")
    places = list(second_places())
    if not places:
        sys.exit("needs one of them beside NumPy: pip install array-api-strict")
    found = [compare(dtype, place, data.x_train, data.y_train) for place in places for dtype in ("float64", "float32")]

    def draw(figure):
        ax = figure.subplots()
        for k, (name, differences) in enumerate(found):
            # a difference of exactly 0 has no place on a logarithmic axis: draw it at the bottom
            shown = np.maximum(differences, 1e-17)
            ax.plot(range(1, STEPS + 1), shown, marker="os^Dv<"[k % 6], linestyle="-" if k % 2 else "--", label=name)
        for dtype in ("float64", "float32"):
            epsilon = float(np.finfo(dtype).eps)
            ax.axhline(epsilon, color="gray", linestyle=":")
            ax.text(1.02, epsilon, f"rounding unit\nof {dtype}", va="center", transform=ax.get_yaxis_transform())
        ax.set(title="How far the losses are from NumPy's on the CPU", yscale="log", ylim=(5e-18, 1e-5))
        ax.set(xlabel=f"step of {BATCH} images", ylabel="relative difference (1e-17: none)")
        ax.set_xticks(range(1, STEPS + 1))
        ax.legend(fontsize=9)

    picture(plot, draw, 8, 4.5)


if __name__ == "__main__":
    main()
