"""Recording metrics of one's own, in the runs of the models that they are of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from qlab.experiment.asking.measurement import Measurement
from qlab.experiment.jobs.base import Inputs
from qlab.experiment.jobs.measure import Measure, Measured
from qlab.experiment.planning.measured import version_of
from qlab.experiment.recording.recorder import Recorder, first_line
from qlab.experiment.recording.recording import Recording
from qlab.tracking import names
from qlab.tracking.redaction import redact
from qlab.tracking.store import MetricRow, now_ms


class MeasureRecording(Recording[Measured]):
    """Writes metrics to runs that have finished; of models that failed there are none.

    Args:
        recorder: of the experiment.
        job: what is recorded.
        read: reads what the job needs from the store, beside what other jobs have made.
    """

    def __init__(self, recorder: Recorder, job: Measure, read: Callable[[Inputs], Inputs]) -> None:
        super().__init__(recorder)
        self._job = job
        self._read = read

    @property
    def told(self) -> None:
        """See the base class."""
        return None

    def inputs(self, made: Inputs) -> Inputs:
        """See the base class."""
        return self._read(made) if self._job.wanted[0].trial.has_gradients else made

    def start(self) -> bool:
        """See the base class."""
        return any(key in self.recorder.run_ids for key in self._job.models)

    def finish(self, result: Measured) -> None:
        """See the base class."""
        self.recorder.confirm()
        with self.recorder.tracking():
            for key in self._job.models:
                run_id = self.recorder.run_ids.get(key)
                own = [item for item in self._job.wanted if item.of.key == key]
                known = [item for item in own if item.key in result.values or item.key in result.failed]
                if run_id is None or not known:
                    continue
                tags = measured_tags(self.recorder, known, result.failed)
                self.recorder.store.log(run_id, metrics=measured_rows(known, result.values), tags=tags)
        self.recorder.job_ended()

    def fail(self, error: str) -> None:
        """See the base class."""
        self.recorder.fail((item for item in self._job.wanted if item.of.key in self.recorder.run_ids), error)

    def abandon(self, reason: str) -> None:
        """There is no run of it."""


def measured_rows(items: Iterable[Measurement], values: Mapping[str, float]) -> list[MetricRow]:
    """The metrics of a run that have a value, as the store takes them.

    Args:
        items: the metrics of the run.
        values: by key.
    """
    now = now_ms()
    return [(item.name, values[item.key], item.step, now) for item in items if item.key in values]


def measured_tags(
    recorder: Recorder, items: Iterable[Measurement], failed: Mapping[str, str], *, curve: bool = False
) -> dict[str, str]:
    """Tags of a run that say which metrics it has; those that failed are taken down.

    Args:
        recorder: of the experiment.
        items: the metrics of the run.
        failed: why some have no value, by key.
        curve: whether they were taken during training.
    """
    tags = {}
    for item in items:
        error = failed.get(item.key)
        if error is not None:
            recorder.fail([item], error)
        said = version_of(item, curve=curve) if error is None else names.METRIC_FAILED + redact(first_line(error))
        tags[names.METRIC + item.name] = said
    return tags
