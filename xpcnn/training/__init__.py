"""Training: the step, the loop, what watches it, and what is measured."""

from typing import TYPE_CHECKING, Any

from .callbacks import (
    Callback,
    CSVLogger,
    EarlyStopping,
    ExponentialMovingAverage,
    LearningRateScheduler,
    ModelCheckpoint,
    ProgressBar,
    ReduceLROnPlateau,
    TerminateOnNaN,
    TimeLimit,
)
from .history import History
from .inference import evaluate, predict, predict_proba
from .lr_finder import LRFinding, lr_find
from .metrics import accuracy, confusion_matrix, top_k_accuracy
from .scores import classification_report, f1, precision, recall
from .trainer import Trainer

if TYPE_CHECKING:
    from .explain import Explanation, explain_step

__all__ = [
    "CSVLogger",
    "Callback",
    "EarlyStopping",
    "Explanation",
    "ExponentialMovingAverage",
    "History",
    "LRFinding",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "ProgressBar",
    "ReduceLROnPlateau",
    "TerminateOnNaN",
    "TimeLimit",
    "Trainer",
    "accuracy",
    "classification_report",
    "confusion_matrix",
    "evaluate",
    "explain_step",
    "f1",
    "lr_find",
    "precision",
    "predict",
    "predict_proba",
    "recall",
    "top_k_accuracy",
]


def __getattr__(name: str) -> Any:
    """Teaching mode is a library of its own, imported when it is asked for."""
    if name in ("Explanation", "explain_step"):
        from . import explain

        return getattr(explain, name)
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
