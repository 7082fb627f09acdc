"""Early stopping: a member's training ends when a held-out part of its own data says that it gains nothing more."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from qlab import seeding
from qlab.errors import DataError
from qlab.training.ensemble import Parameters
from qlab.training.stops import Stops


@dataclasses.dataclass(frozen=True)
class Patience:
    """When a member stops.

    Args:
        epochs: in a row without a new lowest loss on the held-out rows; 0 trains to the end, on all rows.
        holdout: the fraction of the training rows that is held out.
    """

    epochs: int = 0
    holdout: float = 0.1

    def split(self, rows: int, seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Positions of the rows that are trained on and of those held out, ``[members, n]`` each, in random order.

        Args:
            rows: of the training split, at least one on either side.
            seeds: one for each member.

        Raises:
            DataError: there are not two rows.
        """
        if rows < 2:
            raise DataError(f"early_stopping: got a training split of {rows} row; accepts 2, of which one is held out.")
        held = min(max(1, round(self.holdout * rows)), rows - 1)
        orders = torch.stack([torch.randperm(rows, generator=seeding.generator(seed, "holdout")) for seed in seeds])
        return orders[:, held:], orders[:, :held]


class Watch(Stops):
    """What is known of some members whose training may stop: their best parameters, and how long ago that was.

    Args:
        patience: when a member stops.
        held: positions of the rows held out, ``[members, n]``.
        parameters: of the members; those of a member that has stopped are set to its best.
    """

    names: ClassVar[tuple[str, ...]] = ("loss", "epoch", "waited", "stopped")

    def __init__(self, patience: Patience, held: Tensor, parameters: Parameters) -> None:
        super().__init__(parameters)
        self.patience, self.held = patience, held
        self.loss = torch.full(self.epoch.shape, torch.inf, dtype=torch.float64, device=self.epoch.device)
        self.waited = torch.zeros_like(self.epoch)

    def note(self, losses: Tensor, parameters: Parameters, epoch: int, *, last: bool) -> None:
        """Compares the losses after an epoch with the lowest so far, and stops whoever has waited long enough.

        Args:
            losses: on the held-out rows, ``[members]``, float64.
            parameters: of the members; changed for those that have stopped.
            epoch: its number, from 1.
            last: whether there are no more: then all stop.
        """
        running = ~self.stopped
        better = running & (losses < self.loss)
        self.loss = torch.where(better, losses, self.loss)
        self.epoch = torch.where(better, epoch, self.epoch)
        self.waited = torch.where(better, 0, self.waited + running)
        stopping = running & ((self.waited >= self.patience.epochs) | last)
        # Whose loss never was a number keeps what it has, so that nobody takes it for a sound model.
        taken = better | (stopping & ~self.loss.isfinite())
        self.stopped = self.stopped | stopping
        self.keep(taken, parameters)
        self.put_back(parameters)

    def metrics(self, losses: Tensor) -> dict[str, Tensor]:
        """``holdout_loss`` of the present parameters, and ``best_epoch``, after which it was lowest; ``[members]``."""
        best = torch.where(self.loss.isfinite(), self.loss, torch.nan)
        return {"holdout_loss": torch.where(self.stopped, best, losses), "best_epoch": self.epoch.double()}
