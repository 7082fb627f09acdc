"""What a corruption is, and which rows it takes."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from typing import Annotated, ClassVar, Self

import annotated_types as at
import numpy as np
import torch
from torch import Tensor

from qlab.component import Component
from qlab.corruptions.knowledge import FIELDS, Knowledge, KnownRows
from qlab.errors import DataError
from qlab.fields import AbsentMeans, NonNegativeFloat, Ratio, fields_of
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

    Override :meth:`apply`; use :meth:`choose_rows` to choose rows, and override :meth:`check_task` if not every task
    will do. Set ``changes_features = True`` if the corruption replaces features, so that models do not leave out inputs
    that are zero only in the clean data.

    Args:
        ratio: the fraction of training rows that is corrupted (the paper's alpha).
        known: the fraction of the corrupted rows that unlearning methods are told about, in (0, 1]; the others stay
            hidden among the rows that they retain. Like the next two fields, it affects only unlearning: models are
            trained in the same way.
        known_rows: which corrupted rows are known: "random" ones, those "near" the boundary between the classes or
            those "far" from it, by the distance that the task knows (|delta - 1| for XXZ).
        false_alarms: clean rows that methods are wrongly told to forget, as a fraction of the number of known rows.
    """

    kind: ClassVar[str] = "corruption"
    changes_features: ClassVar[bool] = False

    ratio: Ratio = 0.0
    known: Annotated[float, at.Interval(gt=0.0, le=1.0), AbsentMeans(1.0)] = 1.0
    known_rows: Annotated[KnownRows, AbsentMeans("random")] = "random"
    false_alarms: Annotated[NonNegativeFloat, AbsentMeans(0.0)] = 0.0

    @property
    def knowledge(self) -> Knowledge:
        """What methods are told of the corrupted rows."""
        return Knowledge(**{name: getattr(self, name) for name in self.told_fields()})

    @property
    def fully_known(self) -> Self:
        """The same corruption with every corrupted row known, and no other: what training depends on."""
        complete = Knowledge()
        return dataclasses.replace(self, **{name: getattr(complete, name) for name in self.told_fields()})

    @classmethod
    def told_fields(cls) -> tuple[str, ...]:
        """The fields that say what methods are told; not those that a class declares anew, for something of its own."""
        own, base = fields_of(cls), fields_of(Corruption)
        return tuple(name for name in FIELDS if own[name].declared == base[name].declared)

    @property
    def has_trigger(self) -> bool:
        """Whether rows that no model was trained on can be given what the corruption puts into features."""
        return self.changes_features and type(self).apply_to_unseen is not Corruption.apply_to_unseen

    def check_task(self, task: Task) -> None:
        """Asked before anything runs, and before data are loaded: raises ConfigError if it cannot pollute a task."""

    @abstractmethod
    def apply(self, split: Split, task: Task, generator: torch.Generator) -> Corrupted:
        """A corrupted copy of ``split``, which stays as it is; ``generator`` is the only source of randomness."""

    def apply_to_unseen(self, split: Split, task: Task, generator: torch.Generator) -> Corrupted:
        """The same to rows that no model is trained on: which of them are like the corrupted rows of training.

        By default all, as at ratio 1. A corruption that takes rows by what they are takes them so here, too.
        """
        return dataclasses.replace(self, ratio=1.0).apply(split, task, generator)

    def choose_rows(self, split: Split, generator: torch.Generator, scores: Tensor | None = None) -> Tensor:
        """Which rows to corrupt: a bool mask ``[N]`` with equally many rows of each class.

        Takes ratio * N / 2 rows of each class, rounded half up. Where a class has fewer, the other makes up
        for it, so that ratio 1 takes every row. Rows of a smaller ratio are among those of a larger one when the
        generator starts from the same state.

        Args:
            split: the clean rows.
            generator: draws them.
            scores: ``[N]``: rows with the lowest are taken first, those that are equal at random; by default all are.
        """
        return take_rows(split, self.counts_of(split.y), generator, scores)

    def counts_of(self, labels: Tensor) -> tuple[int, int]:
        """How many rows of class 0 and of class 1 :meth:`choose_rows` takes.

        A corruption of qlab's takes so many, whatever the features are: it is known before data are loaded.

        Args:
            labels: of the clean rows, ``[N]``.
        """
        per_class = int(self.ratio * len(labels) / 2 + 0.5)
        zeros, ones = there = tuple(int((labels == label).sum()) for label in (0, 1))
        missing = [max(per_class - number, 0) for number in there]
        return min(per_class + missing[1], zeros), min(per_class + missing[0], ones)


def take_rows(
    split: Split, counts: tuple[int, int], generator: torch.Generator, scores: Tensor | None = None
) -> Tensor:
    """A mask ``[N]`` of so many rows of each class, or all that it has; see :meth:`Corruption.choose_rows`."""
    mask = torch.zeros(len(split), dtype=torch.bool)
    for label, count in enumerate(counts):
        rows = torch.nonzero(split.y == label).flatten()
        order = rows[torch.randperm(len(rows), generator=generator)]
        if scores is not None:
            order = order[scores[order].argsort(stable=True)]
        mask[order[:count]] = True
    return mask


def flip(split: Split, mask: Tensor) -> Corrupted:
    """A copy of a split with inverted labels where a mask ``[N]`` is True; the features are the same."""
    return Corrupted(Split(split.x, torch.where(mask, 1 - split.y, split.y), split.about), mask, split.y)
