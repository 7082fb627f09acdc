"""Recording audits, in the runs of the unlearned models that they are of."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qlab.experiment.asking.audit import Audit
from qlab.experiment.jobs.audit import Audited, TakeAudits
from qlab.experiment.jobs.audit_case import Found
from qlab.experiment.jobs.base import Inputs
from qlab.experiment.recording.recorder import Recorder, first_line
from qlab.experiment.recording.recording import Recording
from qlab.tracking import names
from qlab.tracking.redaction import redact
from qlab.tracking.store import MetricRow, now_ms


class AuditRecording(Recording[Audited]):
    """Writes audits to unlearning runs that have finished; of those that failed there are none.

    Args:
        recorder: of the experiment.
        job: what is recorded.
        read: reads what the job needs from the store, beside what other jobs have made.
    """

    def __init__(self, recorder: Recorder, job: TakeAudits, read: Callable[[Inputs], Inputs]) -> None:
        super().__init__(recorder)
        self._job = job
        self._read = read

    def inputs(self, made: Inputs) -> Inputs:
        """See the base class."""
        return self._read(made)

    def start(self) -> bool:
        """See the base class."""
        able = [key for key in self._job.methods if key in self.recorder.run_ids]
        if able and not self._announced:
            self._announced = True
            self.reporter.auditing_started(self._job.label, self._job.audits[0].table.oracles, len(able))
        return bool(able)

    def epoch(self, epoch: int, metrics: dict[str, NDArray[np.float64]]) -> None:
        """After each method."""
        self.recorder.confirm()
        self.reporter.measured()

    def finish(self, result: Audited) -> None:
        """See the base class."""
        self.recorder.confirm()
        with self.recorder.tracking():
            for key, audits in self._job.methods.items():
                run_id = self.recorder.run_ids.get(key)
                if run_id is not None:
                    self._write(run_id, audits, result)
        self.recorder.job_ended()
        self.reporter.measuring_finished(result.seconds, len(result.failed), result.left_out)

    def _write(self, run_id: str, audits: Sequence[Audit], result: Audited) -> None:
        """Arrays first: an audit whose tag is there has everything. Numbers that are not finite are none."""
        now, store = now_ms(), self.recorder.store
        rows: list[MetricRow] = []
        tags = {}
        for audit in audits:
            if (found := result.found.get(audit.key)) is not None:
                self._save_arrays(run_id, audit, found)
                numbers = [(name, value, audit.of.unlearner.steps) for name, value in found.values.items()]
                for name, curve in found.curves.items():
                    numbers += [(name, float(value), step) for step, value in enumerate(curve)]
                rows += [(name, value, step, now) for name, value, step in numbers if math.isfinite(value)]
                tags[self._tag(audit)] = audit.digest
            elif (error := result.failed.get(audit.key)) is not None:
                self.recorder.fail([audit], error)
                tags[self._tag(audit)] = _failed(error)
        if tags:
            tags[names.LEFT_OUT_OF_AUDITS] = result.left_out or "none"
            store.log(run_id, metrics=rows, tags=tags)

    @staticmethod
    def _tag(audit: Audit) -> str:
        return names.AUDIT + audit.metric

    def _save_arrays(self, run_id: str, audit: Audit, found: Found) -> None:
        if not found.arrays:
            return
        artifact = Path(names.AUDIT_FILE.format(audit.metric))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / artifact.name
            np.savez_compressed(path, **dict(found.arrays))  # type: ignore[arg-type]
            self.recorder.store.log_file(run_id, path, str(artifact.parent))

    def fail(self, error: str) -> None:
        """See the base class. What an audit of other settings found before is then no result any more."""
        for key, audits in self._job.methods.items():
            if (run_id := self.recorder.run_ids.get(key)) is not None:
                self.recorder.fail(audits, error)
                with self.recorder.tracking():
                    self.recorder.store.log(run_id, tags={self._tag(audit): _failed(error) for audit in audits})
        if self._announced:
            self.reporter.measuring_finished(0.0, len(self._job.audits))

    def abandon(self, reason: str) -> None:
        """There is no run of it."""


def _failed(error: str) -> str:
    return names.METRIC_FAILED + redact(first_line(error))
