"""Recording unlearning, a run below its teacher's for each."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from qlab.experiment.asking.trial import Unlearning
from qlab.experiment.jobs.base import Inputs
from qlab.experiment.jobs.unlearn import Forgotten, Unlearn
from qlab.experiment.recording.recorder import Recorder
from qlab.experiment.recording.recording import RunsRecording
from qlab.models import Model
from qlab.tracking import names
from qlab.tracking.store import now_ms
from qlab.training.health import UNREACHED

TEACHER_FAILED = "its teacher failed"


class UnlearnRecording(RunsRecording[Forgotten, Unlearning]):
    """Writes the runs of one method.

    Args:
        recorder: of the experiment.
        job: what is recorded.
        model: the teachers' model, built; None for estimators.
        read: reads what the job needs from the store, beside what other jobs have made.
    """

    def __init__(self, recorder: Recorder, job: Unlearn, model: Model | None, read: Callable[[Inputs], Inputs]) -> None:
        super().__init__(recorder)
        self._job = job
        self._model = model
        self._read = read

    def inputs(self, made: Inputs) -> Inputs:
        """See the base class."""
        return self._read(made)

    def start(self) -> bool:
        """See the base class."""
        self.recorder.confirm()
        if self.run_ids:
            return True
        able = self._job.able(self.recorder.run_ids)
        lost = [item for item in self._job.unlearnings if item not in able]
        self.recorder.fail(lost, TEACHER_FAILED)
        if not able:
            return False
        self.announce(self._job.label, len(able), self._job.steps)
        with self.recorder.tracking(), self.recorder.starting() as run_ids:
            for item in able:
                teacher = self.recorder.run_ids[item.teacher.key]
                tags = self.recorder.tags(item.kind, item.key, teacher, item.teacher.seed)
                tags |= {names.TEACHER: item.teacher.key, **item.group_tags}
                run_ids.append(self.recorder.create(item.label, params=item.params, tags=tags))
        self.opened(run_ids, able)
        return True

    def epoch(self, epoch: int, metrics: dict[str, NDArray[np.float64]]) -> None:
        """See the base class."""
        self.recorder.confirm()
        # A teacher that was trained but could not be written is unlearned, and not recorded.
        if all(len(values) == len(self.run_ids) for values in metrics.values()):
            with self.recorder.tracking():
                self.writer.log(epoch, metrics)
        self.reporter.epoch(epoch, metrics)

    def finish(self, result: Forgotten) -> None:
        """See the base class."""
        self.recorder.confirm()
        with self.recorder.tracking():
            places = list(result.ended)
            rows = [places.index(item.key) for item in self.unfinished.values()]
            own = {name: values[rows] for name, values in result.history.items()}
            for step in range(len(next(iter(own.values())).T)):
                self.writer.log(step, {name: values[:, step] for name, values in own.items()})
            for index, run_id in enumerate(self.run_ids):
                self._finish_run(run_id, self.unfinished[run_id], result, index)
                del self.unfinished[run_id]
        self.recorder.job_ended()
        self.reporter.ensemble_finished(result.seconds, [ended.health for ended in result.ended.values()])

    def _finish_run(self, run_id: str, item: Unlearning, result: Forgotten, index: int) -> None:
        ended = result.ended[item.key]
        health = self._health(item, ended.health)
        metrics, tags = self.writer.take(index), {names.HEALTH: health}
        if ended.failed_at is not None:
            message = f"the loss was not finite at step {ended.failed_at} (seed {item.teacher.seed})"
            self.recorder.store.log(run_id, metrics=metrics, tags=tags)
            self.recorder.end([run_id], "FAILED", message)
            self.recorder.fail([item], message)
            return
        now = now_ms()
        last = next(iter(result.history.values())).shape[1] - 1
        metrics += [(name, value, last, now) for name, value in ended.metrics.items()]
        type_name = item.teacher.names["model"]
        assert self._model is not None  # estimators are recorded otherwise
        self.recorder.save_checkpoint(run_id, self._model, result.states[item.key], type_name, tags, metrics)
        self.recorder.finish(item, run_id, health)

    def _health(self, item: Unlearning, health: str) -> str:
        """Of an unlearned model; one whose teacher is not what was asked for is no result about that either."""
        teacher = self.recorder.health.get(item.teacher.key)
        return UNREACHED if teacher == UNREACHED and health != "diverged" else health

    def fail(self, error: str) -> None:
        """See the base class."""
        if not self.run_ids:  # its oracles failed
            able = self._job.able(self.recorder.run_ids)
            self.recorder.fail([item for item in self._job.unlearnings if item not in able], TEACHER_FAILED)
            self.recorder.fail(able, error)
            return
        self.recorder.confirm()
        self.fail_unfinished(error)
