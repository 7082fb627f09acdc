"""Label noise that depends on the features."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from qlab import seeding
from qlab.corruptions.base import Corrupted, Corruption, flip
from qlab.corruptions.geometry import projections
from qlab.fields import NonNegativeFloat, NonNegativeInt
from qlab.tasks.base import Split, Task
from qlab.tasks.features import FeatureRows


class InstanceFlip(Corruption):
    """Flips the labels of rows chosen by their position along a random direction, equally many in each class.

    It flips as many rows as LabelFlip at the same ratio. Every class c has a direction w_c with normal entries, drawn
    with ``direction_seed``. Rows are drawn without replacement, with a weight that grows with the row's projection on
    the direction of its class, standardised within the class. The construction used in noisy-label benchmarks flips a
    row to class k with a probability proportional to exp(x . w_y)_k; with two classes there is only one k, and the
    direction drops out. Here the direction decides which rows are flipped.

    Args:
        ratio: the fraction of training rows whose label is flipped.
        strength: how much the projection matters: 0 draws like LabelFlip; a row one standard deviation further along
            the direction has e^strength times the weight.
        direction_seed: seed of the directions, which are the same for every trial and for rows on which no model is
            trained.
    """

    formula: ClassVar[str] = (
        "weight exp(strength s), s = x . w_y standardised in its class, w_c ~ N(0, 1); of complex x: s = |<w_y, x>|^2"
    )
    source: ClassVar[str] = "arXiv:2006.07836 (for several classes); drawn by the Gumbel top-k trick, arXiv:1903.06059"

    strength: NonNegativeFloat = 2.0
    direction_seed: NonNegativeInt = 0

    def apply(self, split: Split, task: Task, generator: torch.Generator) -> Corrupted:
        """A copy of ``split`` with flipped labels; the features are the same tensor."""
        gumbel = -torch.empty(len(split), dtype=torch.float64).exponential_(generator=generator).log()
        if self.ratio and self.strength:
            gumbel += self.strength * self._projected(split)
        return flip(split, self.choose_rows(split, generator, -gumbel))

    def apply_to_unseen(self, split: Split, task: Task, generator: torch.Generator) -> Corrupted:
        """Draws rows along the same directions, at the same ratio."""
        return self.apply(split, task, generator)

    def _projected(self, split: Split) -> Tensor:
        """The projection of each row on the direction of its class, standardised within the class, ``[N]``."""
        found = projections(split.x, self._directions(split.x))
        for label in split.y.unique().tolist():
            rows = split.y == label
            values = found[rows, label]
            deviation = values.std(correction=0)
            found[rows, label] = (values - values.mean()) / (deviation if deviation > 0.0 else 1.0)
        return found.gather(1, split.y[:, None])[:, 0]

    def _directions(self, x: FeatureRows) -> Tensor:
        generator = seeding.generator(self.direction_seed, "instance-directions")
        return torch.randn(2, x.shape[1], generator=generator, dtype=x.dtype)
