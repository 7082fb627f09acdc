"""Recording oracles, a run below each teacher's when they are trained."""

from __future__ import annotations

import dataclasses

from qlab.experiment.jobs.base import Inputs
from qlab.experiment.jobs.oracles import TrainedOracles, TrainOracles
from qlab.experiment.recording.recorder import Recorder
from qlab.experiment.recording.recording import Recording
from qlab.models import Model
from qlab.tracking import names
from qlab.tracking.store import now_ms


class OracleRecording(Recording[TrainedOracles]):
    """Writes oracles that were trained together.

    Args:
        recorder: of the experiment.
        job: what is recorded.
        model: their model, built.
    """

    def __init__(self, recorder: Recorder, job: TrainOracles, model: Model) -> None:
        super().__init__(recorder)
        self._job = job
        self._model = model

    def inputs(self, made: Inputs) -> Inputs:
        """See the base class."""
        return dataclasses.replace(made, known=frozenset(self.recorder.run_ids))

    def start(self) -> bool:
        """See the base class."""
        if not any(teacher.key in self.recorder.run_ids for teacher, _ in self._job.wanted):
            return False
        wanted = self._job.wanted
        self.announce(self._job.label, len(wanted), wanted[0][0].trainer.epochs)
        return True

    def finish(self, result: TrainedOracles) -> None:
        """See the base class."""
        self.recorder.confirm()
        told = self._job.knowledge
        with self.recorder.tracking():
            for (trial, number), key in zip(self._job.wanted, self._job.keys, strict=True):
                teacher = self.recorder.run_ids.get(trial.key)
                if teacher is None or key not in result.states:
                    continue  # it failed to train, so that nothing is compared with its oracles
                tags = self.recorder.tags(self._job.run_kind, key, teacher, result.seeds[key])
                tags |= {names.TEACHER: trial.key, names.HEALTH: result.health[key], **trial.groups_with(told)}
                with self.recorder.starting() as run_ids:
                    run_id = self.recorder.create(
                        ", ".join(filter(None, (f"{self._job.run_kind} {number} of {trial.label}", told.label))),
                        params=trial.params_with(told) | {self._job.run_kind: str(number)},
                        tags=tags,
                    )
                    run_ids.append(run_id)
                    now = now_ms()
                    last = result.last[key].items()
                    metrics = [(name, value, trial.trainer.epochs, now) for name, value in last]
                    state = result.states[key]
                    self.recorder.save_checkpoint(run_id, self._model, state, trial.names["model"], metrics=metrics)
                    self.recorder.store.finish(run_id)
                self.recorder.health[key] = result.health[key]
        self.recorder.job_ended()
        self.reporter.ensemble_finished(result.seconds, list(result.health.values()))

    def fail(self, error: str) -> None:
        """See the base class."""
        self.reporter.ensemble_failed(error)

    def abandon(self, reason: str) -> None:
        """There is no run of it."""
