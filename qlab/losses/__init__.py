"""Losses: what training minimises, row by row; one file per loss."""

from qlab.losses.base import Loss
from qlab.losses.cross_entropy import CrossEntropy
from qlab.losses.forward_correction import ForwardCorrection
from qlab.losses.generalized_cross_entropy import GeneralizedCrossEntropy
from qlab.losses.mean_absolute_error import MeanAbsoluteError
from qlab.losses.symmetric_cross_entropy import SymmetricCrossEntropy

__all__ = [
    "CrossEntropy",
    "ForwardCorrection",
    "GeneralizedCrossEntropy",
    "Loss",
    "MeanAbsoluteError",
    "SymmetricCrossEntropy",
]
