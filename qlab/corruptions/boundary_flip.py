"""Label noise where the classes meet."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor

from qlab.corruptions.base import Corrupted, Corruption, flip
from qlab.corruptions.geometry import margins
from qlab.errors import ConfigError
from qlab.tasks.base import Split, Task, boundary_distances


class BoundaryFlip(Corruption):
    """Flips the labels of the rows nearest to the boundary between the classes, equally many in each class.

    It flips as many rows as LabelFlip at the same ratio. Nothing is random except the order of rows that are equally
    near. This is the sharp limit of boundary-consistent noise, whose rate falls with the distance.

    Args:
        ratio: the fraction of training rows whose label is flipped.
        distance: "task" is the distance that the task knows: |delta - 1| for XXZ. "margin", for tasks that know none,
            is |f(x)| of a linear classifier fitted to the clean split by least squares (ridge, penalty 1): linear in
            real features, in |x><x| of complex ones. It takes N^2 d multiplications.
    """

    formula: ClassVar[str] = "y' = 1 - y for the rows of each class with the smallest distance"
    source: ClassVar[str] = (
        "arXiv:1605.00751 (boundary-consistent noise); Garcia et al., Knowl.-Based Syst. 163, 693 (2019)"
    )

    distance: Literal["task", "margin"] = "task"

    def check_task(self, task: Task) -> None:
        """See the base class."""
        if self.distance == "task" and not task.knows_boundary():
            raise ConfigError(
                f'BoundaryFlip: distance: got "task", but {type(task).__name__} knows no distance of its rows from a '
                'boundary between the classes; accepts "margin" with it: that of a linear classifier.'
            )

    def apply(self, split: Split, task: Task, generator: torch.Generator) -> Corrupted:
        """A copy of ``split`` with flipped labels; the features are the same tensor."""
        return flip(split, self.choose_rows(split, generator, self._distances(split, task) if self.ratio else None))

    def apply_to_unseen(self, split: Split, task: Task, generator: torch.Generator) -> Corrupted:
        """Flips the rows nearest to the boundary, too, at the same ratio."""
        return self.apply(split, task, generator)

    def _distances(self, split: Split, task: Task) -> Tensor:
        return boundary_distances(task, split) if self.distance == "task" else margins(split.x, split.y)
