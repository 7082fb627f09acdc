"""Stopping at a fitted fraction: a member's training ends when it has fitted so many of its corrupted rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor

from qlab.training.ensemble import Parameters
from qlab.training.stops import Stops


@dataclasses.dataclass(frozen=True)
class Goal:
    """Where a member stops.

    Args:
        forget: the least accuracy on corrupted rows, polluted labels; 0 trains to the end.
        retain: the least accuracy on clean rows at the same time.
    """

    forget: float = 0.0
    retain: float = 0.8

    def __bool__(self) -> bool:
        return self.forget > 0.0

    def reached(self, metrics: Mapping[str, Tensor]) -> Tensor:
        """Which members have got there, ``[members]``, bool; never those without corrupted rows.

        Args:
            metrics: see :func:`qlab.training.metrics.evaluate`.
        """
        fitted = metrics["forget_accuracy_polluted"] >= self.forget
        # Nothing may be clean at ratio 1: then there is nothing to keep.
        kept = metrics["retain_accuracy"]
        return fitted & ((kept >= self.retain) | kept.isnan())


NO_GOAL: Final = Goal()
"""All members are trained to the end."""


class Aim(Stops):
    """Which of some members have stopped, with the parameters that they had then.

    Args:
        goal: where they stop.
        parameters: of the members.
    """

    def __init__(self, goal: Goal, parameters: Parameters) -> None:
        super().__init__(parameters)
        self._goal = goal

    def note(self, metrics: Mapping[str, Tensor], parameters: Parameters, epoch: int) -> None:
        """Stops whoever has reached the goal after an epoch.

        Args:
            metrics: after it.
            parameters: of the members.
            epoch: its number, from 1.
        """
        stopping = ~self.stopped & self._goal.reached(metrics)
        self.epoch = torch.where(self.stopped, self.epoch, epoch)
        self.stopped = self.stopped | stopping
        self.keep(stopping, parameters)

    def metrics(self) -> dict[str, Tensor]:
        """``trained_epochs`` so far, ``[members]``, float64: it stays as it is from the epoch on at which one stops."""
        return {"trained_epochs": self.epoch.double()}
