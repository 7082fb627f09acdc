"""Contradictory examples."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from qlab.corruptions.base import Corrupted, Corruption
from qlab.tasks.base import Split, Task
from qlab.tasks.replaced_features import change_rows


class PairDuplicate(Corruption):
    """Replaces rows by copies of clean rows of their class with the other label, equally many in each class.

    The number of rows stays the same, and as many are replaced as LabelFlip flips at the same ratio: each becomes a
    copy of a clean row, with its label flipped, while the original stays. The copies, not the originals, are the forget
    set. As long as at most half of a class is replaced, no clean row is copied twice; beyond that they are copied in
    turn. A class whose rows are all replaced, as at ratio 1, has none left to copy: its rows keep their features, and
    only the labels are flipped.

    Args:
        ratio: the fraction of training rows that are replaced by copies.
    """

    changes_features: ClassVar[bool] = True
    formula: ClassVar[str] = "x' = x_m, y' = 1 - y_m, m a clean row with y_m = y"
    source: ClassVar[str] = "contradictory examples: Zhu and Wu, Artif. Intell. Rev. 22, 177 (2004)"

    def apply(self, split: Split, task: Task, generator: torch.Generator) -> Corrupted:
        """A copy of ``split`` with some rows replaced by flipped copies of others, and what is known of them, too."""
        mask = self.choose_rows(split, generator)
        if not mask.any():
            return Corrupted(split, mask, split.y)
        sources = torch.arange(len(split))
        for label in (0, 1):
            copies, clean = (torch.nonzero((split.y == label) & chosen).flatten() for chosen in (mask, ~mask))
            if len(clean):
                drawn = clean[torch.randperm(len(clean), generator=generator)]
                sources[copies] = drawn[torch.arange(len(copies)) % len(drawn)]
        x = change_rows(split.x, mask, sources[mask], _same)
        about = {name: values[sources] for name, values in split.about.items()}
        return Corrupted(Split(x, torch.where(mask, 1 - split.y, split.y), about), mask, split.y)


def _same(rows: Tensor) -> Tensor:
    return rows
