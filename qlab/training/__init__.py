"""Training: one loop for one model or an ensemble."""

from qlab.training.data import Member
from qlab.training.trainer import TrainedEnsemble, Trainer

__all__ = ["Member", "TrainedEnsemble", "Trainer"]
