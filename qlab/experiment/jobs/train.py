"""Training an ensemble of trials."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from qlab.experiment.asking.measurement import Measurement
from qlab.experiment.asking.trial import Trial
from qlab.experiment.jobs.base import Inputs, Job, Report, Result
from qlab.experiment.jobs.materials import Materials
from qlab.experiment.jobs.measured_rows import evaluated
from qlab.metrics.evaluation import EpochMetrics
from qlab.tasks import Task
from qlab.training import TrainedEnsemble
from qlab.training.health import Health
from qlab.training.schedule import snapshot_epochs
from qlab.training.state import Checkpoints, TrainingState

EVERY_EPOCH = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy")
"""Metrics logged after each epoch. The others are logged after the last one."""

HOLDOUT = "holdout_loss"
"""Logged after each epoch, too, where there is early stopping."""


@dataclasses.dataclass(frozen=True, eq=False)
class Trained(Result):
    """Trials that were trained together.

    Args:
        history: metrics after each evaluated epoch, ``[members, evaluations]``.
        epochs: the epochs that were evaluated.
        health: of each member.
        final: metrics after the last epoch only, ``[members]``.
        unmeasured: why further metrics have no value, by key of the measurement.
    """

    history: dict[str, NDArray[np.float64]] = dataclasses.field(default_factory=dict)
    epochs: tuple[int, ...] = ()
    health: tuple[Health, ...] = ()
    final: dict[str, NDArray[np.float64]] = dataclasses.field(default_factory=dict)
    unmeasured: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, eq=False)
class Train(Job):
    """Trains trials of one ensemble, from the beginning or from a state that all of them have got to.

    Args:
        trials: of one ensemble.
        trajectories: whether to keep parameters at some epochs.
        saved: what to go on from.
        measurements: further metrics of these trials, at every evaluated epoch.
    """

    trials: tuple[Trial, ...]
    trajectories: bool = False
    saved: TrainingState | None = None
    measurements: tuple[Measurement, ...] = ()

    @property
    def label(self) -> str:
        """See the base class."""
        after = f", after epoch {self.saved.epoch}" if self.saved is not None else ""
        return f"{self.trials[0].setting}{after}"

    @property
    def task(self) -> Task:
        """See the base class."""
        return self.trials[0].task

    def resumed(self, state: TrainingState) -> Self:
        """See the base class."""
        return dataclasses.replace(self, saved=state)

    def run(self, materials: Materials, inputs: Inputs, report: Report) -> Trained:
        """See the base class."""
        trainer = self.trials[0].trainer
        members = [materials.member(trial) for trial in self.trials]
        more = self._more(materials)
        trained = trainer.fit(
            materials.build(self.trials[0]),
            members,
            materials.dataset(self.task).validation,
            test=materials.dataset(self.task).test,
            observer=report.epoch,
            device=materials.device,
            snapshots=snapshot_epochs(trainer.epochs) if self.trajectories else (),
            evaluate_every=materials.setting.evaluate_every,
            resume=self.saved,
            checkpoint=Checkpoints(report.state, materials.setting.checkpoint_seconds),
            more=more,
        )
        keys = [trial.key for trial in self.trials]
        return Trained(
            seconds=trained.seconds,
            states={key: trained.state_of(index) for index, key in enumerate(keys)},
            trajectories=_paths(trained, self.trials),
            history=trained.history,
            epochs=trained.epochs,
            health=trained.health,
            final=trained.final,
            unmeasured=self._unmeasured(more),
        )

    def _more(self, materials: Materials) -> EpochMetrics | None:
        """Computes the further metrics, of all members alike."""
        if not self.measurements:
            return None
        metrics = {item.name: item.metric for item in self.measurements}
        return EpochMetrics(list(metrics.values()), [evaluated(materials, trial) for trial in self.trials])

    def _unmeasured(self, more: EpochMetrics | None) -> dict[str, str]:
        """Why those have no value that are asked for."""
        if more is None:
            return {}
        places = {trial.key: place for place, trial in enumerate(self.trials)}
        found = {item.key: more.failed.get((places[item.of.key], item.name)) for item in self.measurements}
        return {key: why for key, why in found.items() if why is not None}


@dataclasses.dataclass(frozen=True, eq=False)
class Retrace(Job):
    """Trains trials once more with the same seeds, for the trajectories that the store has without.

    Args:
        trials: finished ones of one ensemble.
    """

    binding = True

    trials: tuple[Trial, ...]

    @property
    def label(self) -> str:
        """See the base class."""
        return f"trajectories of {self.trials[0].model_and_task}"

    @property
    def task(self) -> Task:
        """See the base class."""
        return self.trials[0].task

    def run(self, materials: Materials, inputs: Inputs, report: Report) -> Trained:
        """See the base class."""
        trainer = self.trials[0].trainer
        trained = trainer.fit(
            materials.build(self.trials[0]),
            [materials.member(trial) for trial in self.trials],
            materials.dataset(self.task).validation,
            observer=report.epoch,
            device=materials.device,
            snapshots=snapshot_epochs(trainer.epochs),
        )
        paths = _paths(trained, self.trials)
        return Trained(seconds=trained.seconds, trajectories=paths, health=trained.health)


def _paths(trained: TrainedEnsemble, trials: Sequence[Trial]) -> dict[str, dict[str, Tensor]]:
    """The trajectory of each member, by the trial's key; none if none were kept."""
    return {
        trial.key: {name: points[index] for name, points in trained.trajectory.items()}
        for index, trial in enumerate(trials if trained.trajectory else ())
    }
