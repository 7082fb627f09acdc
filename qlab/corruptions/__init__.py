"""Ways to pollute a training split: one file per corruption."""

from qlab.corruptions.base import Corrupted, Corruption
from qlab.corruptions.feature_randomization import FeatureRandomization
from qlab.corruptions.label_flip import LabelFlip
from qlab.corruptions.no_corruption import NoCorruption

__all__ = ["Corrupted", "Corruption", "FeatureRandomization", "LabelFlip", "NoCorruption"]
