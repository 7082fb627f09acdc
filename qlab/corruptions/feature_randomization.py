"""Feature randomisation."""

from __future__ import annotations

from typing import ClassVar

import torch

from qlab.corruptions.base import Corrupted, Corruption
from qlab.tasks.base import Split, Task, draw_features
from qlab.tasks.features import LazyFeatures
from qlab.tasks.replaced_features import DrawnRows, ReplacedFeatures, is_copied


class FeatureRandomization(Corruption):
    """Replaces the features of a fraction of the training rows, equally many in each class, by random vectors.

    The vectors come from the task: normalised complex Gaussian vectors for XXZ, normalised real Gaussian vectors for
    images.

    Args:
        ratio: the fraction of training rows whose features are replaced (the paper's alpha).
    """

    changes_features: ClassVar[bool] = True
    formula: ClassVar[str] = "x' = g / |g|, g_j ~ N(0, 1), for complex x: g_j ~ N(0, 1) + i N(0, 1)"
    source: ClassVar[str] = "arXiv:2508.02422, Eqs. 4 and 5"

    def apply(self, split: Split, task: Task, generator: torch.Generator) -> Corrupted:
        """A copy of ``split`` with some feature vectors replaced; the labels stay."""
        mask = self.choose_rows(split, generator)
        if not mask.any():
            return Corrupted(split, mask, split.y)
        if isinstance(split.x, LazyFeatures) or not is_copied(split.x):

            def draw(n: int, source: torch.Generator) -> torch.Tensor:
                return draw_features(task, n, source, split.x)

            drawn = DrawnRows(draw, generator, int(mask.sum()))
            return Corrupted(Split(ReplacedFeatures.where(mask, split.x, drawn), split.y, split.about), mask, split.y)
        x = split.x.clone()
        x[mask] = draw_features(task, int(mask.sum()), generator, x)
        return Corrupted(Split(x, split.y, split.about), mask, split.y)
