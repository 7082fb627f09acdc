"""Stopping at a fitted fraction: a member's training ends when it has fitted so many of its corrupted rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor

from qlab.training.ensemble import Parameters


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


class Aim:
    """Which of some members have stopped, and with which parameters.

    Args:
        goal: where they stop.
        parameters: of the members; those of a member that has stopped stay as they were.
        device: where they are.
        begun: what :meth:`state` said, and the parameters they stopped with, to go on from.
    """

    def __init__(
        self,
        goal: Goal,
        parameters: Parameters,
        device: torch.device,
        begun: tuple[Mapping[str, Tensor], Parameters] | None,
    ) -> None:
        self._goal = goal
        n = len(next(iter(parameters.values())))
        self.epoch = torch.zeros(n, dtype=torch.int64, device=device)
        self.stopped = torch.zeros(n, dtype=torch.bool, device=device)
        self.best = {name: value.detach().clone() for name, value in parameters.items()}
        if begun is not None:
            known, best = begun
            self.epoch, self.stopped = (known[name].to(device, copy=True) for name in ("epoch", "stopped"))
            self.best = {name: best[name].to(device, copy=True) for name in parameters}

    def state(self) -> dict[str, Tensor]:
        """Everything but the parameters, first axis: member."""
        return {"epoch": self.epoch, "stopped": self.stopped}

    @property
    def is_over(self) -> bool:
        """Whether all members have stopped."""
        return bool(self.stopped.all())

    @torch.no_grad()
    def hold(self, parameters: Parameters) -> None:
        """Puts back, after an epoch's steps, the parameters of members that have stopped before it.

        Args:
            parameters: of the members.
        """
        for name, parameter in parameters.items():
            parameter[self.stopped] = self.best[name][self.stopped]

    @torch.no_grad()
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
        for name, parameter in parameters.items():
            self.best[name][stopping] = parameter[stopping]

    def metrics(self) -> dict[str, Tensor]:
        """``trained_epochs`` so far, ``[members]``, float64: it stays as it is from the epoch on at which one stops."""
        return {"trained_epochs": self.epoch.double()}
