"""Callbacks: what else happens in a training run, with Keras' method names and arguments."""

from .averages import ExponentialMovingAverage
from .base import Callback, CallbackList, as_list
from .checkpoints import ModelCheckpoint
from .csv_logger import CSVLogger
from .progress import ProgressBar
from .rates import LearningRateScheduler, ReduceLROnPlateau
from .stopping import EarlyStopping, TerminateOnNaN, TimeLimit

__all__ = [
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "ExponentialMovingAverage",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "ProgressBar",
    "ReduceLROnPlateau",
    "TerminateOnNaN",
    "TimeLimit",
    "as_list",
]
