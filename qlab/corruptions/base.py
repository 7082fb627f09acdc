"""What a corruption is, and which rows it takes."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from qlab.component import Component
from qlab.errors import DataError
from qlab.fields import Ratio
from qlab.tasks.base import Split, Task


@dataclasses.dataclass(frozen=True, eq=False)
class Corrupted:
    """A training split after corruption.

    Args:
        split: the polluted split, rows in the order of the clean one.
        mask: which rows were corrupted, shape ``[N]``, bool. They are the forget set, the others the retain set.
        clean_y: the labels before corruption, shape ``[N]``, int64.
    """

    split: Split
    mask: Tensor
    clean_y: Tensor

    def __post_init__(self) -> None:
        rows = (len(self.split),)
        if self.mask.dtype != torch.bool or self.mask.shape != rows or self.clean_y.shape != rows:
            raise DataError(
                f"Corrupted: got a mask of {self.mask.dtype} and shape {list(self.mask.shape)} and clean_y of shape "
                f"{list(self.clean_y.shape)}, accepts a mask of torch.bool and clean_y of {rows[0]} rows each."
            )


class Corruption(Component):
    """Pollutes a fraction of the training split.

    Override :meth:`apply`; use :meth:`choose_rows` for the rows. Set ``changes_features = True`` when it
    replaces features, so that models do not leave out inputs that only the clean data lack.

    Args:
        ratio: the fraction of training rows that is corrupted (the paper's alpha).
    """

    kind: ClassVar[str] = "corruption"
    changes_features: ClassVar[bool] = False

    ratio: Ratio = 0.0

    @abstractmethod
    def apply(self, split: Split, task: Task, generator: torch.Generator) -> Corrupted:
        """A corrupted copy of ``split``, which stays as it is; ``generator`` is the only source of randomness."""

    def choose_rows(self, split: Split, generator: torch.Generator) -> Tensor:
        """Which rows to corrupt: a bool mask ``[N]`` with equally many rows of each class.

        Takes ratio * N / 2 rows of each class, rounded half up. Where a class has fewer, the other makes up
        for it, so that ratio 1 takes every row. Rows of a smaller ratio are among those of a larger one when the
        generator starts from the same state.
        """
        per_class = int(self.ratio * len(split) / 2 + 0.5)
        orders = []
        for label in (0, 1):
            rows = torch.nonzero(split.y == label).flatten()
            orders.append(rows[torch.randperm(len(rows), generator=generator)])
        missing = [max(per_class - len(order), 0) for order in orders]
        mask = torch.zeros(len(split), dtype=torch.bool)
        for order, other_missing in zip(orders, reversed(missing), strict=True):
            mask[order[: per_class + other_missing]] = True
        return mask
