"""Ways to pollute a training split: one file per corruption."""

from qlab.corruptions.backdoor import Backdoor
from qlab.corruptions.base import Corrupted, Corruption
from qlab.corruptions.boundary_flip import BoundaryFlip
from qlab.corruptions.class_flip import ClassFlip
from qlab.corruptions.feature_randomization import FeatureRandomization
from qlab.corruptions.gaussian_poison import GaussianPoison
from qlab.corruptions.instance_flip import InstanceFlip
from qlab.corruptions.knowledge import Knowledge
from qlab.corruptions.label_flip import LabelFlip
from qlab.corruptions.no_corruption import NoCorruption
from qlab.corruptions.outlier_flip import OutlierFlip
from qlab.corruptions.pair_duplicate import PairDuplicate

__all__ = [
    "Backdoor",
    "BoundaryFlip",
    "ClassFlip",
    "Corrupted",
    "Corruption",
    "FeatureRandomization",
    "GaussianPoison",
    "InstanceFlip",
    "Knowledge",
    "LabelFlip",
    "NoCorruption",
    "OutlierFlip",
    "PairDuplicate",
]
