"""The loop: a training under way, epoch by epoch."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qlab import seeding
from qlab.models.base import Model
from qlab.models.chance import Chance
from qlab.models.drawing import random_shapes
from qlab.models.rows import prepare_features
from qlab.tasks.base import Split
from qlab.training import ensemble
from qlab.training.data import Member, prepare
from qlab.training.drawn import Draws
from qlab.training.metrics import evaluate_split
from qlab.training.schedule import Schedule
from qlab.training.state import GENERATORS, Checkpoints, TrainingState
from qlab.training.tiles import Tile, gather, gather_moments, gather_stopping, tile_slices

MoreMetrics = Callable[[Tensor], Mapping[str, NDArray[np.float64]]]
"""Further metrics, each ``[members]``, from logits on training rows, then validation rows, ``[members, N + M]``."""

EpochObserver = Callable[[int, dict[str, NDArray[np.float64]]], None]
"""Called after each epoch with its number, from 1, and the metrics, each of shape ``[members]``."""


class Training:
    """An ensemble that is being trained: its parameters, and what has been measured so far.

    Args:
        schedule: says how.
        model: a built model.
        members: training splits of one size, and the seeds.
        validation: evaluated, never trained on.
        device: where to train.
        resume: go on from there.
        more: metrics beside the built-in ones, at every evaluation.
    """

    def __init__(
        self,
        schedule: Schedule,
        model: Model,
        members: Sequence[Member],
        validation: Split,
        device: torch.device,
        resume: TrainingState | None,
        more: MoreMetrics | None = None,
    ) -> None:
        self._more = more
        self._schedule, self._model, self._device = schedule, model, device
        seeds = [item.seed for item in members]
        data = prepare(model, members, validation, device)
        begin = ensemble.initial_parameters(model, seeds) if resume is None else resume.parameters
        parameters = {name: parameter.to(device) for name, parameter in begin.items()}
        model.to(device)
        self._rows = data.train_y.shape[1]
        self._trained: Tensor | None = None
        held: Tensor | None = None
        if schedule.patience.epochs:
            self._trained, held = schedule.patience.split(self._rows, seeds)
            self._rows, held = self._trained.shape[1], held.to(device)
        one = data.train_x[:1] if data.shared else data.train_x[0, :1]
        shapes = random_shapes(model, {name: value[0] for name, value in parameters.items()}, one)
        draws = Draws.of(model, seeds, parameters, one, device)
        self._noise: list[torch.Generator] = []
        if shapes:
            self._noise = [seeding.generator(seed, "noise") for seed in seeds]
            if resume is not None:
                self._noise = resume.noise_generators()
        self.tiles = [
            Tile(
                # Calling a module with other parameters changes it for the time being: each tile has its own.
                copy.deepcopy(model),
                {name: parameter[rows] for name, parameter in parameters.items()},
                data.members(rows),
                schedule,
                None if held is None else held[rows],
                Chance(self._noise[rows], shapes, device) if shapes else None,
                draws.members(rows),
                None if resume is None else resume.members(rows),
            )
            for rows in tile_slices(parameters, len(members), device)
        ]
        self.epoch = 0 if resume is None else resume.epoch
        self.evaluated: list[int] = [] if resume is None else list(resume.evaluated)
        self._history: dict[str, list[NDArray[np.float64]]] = {}
        self._kept: list[ensemble.Parameters] = []
        if resume is None:
            self._orders = [seeding.generator(seed, "batches") for seed in seeds]
            self._snapshots = schedule.snapshots
            if 0 in self._snapshots:
                self._kept.append(gather(self.tiles))
            return
        self._orders = resume.generators()
        self._history = {name: list(values.T) for name, values in resume.history.items()}
        # A trajectory whose beginning is not known is none.
        begun = set(resume.snapshots) == {epoch for epoch in schedule.snapshots if epoch <= resume.epoch}
        self._snapshots = schedule.snapshots if begun else ()
        self._kept = [
            {name: points[:, index] for name, points in resume.trajectory.items()}
            for index in range(len(resume.snapshots) if self._snapshots else 0)
        ]

    def run(
        self, each: Callable[..., Iterable[Any]], observer: EpochObserver | None, checkpoint: Checkpoints | None
    ) -> None:
        """Trains to the last epoch.

        Args:
            each: maps a function over tiles and their batch orders, see :func:`qlab.training.threads.side_by_side`.
            observer: called after each evaluated epoch.
            checkpoint: is offered the state after each epoch but the last.
        """
        epochs = self._schedule.epochs
        for epoch in range(self.epoch + 1, epochs + 1):
            order = torch.stack([torch.randperm(self._rows, generator=generator) for generator in self._orders])
            if self._trained is not None:
                order = self._trained.gather(1, order)
            due = self._schedule.due(epoch)
            step = Tile.train_and_evaluate if due else Tile.epoch
            orders = order.to(self._device).split([len(tile) for tile in self.tiles])
            measured = list(each(step, self.tiles, orders, itertools.repeat(epoch)))
            self.epoch = epoch
            if epoch in self._snapshots:
                self._kept.append(gather(self.tiles))
            if due:
                parts = [part for part, _ in measured]
                values = {name: torch.cat([part[name] for part in parts]).cpu().numpy() for name in parts[0]}
                if self._more is not None:
                    values |= self._more(torch.cat([z for _, z in measured]).cpu())
                self._note(values)
                if observer is not None:
                    observer(epoch, values)
            if checkpoint is not None and epoch < epochs:
                checkpoint.offer(self.state)

    def state(self) -> TrainingState:
        """Where the training is: what it takes to go on as if nothing had happened."""
        stopping, best = gather_stopping(self.tiles)
        return TrainingState(
            epoch=self.epoch,
            steps=self._schedule.steps(self.epoch, self._rows),
            parameters=self.parameters(),
            moments=gather_moments(self.tiles),
            orders=torch.stack([generator.get_state() for generator in self._orders]),
            history=self.curves(),
            evaluated=tuple(self.evaluated),
            trajectory=self.trajectory(),
            snapshots=self._snapshots[: len(self._kept)],
            stopping=stopping,
            best=best,
            noise={GENERATORS: torch.stack([item.get_state() for item in self._noise])} if self._noise else {},
        )

    def stopped(self) -> list[bool]:
        """For each member whether its training has ended before the last epoch, or at it."""
        stopping, _ = gather_stopping(self.tiles)
        return [bool(value) for value in stopping.get("stopped", torch.zeros(sum(map(len, self.tiles))))]

    def parameters(self) -> ensemble.Parameters:
        """The present parameters of all members, on the CPU."""
        return gather(self.tiles)

    def curves(self) -> dict[str, NDArray[np.float64]]:
        """Metrics so far, ``[members, evaluations]``."""
        return {name: np.stack(values, axis=1) for name, values in self._history.items()}

    def trajectory(self) -> ensemble.Parameters:
        """Parameters at the snapshots so far, ``[members, snapshots, ...]``; empty if none were asked for."""
        kept = self._kept
        return {name: torch.stack([part[name] for part in kept], dim=1) for name in kept[0]} if kept else {}

    def final_logits(self) -> Tensor:
        """Logits on training rows, then validation rows, ``[members, N + M]``, on the CPU."""
        return torch.cat([tile.evaluated(self.epoch)[1] for tile in self.tiles]).cpu()

    def evaluated_on(self, split: Split, name: str) -> dict[str, NDArray[np.float64]]:
        """Metrics on a split that has no part in training, ``[members]`` each: ``<name>_loss`` and ``<name>_accuracy``.

        Args:
            split: the split; it is prepared now.
            name: of the split.
        """
        self._model.to("cpu")  # where data are prepared
        x, y = prepare_features(self._model, split.x).to(self._device), split.y.to(self._device, self._model.dtype)
        self._model.to(self._device)
        parts = [
            evaluate_split(
                self._model, tile.parameters, x, y, name, self._schedule.loss, tile.drawn(len(y), name, self.epoch)
            )
            for tile in self.tiles
        ]
        return {metric: torch.cat([part[metric] for part in parts]).cpu().numpy() for metric in parts[0]}

    def _note(self, values: dict[str, NDArray[np.float64]]) -> None:
        before = len(self.evaluated)
        self.evaluated.append(self.epoch)
        for name in self._history.keys() - values.keys():  # of a metric that is not asked for any more
            del self._history[name]
        for name, value in values.items():
            value.flags.writeable = False  # observers get the arrays that history keeps
            if name not in self._history:  # of a metric that was not asked for before the training was interrupted
                self._history[name] = [np.full(value.shape, np.nan) for _ in range(before)]
            self._history[name].append(value)
