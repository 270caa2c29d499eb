"""Training: the step, the loop, what watches it, and what is measured."""

from .callbacks import (
    Callback,
    CSVLogger,
    EarlyStopping,
    ExponentialMovingAverage,
    LearningRateScheduler,
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

__all__ = [
    "CSVLogger",
    "Callback",
    "EarlyStopping",
    "ExponentialMovingAverage",
    "History",
    "LRFinding",
    "LearningRateScheduler",
    "ProgressBar",
    "ReduceLROnPlateau",
    "TerminateOnNaN",
    "TimeLimit",
    "Trainer",
    "accuracy",
    "classification_report",
    "confusion_matrix",
    "evaluate",
    "f1",
    "lr_find",
    "precision",
    "predict",
    "predict_proba",
    "recall",
    "top_k_accuracy",
]
