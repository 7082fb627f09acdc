"""What a corruption is, and which rows it takes."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from qlab.component import Component
from qlab.errors import DataError
from qlab.fields import Ratio
from qlab.tasks import conversion
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
        if not isinstance(self.split, Split):
            raise DataError(f"Corrupted: split is of type {type(self.split).__name__}, accepts a split: Split(x, y).")
        mask, rows = _tensor(self.mask), len(self.split)
        clean_y = conversion.labels(self.clean_y)
        if mask is None or mask.dtype != torch.bool or mask.shape != (rows,) or clean_y.shape != (rows,):
            got = type(self.mask).__name__ if mask is None else f"{mask.dtype} and shape {list(mask.shape)}"
            whole = mask is not None and not mask.is_floating_point() and mask.dtype != torch.bool and mask.ndim == 1
            way = ""
            if whole and mask is not None and mask.shape != (rows,):
                way = " Of positions: mask = torch.zeros(len(split), dtype=torch.bool); mask[positions] = True."
            elif mask is not None and mask.dtype != torch.bool:
                way = " Of zeros and ones: mask.bool()."
            raise DataError(
                f"Corrupted: got a mask of {got} and clean_y of shape {list(clean_y.shape)}, accepts a mask of "
                f"torch.bool and clean_y of {rows} rows each.{way}"
            )
        object.__setattr__(self, "mask", mask)
        object.__setattr__(self, "clean_y", clean_y)


def _tensor(mask: object) -> Tensor | None:
    if isinstance(mask, np.ndarray | list | tuple):
        array = np.array(mask)
        return torch.from_numpy(array) if array.dtype.kind in "biu" else None
    return mask.detach().cpu() if isinstance(mask, Tensor) else None


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
