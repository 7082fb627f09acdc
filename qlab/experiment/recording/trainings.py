"""Recording the trainings of trials, a run in the store for each."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qlab.experiment.asking.trial import Trial
from qlab.experiment.jobs.materials import Materials
from qlab.experiment.jobs.train import EVERY_EPOCH, HOLDOUT, Retrace, Train, Trained
from qlab.experiment.planning.data_records import dataset_records
from qlab.experiment.recording.group_states import GroupStates
from qlab.experiment.recording.measurements import measured_tags
from qlab.experiment.recording.recorder import Recorder
from qlab.experiment.recording.recording import Recording, RunsRecording
from qlab.experiment.recording.resumption import Interrupted, StateWriter
from qlab.models import Model
from qlab.tracking import names
from qlab.tracking.grouped.address import is_member
from qlab.tracking.writes import DatasetRecord
from qlab.training.health import UNREACHED
from qlab.training.state import TrainingState
from qlab.words import counted


def create_trial(recorder: Recorder, materials: Materials, trial: Trial, tags: Mapping[str, str]) -> str:
    """Begins the run of a trial, with its params and what is known of its data.

    Args:
        recorder: of the experiment.
        materials: the trial's data.
        trial: the trial.
        tags: of the run, beside those of the data.
    """
    records: list[DatasetRecord] = []
    data: dict[str, str] = {}
    # What fails here fails in the job as well, which says so.
    with contextlib.suppress(Exception):
        records = dataset_records(materials, trial)
        # What tells a task's data from others, see :mod:`qlab.experiment.planning.same_data`.
        if (digest := materials.data_digest(trial.task)) is not None:
            data = {names.DATA: digest}
    return recorder.create(trial.label, params=trial.params, tags={**tags, **data}, datasets=records)


class TrainRecording(RunsRecording[Trained, Trial]):
    """Writes the runs of trials that train together; those that were interrupted go on in their old runs.

    Args:
        recorder: of the experiment.
        materials: the trials' data.
        job: what is recorded.
        model: the trials' model, built.
        parent: the experiment's run.
        saved: the runs of trials that were interrupted, in the order of the job's; empty if they begin anew.
    """

    def __init__(
        self,
        recorder: Recorder,
        materials: Materials,
        job: Train,
        model: Model,
        parent: str,
        saved: Sequence[Interrupted] = (),
    ) -> None:
        super().__init__(recorder)
        self._materials = materials
        self._job = job
        self._model = model
        self._parent = parent
        self._saved = saved
        self._states: StateWriter | GroupStates | None = None
        self._heard = -1
        self._places = {trial.key: place for place, trial in enumerate(job.trials)}
        self._only: dict[str, set[int]] = {}
        for item in job.measurements:
            self._only.setdefault(item.name, set()).add(self._places[item.of.key])

    def start(self) -> bool:
        """See the base class."""
        self._open()
        return True

    def epoch(self, epoch: int, metrics: dict[str, NDArray[np.float64]]) -> None:
        """See the base class."""
        self.recorder.confirm()
        with self.recorder.tracking():
            self._log(epoch, metrics)
        self.reporter.epoch(epoch, metrics)

    def state(self, state: TrainingState) -> None:
        """See the base class."""
        self.recorder.confirm()
        if self._states is not None:
            with self.recorder.tracking():
                self._log_missed(state.evaluated, state.history)
            self._states(state)

    def finish(self, result: Trained) -> None:
        """See the base class."""
        self.recorder.confirm()
        with self.recorder.tracking():
            self._log_missed(result.epochs, result.history)
            self.writer.log(self._job.trials[0].trainer.epochs, result.final)
            for index, run_id in enumerate(self.run_ids):
                trial = self.unfinished[run_id]
                self.recorder.save_checkpoint(
                    run_id,
                    self._model,
                    result.states[trial.key],
                    trial.names["model"],
                    {names.HEALTH: result.health[index], **self._versions(trial, result)},
                    self.writer.take(index),
                )
                if trial.key in result.trajectories:
                    self.recorder.save_tensors(run_id, result.trajectories[trial.key], names.TRAJECTORY)
                self.recorder.finish(trial, run_id, result.health[index])
                del self.unfinished[run_id]
                if self._states is not None:
                    self._states.remove(index)
        if self._states is not None:
            self._states.finished()
        self.recorder.job_ended()
        self.reporter.ensemble_finished(result.seconds, result.health)
        if said := _unreached(self._job.trials, result):
            self.reporter.notice(said)

    def _versions(self, trial: Trial, result: Trained) -> dict[str, str]:
        """Tags that say which further metrics a trial has; those that failed are taken down."""
        own = [item for item in self._job.measurements if item.of.key == trial.key]
        return measured_tags(self.recorder, own, result.unmeasured, curve=True)

    def fail(self, error: str) -> None:
        """See the base class."""
        self._open()
        self.fail_unfinished(error)

    def _open(self) -> None:
        """Creates the runs, or starts again those that there are."""
        self.recorder.confirm()
        if self.run_ids:
            return
        trials = self._job.trials
        engine = getattr(self._model, "engine_name", "")
        self.announce(self._job.label, len(trials), trials[0].trainer.epochs, engine)
        with self.recorder.tracking(), self.recorder.starting() as run_ids:
            for index, trial in enumerate(trials):
                tags = self.recorder.tags(trial.kind, trial.key, self._parent, trial.seed, engine) | trial.group_tags
                if self._saved and self._saved[index].run_id:
                    run_ids.append(self._saved[index].run_id)
                    self._open_again(run_ids[-1], tags)
                else:
                    run_ids.append(create_trial(self.recorder, self._materials, trial, tags))
            known = []
            if self._saved and self._saved[0].run_id:
                logged = sorted({name for item in self._saved for name in item.metrics})
                known = self.recorder.store.last_steps(run_ids, logged)
        self.opened(run_ids, trials, known)
        entries: list[dict[str, Any] | None] = [item.entry if item.run_id else None for item in self._saved]
        entries = entries or [None] * len(trials)
        versions: list[dict[str, str]] = [{} for _ in trials]
        for item in self._job.measurements:
            versions[self._places[item.of.key]][item.name] = item.digest
        if is_member(run_ids[0]):
            self._states = GroupStates(self.recorder, self._materials, self._parent, trials, versions)
        else:
            self._states = StateWriter(self.recorder, run_ids, self.writer.flush, entries, versions)
        if self._job.saved is not None and not self._saved[0].run_id:  # its epochs were in no run yet
            self._log_missed(self._job.saved.evaluated, self._job.saved.history)

    def _open_again(self, run_id: str, tags: dict[str, str]) -> None:
        self.recorder.store.set_tags(run_id, tags)
        self.recorder.store.delete_tag(run_id, names.ERROR)
        self.recorder.store.finish(run_id, "RUNNING")

    def _log(self, epoch: int, metrics: Mapping[str, NDArray[np.float64]]) -> None:
        last = self._job.trials[0].trainer.epochs
        every = {name: metrics[name] for name in (*EVERY_EPOCH, HOLDOUT, *self._only) if name in metrics}
        self.writer.log(epoch, every if epoch < last else metrics, self._only)
        self._heard = max(self._heard, epoch)

    def _log_missed(self, epochs: Sequence[int], history: Mapping[str, NDArray[np.float64]]) -> None:
        """Logs epochs of which nothing was heard yet: what a job in another process says may be late, or lost."""
        for column, epoch in enumerate(epochs):
            if epoch > self._heard:
                values = {name: found[:, column] for name, found in history.items()}
                self._log(epoch, values)


def _unreached(trials: Sequence[Trial], result: Trained) -> str:
    """Which trials have not fitted as many corrupted rows as they were to, and how many they have; "" if all have."""
    missed = [index for index, health in enumerate(result.health) if health == UNREACHED]
    if not missed:
        return ""
    trainer, fitted = trials[0].trainer, result.history["forget_accuracy_polluted"]
    named = ", ".join(f"{trials[index].label} ({fitted[index, -1]:.2f})" for index in missed)
    return (
        f"{len(missed)} of {counted(len(trials), 'trial')} did not come to stop_at = {trainer.stop_at:g} (with "
        f"{trainer.stop_retain:g} of the clean rows) in {counted(trainer.epochs, 'epoch')}, and are in no mean and no "
        f"claim; in brackets what they have fitted at the end: {named}"
    )


class RetraceRecording(Recording[Trained]):
    """Writes trajectories to the runs of trials that have none.

    Args:
        recorder: of the experiment.
        job: what is recorded.
    """

    def __init__(self, recorder: Recorder, job: Retrace) -> None:
        super().__init__(recorder)
        self._job = job

    def start(self) -> bool:
        """See the base class."""
        trials = self._job.trials
        self.announce(self._job.label, len(trials), trials[0].trainer.epochs)
        return True

    def finish(self, result: Trained) -> None:
        """See the base class."""
        with self.recorder.tracking():
            for key, path in result.trajectories.items():
                self.recorder.save_tensors(self.recorder.run_ids[key], path, names.TRAJECTORY)
        self.recorder.job_ended()
        self.reporter.ensemble_finished(result.seconds, result.health)

    def fail(self, error: str) -> None:
        """See the base class."""
        self.reporter.ensemble_failed(error)

    def abandon(self, reason: str) -> None:
        """There is no run of it."""
