"""
Train fashion_small on Fashion-MNIST until the test images are told apart well enough; seconds from the process' start.

All follow the recipe of `xpcnn train`: batches of 128, AdamW, a learning rate that grows and falls over 8 epochs, every
other image mirrored, the test images evaluated after each epoch. All read the files by `xpcnn.datasets`. Takes a JSON
object, prints another one in its last line.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

from .job import Refused

MODEL = "fashion_small"
EVALUATED = 1000  # images at once

Note = Callable[[float], bool]  # is told the accuracy after each epoch, says whether it suffices


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Train; the accuracy and the time after each epoch, and the time of the first that was good enough."""
    epochs: list[dict[str, float]] = []

    def note(accuracy: float) -> bool:
        epochs.append({"accuracy": round(accuracy, 4), "s": round(time.time() - job["began"], 3)})
        return accuracy >= job["target"]

    try:
        about = (ours if job["contender"].startswith("xpcnn") else theirs)(job, note)
    except Refused as error:
        return {"refused": str(error)}
    reached = next((one["s"] for one in epochs if one["accuracy"] >= job["target"]), None)
    return {"about": about, "reached_s": reached, "epochs": epochs, "target": job["target"]}


def data(job: dict[str, Any]) -> list[Any]:
    """Training and test images and labels from the disk, never from a network."""
    from xpcnn import datasets

    found = {info.name: info.found for info in datasets.available()}
    if found[job["data"]] is None:
        message = f"{job['data']} is not on this machine: set XPCNN_DATA_DIR to the folder that holds {job['data']}/"
        raise Refused(message)
    return [(x[: job["images"]], y[: job["images"]]) for x, y in datasets.load(job["data"])]


def plan(images: int) -> tuple[Any, int, Any]:
    """The recipe, its steps in an epoch, and its optimizer, as ours has it."""
    from xpcnn.cli.recipes import make_optimizer, recipe

    own = recipe(MODEL)
    each = -(-images // own.batch_size)
    return own, each, make_optimizer(own.optimizer, own.lr, own.schedule, own.epochs * each)


def ours(job: dict[str, Any], note: Note) -> str:
    """By `Trainer.fit`."""
    import xpcnn
    from xpcnn.cli.recipes import make_augment
    from xpcnn.training import Callback

    class Told(Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.model.stop_training = note(logs["val_accuracy"])

    compile = "auto" if job["contender"].endswith("compiled") else False
    (x, y), test = data(job)
    own, _, optimizer = plan(len(x))
    net = getattr(xpcnn.models, MODEL)(device=job["device"], seed=0)
    trainer = xpcnn.Trainer(net, optimizer=optimizer, compile=compile)
    augment = make_augment(own.augment, *x.shape[2:], 10)
    options = {"epochs": own.epochs, "batch_size": own.batch_size, "augment": augment, "verbose": 0}
    trainer.fit(x, y, validation_data=test, callbacks=[Told()], **options)
    return f"xpcnn {xpcnn.__version__}"


def theirs(job: dict[str, Any], note: Note) -> str:
    """PyTorch, the data on the device."""
    import torch

    from .theirs import captured, compiled, network, settle

    mode, device = job["contender"].partition("-")[2], job["device"]
    on_gpu = device != "cpu"
    settle(torch, mode, device, tf32=False)
    (x, y), test = ([torch.from_numpy(a).to(device) for a in pair] for pair in data(job))
    own, each, rates = plan(len(x))
    net = network(torch, job["folder"], device).train()
    # a graph reads the learning rate where it lies
    lr = torch.tensor(rates.lr(0), device=device) if mode == "graph" else rates.lr(0)
    fused = {"fused": True} if on_gpu else {}
    optimizer = torch.optim.AdamW(net.parameters(), lr, capturable=mode == "graph", **fused)
    call = compiled(torch, net, mode)
    size = min(own.batch_size, len(x))
    images, labels = torch.empty_like(x[:size]), torch.zeros_like(y[:size])

    def step(xs: Any = images, ys: Any = labels) -> Any:
        optimizer.zero_grad(set_to_none=True)
        loss = torch.nn.functional.cross_entropy(call(xs), ys)
        loss.backward()
        optimizer.step()
        return loss.detach()

    images.copy_(x[:size])
    replay = captured(torch, step, net, optimizer) if mode == "graph" else None

    def evaluate() -> float:
        net.eval()
        with torch.inference_mode():
            pairs = zip(*(part.split(EVALUATED) for part in test), strict=True)
            right = sum((call(a).argmax(1) == b).sum() for a, b in pairs)
        net.train()
        return int(right) / len(test[0])

    for epoch in range(own.epochs):
        order = torch.randperm(len(x), device=device)
        for i in range(each):
            index = order[i * size : (i + 1) * size]
            mirrored = torch.rand(len(index), 1, 1, 1, device=device) < 0.5
            batch = torch.where(mirrored, x[index].flip(3), x[index])
            for group in optimizer.param_groups:
                if mode == "graph":
                    group["lr"].fill_(rates.lr(epoch * each + i))
                else:
                    group["lr"] = rates.lr(epoch * each + i)
            if replay is not None and len(index) == size:
                images.copy_(batch)
                labels.copy_(y[index])
                replay()
            else:
                step(batch, y[index])
        if note(evaluate()):
            break
    return f"PyTorch {torch.__version__}"


if __name__ == "__main__":
    print(json.dumps(run(json.loads(sys.argv[1]))))
