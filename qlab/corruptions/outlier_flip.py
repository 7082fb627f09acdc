"""Label noise on unusual rows."""

from __future__ import annotations

from typing import ClassVar

import torch

from qlab.corruptions.base import Corrupted, Corruption, flip
from qlab.corruptions.geometry import mean_distances
from qlab.tasks.base import Split, Task


class OutlierFlip(Corruption):
    """Flips the labels of the rows farthest from the mean of their class, equally many in each class.

    It flips as many rows as LabelFlip at the same ratio. Nothing is random except the order of rows that are equally
    far. It models noise that is not random: whoever labels the data errs on what is unusual. Takes N_c^2 d
    multiplications for the N_c rows of a class.

    Args:
        ratio: the fraction of training rows whose label is flipped.
    """

    formula: ClassVar[str] = (
        "y' = 1 - y for the largest |x - mean x|^2 of each class; of complex x the largest | |x><x| - mean |x><x| |^2"
    )
    source: ClassVar[str] = "noise not at random: Frenay and Verleysen, IEEE TNNLS 25, 845 (2014)"

    def apply(self, split: Split, task: Task, generator: torch.Generator) -> Corrupted:
        """A copy of ``split`` with flipped labels; the features are the same tensor."""
        nearness = torch.zeros(len(split), dtype=torch.float64)
        for label in split.y.unique().tolist() if self.ratio else []:
            rows = torch.nonzero(split.y == label).flatten()
            nearness[rows] = -mean_distances(split.x[rows])
        return flip(split, self.choose_rows(split, generator, nearness))

    def apply_to_unseen(self, split: Split, task: Task, generator: torch.Generator) -> Corrupted:
        """Flips the farthest rows, too, at the same ratio."""
        return self.apply(split, task, generator)
