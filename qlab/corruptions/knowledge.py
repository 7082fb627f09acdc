"""What unlearning is told of a corruption: which corrupted rows are known, and which clean rows pass for them."""

from __future__ import annotations

import dataclasses
from typing import Any, Final, Literal

import torch
from torch import Tensor

from qlab import seeding
from qlab.errors import ConfigError, DataError
from qlab.tasks.base import Split, Task, boundary_distances

KnownRows = Literal["random", "near", "far"]

FIELDS: Final = ("known", "known_rows", "false_alarms")
"""Fields of every corruption that say what methods are told. No model that is trained depends on them."""


@dataclasses.dataclass(frozen=True)
class Knowledge:
    """Which rows a method is told to forget.

    Args:
        known: the fraction of the corrupted rows, in (0, 1].
        known_rows: which of them: "random", or those "near" the boundary between the classes or "far" from it.
        false_alarms: how many clean rows are named beside them, as a fraction of the number of known rows.
    """

    known: float = 1.0
    known_rows: KnownRows = "random"
    false_alarms: float = 0.0

    @property
    def is_complete(self) -> bool:
        """Whether every corrupted row is named, and no other."""
        return self.known == 1.0 and self.false_alarms == 0.0

    def stated(self) -> dict[str, Any]:
        """The fields that decide which rows are named, without those whose absence means the same."""
        found: dict[str, Any] = {}
        if self.known < 1.0:
            found["known"] = self.known
            if self.known_rows != "random":
                found["known_rows"] = self.known_rows
        if self.false_alarms:
            found["false_alarms"] = self.false_alarms
        return found

    @property
    def label(self) -> str:
        """For people: "known 0.25 near, false alarms 0.5"; empty if complete."""
        which = "" if self.known_rows == "random" else f" {self.known_rows}"
        known = f"known {self.known:g}{which}" if self.known < 1.0 else ""
        return ", ".join(filter(None, (known, f"false alarms {self.false_alarms:g}" if self.false_alarms else "")))

    def check_task(self, task: Task) -> None:
        """Asked before data are loaded.

        Raises:
            ConfigError: rows are taken by their distance from the boundary, and the task knows none.
        """
        if self.known < 1.0 and self.known_rows != "random" and not task.knows_boundary():
            raise ConfigError(
                f'known_rows: got "{self.known_rows}", but {type(task).__name__} knows no distance of its rows from a '
                'boundary between the classes; accepts "random" with it.'
            )

    def rows(self, mask: Tensor, split: Split, task: Task, seed: int) -> Tensor:
        """The rows that a method is told to forget, a bool mask ``[N]``.

        Of n corrupted rows known * n are named, rounded half up; known rows of a smaller fraction are among those of a
        larger one, and so are false alarms. What is drawn depends on the seed alone.

        Args:
            mask: which rows are corrupted, ``[N]``, bool.
            split: the training split after corruption; distances from the boundary are those of its rows.
            task: whose split it is.
            seed: the trial's.

        Raises:
            DataError: no row is named, or every row, or there are not as many clean rows as false alarms.
        """
        told = torch.zeros_like(mask)
        known, alarms = self.counts(int(mask.sum()), int((~mask).sum()))
        if not known:
            return told
        told[self._ordered(mask, split, task, seed)[:known]] = True
        told[_shuffled(~mask, seed, "false-alarms")[:alarms]] = True
        return told

    def counts(self, corrupted: int, clean: int) -> tuple[int, int]:
        """How many corrupted rows are named, and how many clean ones beside them.

        Args:
            corrupted: how many rows are corrupted; if none is, none is named.
            clean: how many are not.

        Raises:
            DataError: no row is named, or every row, or there are not as many clean rows as false alarms.
        """
        if corrupted == 0:
            return 0, 0
        wanted = int(self.known * corrupted + 0.5)
        if wanted == 0:
            raise DataError(
                f"known: got {self.known:g}, which names none of the {corrupted} corrupted rows; accepts at least "
                f"{_rounded_up(0.5 / corrupted):g} there, or give a higher ratio."
            )
        alarms = int(self.false_alarms * wanted + 0.5)
        if alarms > clean or (alarms and alarms + wanted == corrupted + clean):
            why = "which leaves nothing to retain" if alarms <= clean else f"but only {clean} rows are clean"
            bound, most = "at most" if wanted < corrupted else "less than", int(1000 * clean / wanted) / 1000
            raise DataError(
                f"false_alarms: got {self.false_alarms:g}, which is {alarms} clean rows beside {wanted} known ones, "
                f"{why}; accepts {bound} {most:g} there."
            )
        return wanted, alarms

    def _ordered(self, mask: Tensor, split: Split, task: Task, seed: int) -> Tensor:
        """The positions of the corrupted rows, those first that are known first; of equally far ones at random."""
        order = _shuffled(mask, seed, "known")
        if self.known_rows == "random" or self.known == 1.0:
            return order
        distances = boundary_distances(task, split)[order]
        return order[distances.argsort(stable=True, descending=self.known_rows == "far")]


def _shuffled(mask: Tensor, seed: int, purpose: str) -> Tensor:
    rows = torch.nonzero(mask).flatten()
    return rows[torch.randperm(len(rows), generator=seeding.generator(seed, purpose))]


def _rounded_up(value: float) -> float:
    """To three digits behind the point, so that what is said is accepted."""
    return int(value * 1000 + 1) / 1000
