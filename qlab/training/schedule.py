"""When a training takes steps, evaluates and keeps parameters."""

from __future__ import annotations

import dataclasses

from qlab.errors import ConfigError
from qlab.losses import Loss
from qlab.training.goal import NO_GOAL, Goal
from qlab.training.optimizers import Rule
from qlab.training.rates import Rate
from qlab.training.stopping import Patience

TRAJECTORY_POINTS = 32
"""Points of a trajectory after the initial parameters, at evenly spaced epochs, the last one included."""


def snapshot_epochs(epochs: int) -> tuple[int, ...]:
    """The epochs whose parameters make a trajectory, ascending; 0 for the initial ones."""
    return tuple(sorted({round(epochs * point / TRAJECTORY_POINTS) for point in range(TRAJECTORY_POINTS + 1)}))


@dataclasses.dataclass(frozen=True)
class Schedule:
    """The course of a training.

    Args:
        epochs: passes over the training split.
        batch_size: rows in a step.
        rate: the learning rate of every epoch.
        rule: the optimizer.
        loss: what is minimised.
        patience: when a member stops early.
        evaluate_every: epochs from one evaluation to the next. Does not change what is trained.
        snapshots: epochs after which the parameters are kept; 0 for the initial ones. Those beyond the last epoch
            are ignored.
        goal: where a member stops, whatever its epochs.
    """

    epochs: int
    batch_size: int
    rate: Rate
    rule: Rule
    loss: Loss
    patience: Patience
    evaluate_every: int = 1
    snapshots: tuple[int, ...] = ()
    goal: Goal = NO_GOAL

    def __post_init__(self) -> None:
        if self.evaluate_every < 1:
            raise ConfigError(f"evaluate_every: got {self.evaluate_every}, accepts an integer of at least 1.")
        kept = sorted({epoch for epoch in self.snapshots if 0 <= epoch <= self.epochs})
        object.__setattr__(self, "snapshots", tuple(kept))

    def due(self, epoch: int) -> bool:
        """Whether metrics are evaluated after an epoch, counted from 1.

        The last fifth is always evaluated: it decides about health, which must not depend on how often metrics are.
        """
        return epoch % self.evaluate_every == 0 or epoch == self.epochs or epoch > self.epochs - 2 * (self.epochs // 10)

    def steps(self, epochs: int, rows: int) -> int:
        """The optimizer's steps in some epochs over a split of so many rows."""
        return epochs * -(-rows // self.batch_size)
