"""What a run says of itself while it goes."""

import sys
import time
from typing import Any, TextIO, final

from xpcnn.backend import to_numpy

from .base import Callback, Logs

__all__ = ["ProgressBar"]


@final
class ProgressBar(Callback):
    """
    Say how the run goes: a bar on a terminal, and one line for each finished epoch.

    Parameters
    ----------
    bar : bool
        Whether to draw a bar within the epoch.
    file : text stream, optional
        Where lines go; default: standard output. The bar goes to standard error.
    note : str
        A last line, at the end of the run.

    Examples
    --------
    >>> import numpy as np
    >>> from xpcnn import Linear, Sequential
    >>> model = Sequential(Linear(2, 2))
    >>> _ = model.fit(np.eye(2, dtype="float32"), np.asarray([0, 1]), verbose=0, callbacks=[ProgressBar()])
    ... # doctest: +ELLIPSIS
    epoch 1/1  ...s  loss ...  accuracy ...
    """

    only_looks = True
    READ_EVERY = 0.5  # seconds between two looks at the loss: each one waits for the device

    def __init__(self, bar: bool = False, file: TextIO | None = None, note: str = "") -> None:
        self.bar, self.file, self.note = bar, file, note
        self._tqdm: Any = None
        self._started = self._read = 0.0

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._started = self._read = time.perf_counter()
        if self.bar:
            from tqdm import tqdm

            label = f"epoch {epoch + 1}/{self.params['epochs']}"
            self._tqdm = tqdm(total=self.params["steps"], desc=label, unit="batch", leave=False, file=sys.stderr)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if self._tqdm is None:
            return
        now = time.perf_counter()
        if now - self._read >= self.READ_EVERY and logs:
            self._read = now
            self._tqdm.set_postfix(loss=f"{float(to_numpy(logs['loss'])):.4f}", refresh=False)
        self._tqdm.update(batch + 1 - self._tqdm.n)  # a run that was resumed begins in the middle

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self.close()
        seconds = time.perf_counter() - self._started
        figures = "".join(f"  {name} {value:.4f}" for name, value in (logs or {}).items())
        print(f"epoch {epoch + 1}/{self.params['epochs']}  {seconds:.1f}s{figures}", file=self.file, flush=True)

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self.note:
            print(self.note, file=self.file, flush=True)

    def close(self) -> None:
        """Take the bar away, also after an error."""
        if self._tqdm is not None:
            self._tqdm.close()
            self._tqdm = None
