"""Recording estimators that are fitted, a run in the store for each."""

from __future__ import annotations

from qlab.experiment.asking.trial import Trial
from qlab.experiment.jobs.fit import Estimated, Fit, without_losses
from qlab.experiment.jobs.materials import Materials
from qlab.experiment.recording.measurements import measured_rows, measured_tags
from qlab.experiment.recording.recorder import Recorder
from qlab.experiment.recording.recording import RunsRecording
from qlab.experiment.recording.trainings import create_trial
from qlab.tracking import names
from qlab.tracking.store import now_ms


class FitRecording(RunsRecording[Estimated, Trial]):
    """Writes the runs of trials whose estimators one job fits; those that failed fail, and no others.

    Args:
        recorder: of the experiment.
        materials: the trials' data.
        job: what is recorded.
        parent: the experiment's run.
    """

    def __init__(self, recorder: Recorder, materials: Materials, job: Fit, parent: str) -> None:
        super().__init__(recorder)
        self._materials = materials
        self._job = job
        self._parent = parent

    def start(self) -> bool:
        """See the base class."""
        self.recorder.confirm()
        if self.run_ids:
            return True
        trials = self._job.trials
        engine = trials[0].estimator.engine_name
        self.announce(self._job.label, len(trials), 0, engine)
        with self.recorder.tracking(), self.recorder.starting() as run_ids:
            for trial in trials:
                tags = self.recorder.tags(trial.kind, trial.key, self._parent, trial.seed, engine) | trial.group_tags
                run_ids.append(create_trial(self.recorder, self._materials, trial, tags))
        self.opened(run_ids, trials)
        return True

    def finish(self, result: Estimated) -> None:
        """See the base class."""
        self.recorder.confirm()
        healths = dict(zip(result.fitted, result.health, strict=True))
        with self.recorder.tracking():
            for run_id, trial in list(self.unfinished.items()):
                if trial.key in healths:
                    health, now, store = healths[trial.key], now_ms(), self.recorder.store
                    values = [(name, value, result.epochs[0], now) for name, value in result.fitted[trial.key].items()]
                    further = [item for item in self._job.wanted if item.of.key == trial.key]
                    tags = {names.HEALTH: health} | measured_tags(self.recorder, further, result.unmeasured)
                    store.log(run_id, metrics=[*values, *measured_rows(further, result.values)], tags=tags)
                    self.recorder.finish(trial, run_id, health)
                else:
                    error = result.failed[trial.key]
                    self.recorder.end([run_id], "FAILED", error)
                    self.recorder.fail([trial], error)
                del self.unfinished[run_id]
        self.recorder.job_ended()
        if said := without_losses(self._job.trials[0].names["model"], list(result.fitted.values())):
            self.reporter.notice(f"{self._job.label}: {said}.")
        self.reporter.ensemble_finished(result.seconds, [*result.health, *["failed"] * len(result.failed)])

    def fail(self, error: str) -> None:
        """See the base class."""
        self.start()
        self.fail_unfinished(error)
