"""Metrics that are evaluated beside the built-in ones; files name them in ``[[metric]]`` tables."""

from qlab.metrics.accuracy import Accuracy
from qlab.metrics.attack_success import AttackSuccess
from qlab.metrics.balanced_accuracy import BalancedAccuracy
from qlab.metrics.base import Metric, Rows
from qlab.metrics.calibration_error import CalibrationError
from qlab.metrics.log_loss import LogLoss
from qlab.metrics.roc_auc import ROCAUC

__all__ = ["ROCAUC", "Accuracy", "AttackSuccess", "BalancedAccuracy", "CalibrationError", "LogLoss", "Metric", "Rows"]
