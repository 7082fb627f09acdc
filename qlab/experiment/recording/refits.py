"""Recording the exact unlearning of estimators, a run below its teacher's for each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qlab.experiment.jobs.base import Inputs
from qlab.experiment.jobs.fit import without_losses
from qlab.experiment.jobs.refit import Refit, Refitted
from qlab.experiment.recording.recorder import Recorder
from qlab.experiment.recording.unlearnings import UnlearnRecording
from qlab.tracking import names
from qlab.tracking.store import now_ms

STEP = 1
"""Fitting again is one step from the teacher."""


class RefitRecording(UnlearnRecording):
    """Writes the runs of estimators that were fitted again; they have no checkpoint, and those that failed fail alone.

    Args:
        recorder: of the experiment.
        job: what is recorded.
    """

    def __init__(self, recorder: Recorder, job: Refit) -> None:
        super().__init__(recorder, job, None, lambda made: made)

    def inputs(self, made: Inputs) -> Inputs:
        """Nothing is read from the store."""
        return made

    def epoch(self, epoch: int, metrics: dict[str, NDArray[np.float64]]) -> None:
        """After the fit of that number; its metrics are written in the end."""
        self.recorder.confirm()
        self.reporter.epoch(epoch, metrics)

    def finish(self, result: Refitted) -> None:  # type: ignore[override]
        """See the base class."""
        self.recorder.confirm()
        with self.recorder.tracking():
            for run_id, item in list(self.unfinished.items()):
                if item.key in result.ended:
                    ended, now = result.ended[item.key], now_ms()
                    values = [
                        (name, value, step, now)
                        for step, found in enumerate(result.fitted[item.key])
                        for name, value in found.items()
                    ]
                    values += [(name, value, STEP, now) for name, value in ended.metrics.items()]
                    self.recorder.store.log(run_id, metrics=values, tags={names.HEALTH: ended.health})
                    self.recorder.finish(item, run_id, ended.health)
                else:
                    error = result.failed[item.key]
                    self.recorder.end([run_id], "FAILED", error)
                    self.recorder.fail([item], error)
                del self.unfinished[run_id]
        after = [found[STEP] for found in result.fitted.values()]
        if said := without_losses(self._job.unlearnings[0].teacher.names["model"], after):
            self.reporter.notice(f"{self._job.label}: {said}.")
        healths = [ended.health for ended in result.ended.values()]
        self.reporter.ensemble_finished(result.seconds, [*healths, *["failed"] * len(result.failed)])
