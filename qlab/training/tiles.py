"""Tiles: some members of an ensemble that take their steps together."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from qlab.models.base import Model
from qlab.models.chance import Chance
from qlab.training import ensemble
from qlab.training.data import EnsembleData
from qlab.training.drawn import Draws, Numbers
from qlab.training.goal import Aim
from qlab.training.metrics import Metrics, evaluate, logits_of_rows, mean_loss
from qlab.training.schedule import Schedule
from qlab.training.state import TrainingState
from qlab.training.stopping import Watch
from qlab.training.stops import Stops

TILE_BYTES = 5 * 2**20
"""On a CPU so many bytes of parameters are trained together, an epoch at a time: with their gradients and Adam's two
moments they stay in cache. Measured on 50 MLPs with 1,848 inputs: 7.8 ms a step against 13.5 ms untiled."""


class Tile:
    """Some members of an ensemble, with their own optimizer.

    Args:
        model: their model; calling it with other parameters changes it for the time being.
        parameters: their parameters, stacked; copied.
        data: theirs.
        schedule: says how they are trained.
        held: positions of the rows held out for early stopping, ``[members, n]``; None without it.
        chance: draws random numbers for the model; None if it asks for none.
        draws: draws those of evaluations.
        resume: their state, to go on from.
    """

    def __init__(
        self,
        model: Model,
        parameters: ensemble.Parameters,
        data: EnsembleData,
        schedule: Schedule,
        held: Tensor | None,
        chance: Chance | None,
        draws: Draws,
        resume: TrainingState | None,
    ) -> None:
        self.model = model
        self.chance = chance
        self._draws = draws
        self.data = data
        self.schedule, self.loss = schedule, schedule.loss
        self.parameters = ensemble.trainable(model, parameters)
        begun = ((), 0) if resume is None else (resume.moments, resume.steps)
        self.optimizer = schedule.rule.make(self.parameters, schedule.rate.initial, *begun)
        self.watch = None if held is None else Watch(schedule.patience, held, self.parameters)
        self.aim = Aim(schedule.goal, self.parameters) if schedule.goal else None
        if resume is not None and self.stopping is not None:
            self.stopping.go_on(resume.stopping, resume.best)
        self._losses = torch.empty(0)  # on the held-out rows
        self._seen: tuple[Metrics, Tensor] | None = None  # after the last epoch that was trained, where a goal needs it
        self._measured: tuple[Metrics, Tensor] | None = None  # of members that have all stopped

    def __len__(self) -> int:
        return len(self.data.train_y)

    @property
    def stopping(self) -> Stops | None:
        """What may end a member's training before the last epoch; None if nothing does."""
        return self.watch or self.aim

    def train_and_evaluate(self, order: Tensor, epoch: int) -> tuple[Metrics, Tensor]:
        """An epoch, and the metrics and logits after it, see :func:`qlab.training.metrics.evaluate`."""
        self.epoch(order, epoch)
        if self._measured is not None:
            return self._measured
        found, z = self._seen or self.evaluated(epoch)
        if self.watch is not None:
            found |= self.watch.metrics(self._losses)
        if self.aim is not None:
            found |= self.aim.metrics()
        if self.stopping is not None and self.stopping.is_over:
            self._measured = found, z
        return found, z

    def evaluated(self, epoch: int) -> tuple[Metrics, Tensor]:
        """The metrics and logits of the present parameters, those after an epoch."""
        rows = self.data.train_y.shape[1] + len(self.data.validation_y)
        return evaluate(self.model, self.parameters, self.data, self.loss, self.drawn(rows, "evaluation", epoch))

    def drawn(self, rows: int, what: str, epoch: int) -> Numbers:
        """Random numbers for an evaluation after an epoch; of members that have stopped those of the epoch kept."""
        if self.stopping is None:
            return self._draws.of_rows(rows, what, epoch)
        return self._draws.of_rows(rows, what, torch.where(self.stopping.stopped, self.stopping.epoch, epoch).tolist())

    def epoch(self, order: Tensor, epoch: int) -> None:
        """One pass over the rows in the order given, shape ``[members, N]``, unless all members have stopped.

        Args:
            order: of the rows that are trained on.
            epoch: its number, from 1.
        """
        if self.aim is not None:
            if not self.aim.is_over:
                self._steps(order, epoch)
                self.aim.put_back(self.parameters)
                self._seen = self.evaluated(epoch)
                self.aim.note(self._seen[0], self.parameters, epoch)
        elif self.watch is None:
            self._steps(order, epoch)
        elif not self.watch.is_over:
            self._steps(order, epoch)
            self._losses = self._held_out_losses(self.watch.held, epoch)
            self.watch.note(self._losses, self.parameters, epoch, last=epoch == self.schedule.epochs)
        elif not len(self._losses):
            self._losses = self.watch.loss

    @torch.no_grad()
    def _held_out_losses(self, held: Tensor, epoch: int) -> Tensor:
        data, drawn = self.data, self.drawn(held.shape[1], "held-out rows", epoch)
        z = logits_of_rows(self.model, self.parameters, data.train_x, held, drawn, shared=data.shared)
        return mean_loss(self.loss, z, data.train_y.gather(1, held).double())

    def _steps(self, order: Tensor, epoch: int) -> None:
        self.optimizer.learning_rate = self.schedule.rate.of(epoch)
        self.model.train()
        try:
            for batch in order.split(self.schedule.batch_size, dim=1):
                self.optimizer.zero_grad()
                if self.chance is not None:
                    self.model.handed = self.chance.draw(batch.shape[1])
                # The sum over members keeps each member's gradient its own.
                z = ensemble.logits(self.model, self.parameters, self.data.train_x, shared=self.data.shared, rows=batch)
                mean_loss(self.loss, z, self.data.train_y.gather(1, batch)).sum().backward()
                self.optimizer.step()
                ensemble.project(self.model, self.parameters)
        finally:
            self.model.handed = ()
            self.model.eval()


def gather(tiles: Sequence[Tile]) -> ensemble.Parameters:
    """The present parameters of all members, on the CPU."""
    return _join([tile.parameters for tile in tiles])


def gather_moments(tiles: Sequence[Tile]) -> tuple[ensemble.Parameters, ...]:
    """The moments that the optimizer keeps of all members, on the CPU."""
    return tuple(_join(parts) for parts in zip(*(tile.optimizer.moments for tile in tiles), strict=True))


def gather_stopping(tiles: Sequence[Tile]) -> tuple[dict[str, Tensor], ensemble.Parameters]:
    """What is known of all members' stopping, and the parameters they keep, on the CPU; both empty if none may stop."""
    found = [tile.stopping for tile in tiles if tile.stopping is not None]
    if not found:
        return {}, {}
    return _join([item.state() for item in found]), _join([item.best for item in found])


def _join(parts: Sequence[ensemble.Parameters]) -> ensemble.Parameters:
    return {name: torch.cat([part[name].detach() for part in parts]).cpu() for name in parts[0]}


def tile_slices(parameters: ensemble.Parameters, members: int, device: torch.device) -> list[slice]:
    """Which members train together, see :data:`TILE_BYTES`; on a GPU all of them."""
    if device.type != "cpu":
        return [slice(0, members)]
    per_member = sum(parameter[0].numel() * parameter.element_size() for parameter in parameters.values())
    size = max(1, TILE_BYTES // per_member)
    return [slice(start, min(start + size, members)) for start in range(0, members, size)]
