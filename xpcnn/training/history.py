"""What a training run reports of itself."""

from dataclasses import dataclass, field

__all__ = ["History"]


@dataclass
class History:
    """
    The figures of each epoch.

    Attributes
    ----------
    epoch : list of int
        Numbers of the epochs, from 0.
    history : dict of str to list of float
        By name, such as ``"loss"`` and ``"val_accuracy"``; one entry an epoch.

    Examples
    --------
    >>> history = History()
    >>> history.append(0, {"loss": 0.5})
    >>> history.history
    {'loss': [0.5]}
    """

    epoch: list[int] = field(default_factory=list)
    history: dict[str, list[float]] = field(default_factory=dict)

    def append(self, epoch: int, logs: dict[str, float]) -> None:
        """Add the figures of one epoch."""
        self.epoch.append(epoch)
        for name, value in logs.items():
            self.history.setdefault(name, []).append(value)
