"""
A training process to be killed: ``python -m tests.faults.victim FOLDER [EPOCHS]``.

It saves after each step and goes on with what is in its folder; it says on standard output which step is safe, and at
the end writes its model there. All that has a state takes part.
"""

import sys
from pathlib import Path

from tests.training.helpers import digits, small_net
from xpcnn import Callback, CSVLogger, Trainer
from xpcnn.data.augment import Compose, MixUp, RandomCrop, RandomHorizontalFlip
from xpcnn.optimizers import EMA, SGD, CosineAnnealingLR
from xpcnn.training import ExponentialMovingAverage, ModelCheckpoint

EPOCHS = 20
BATCH = 8  # of 20 samples


class Says(Callback):
    """Behind the one that saves: what it says is on the disk."""

    def on_checkpoint(self, ending=""):
        print(self.trainer.steps, flush=True)


def main(folder: Path, epochs: int = EPOCHS) -> None:
    x, y = digits(n=20)
    optimizer = SGD(lr=CosineAnnealingLR(0.1, T_max=3 * epochs), momentum=0.9, nesterov=True)
    trainer = Trainer(small_net(dropout=0.2, seed=7), "softmax_cross_entropy", optimizer)
    trainer.fit(
        x, y, epochs=epochs, batch_size=BATCH, validation_data=digits(n=9, seed=1), verbose=0, resume=folder,
        augment=Compose([RandomHorizontalFlip(), RandomCrop(6, padding=1), MixUp(num_classes=3)]),
        callbacks=[
            ExponentialMovingAverage(EMA(0.9)),
            ModelCheckpoint(folder, every_steps=1, keep=2),
            CSVLogger(folder / "history.csv"),
            Says(),
        ],
    )  # fmt: skip
    trainer.model.save(folder / "model.safetensors")
    print("done", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
