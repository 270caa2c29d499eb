"""Training: the step, the loop, what watches it, and what is measured."""

from .callbacks import Callback, CSVLogger, EarlyStopping, ProgressBar
from .history import History
from .inference import evaluate, predict, predict_proba
from .metrics import accuracy, confusion_matrix
from .trainer import Trainer

__all__ = [
    "CSVLogger",
    "Callback",
    "EarlyStopping",
    "History",
    "ProgressBar",
    "Trainer",
    "accuracy",
    "confusion_matrix",
    "evaluate",
    "predict",
    "predict_proba",
]
