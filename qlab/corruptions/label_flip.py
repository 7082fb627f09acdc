"""Label flipping."""

from __future__ import annotations

from typing import ClassVar

import torch

from qlab.corruptions.base import Corrupted, Corruption, flip
from qlab.tasks.base import Split, Task


class LabelFlip(Corruption):
    """Flips the labels of a fraction of the training rows, equally many in each class.

    Args:
        ratio: the fraction of training rows whose label is flipped (the paper's alpha).
    """

    formula: ClassVar[str] = "y' = 1 - y"
    source: ClassVar[str] = "arXiv:2508.02422, Eq. 3"

    def apply(self, split: Split, task: Task, generator: torch.Generator) -> Corrupted:
        """A copy of ``split`` with flipped labels; the features are the same tensor."""
        return flip(split, self.choose_rows(split, generator))
