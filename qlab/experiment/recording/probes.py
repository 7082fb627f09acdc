"""Recording probes of landscapes, a run below the model's for each."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from qlab.experiment.asking.trial import ProbeRun, Trial
from qlab.experiment.jobs.base import Inputs
from qlab.experiment.jobs.probe import Probed, TakeProbe
from qlab.experiment.recording.recorder import Recorder
from qlab.experiment.recording.recording import Recording
from qlab.landscape.landscape import TRAINED
from qlab.tracking import frames, names
from qlab.tracking.store import now_ms

MODEL_FAILED = "its model failed to train"

_WORST_FIRST = ("diverged", "unreached", "collapsed", "unconverged", "healthy")


class ProbeGroup:
    """The probes of one ensemble's models, which progress shows together.

    Args:
        recorder: of the experiment.
        trial: one of the models' trials.
        models: how many models there are.
        probes: how many probes.
    """

    def __init__(self, recorder: Recorder, trial: Trial, models: int, probes: int) -> None:
        self._reporter = recorder.line()
        self._label = f"landscapes of {trial.setting}"
        self._models = models
        self._probes = probes
        self._begun = False
        self._left = probes
        self._failed = 0
        self._seconds = 0.0

    def begin(self) -> None:
        """When a probe begins."""
        if not self._begun:
            self._begun = True
            self._reporter.measuring_started(self._label, self._models, self._probes)

    def end(self, seconds: float, *, failed: bool) -> None:
        """When a probe ends."""
        self._left -= 1
        self._failed += failed
        self._seconds += seconds
        if self._begun:
            self._reporter.measured()
        if self._begun and not self._left:
            self._reporter.measuring_finished(self._seconds, self._failed)


class ProbeRecording(Recording[Probed]):
    """Writes a probe's run.

    Args:
        recorder: of the experiment.
        job: what is recorded.
        group: the probes that it is one of.
        read: reads what the job needs from the store, beside what other jobs have made.
    """

    def __init__(self, recorder: Recorder, job: TakeProbe, group: ProbeGroup, read: Callable[[Inputs], Inputs]) -> None:
        super().__init__(recorder)
        self._item: ProbeRun = job.probe_run
        self._group = group
        self._read = read
        self._run_id: str | None = None

    @property
    def told(self) -> ProbeGroup:
        """See the base class."""
        return self._group

    def inputs(self, made: Inputs) -> Inputs:
        """See the base class."""
        return self._read(made)

    def start(self) -> bool:
        """See the base class."""
        return self._open() is not None

    def finish(self, result: Probed) -> None:
        """See the base class."""
        run_id = self._open()
        if run_id is None or result.found is None:
            return
        self.recorder.confirm()
        with self.recorder.tracking(), tempfile.TemporaryDirectory() as folder:
            now, store = now_ms(), self.recorder.store
            store.log(run_id, metrics=[(name, float(value), 0, now) for name, value in result.found.scalars.items()])
            path = result.found.save(Path(folder) / Path(names.PROBE_RESULT).name)
            store.log_file(run_id, path, str(Path(names.PROBE_RESULT).parent))
            self.recorder.finish(self._item, run_id)
        self._run_id = None
        self.recorder.job_ended()
        self._group.end(result.seconds, failed=False)

    def fail(self, error: str) -> None:
        """See the base class."""
        run_id = self._open()
        if run_id is None:
            return
        with self.recorder.tracking():
            self.recorder.end([run_id], "FAILED", error)
        self.recorder.fail([self._item], error)
        self._run_id = None
        self._group.end(0.0, failed=True)

    def abandon(self, reason: str) -> None:
        """See the base class."""
        if self._run_id is not None:
            self.recorder.abandon([self._run_id], reason)

    def _open(self) -> str | None:
        """The probe's run; None if its model failed to train."""
        self.recorder.confirm()
        item = self._item
        if self._run_id is None:
            parent = self.recorder.run_ids.get(item.trial.key)
            if parent is None:
                if item.key in self.recorder.failed:
                    return None
                self.recorder.fail([item], MODEL_FAILED)
                self._group.end(0.0, failed=True)
                return None
            self._group.begin()
            tags = self.recorder.tags(names.PROBE, item.key, parent, item.trial.seed)
            tags |= {names.TEACHER: item.trial.key, **item.group_tags}
            if (health := _worst(self.recorder.health, item)) is not None:
                tags[names.HEALTH] = health
            with self.recorder.tracking():
                self._run_id = self.recorder.create(item.label, params=item.params, tags=tags)
        return self._run_id


def read_health(recorder: Recorder) -> dict[str, str]:
    """The health of every model in the store, by the key of its trial, unlearning or oracle."""
    with recorder.tracking():
        every = frames.runs(recorder.store, [recorder.experiment_id])
    every = every[(every["status"] == "FINISHED") & every["health"].notna()]
    return dict(zip(every["trial"], every["health"], strict=True))


def _worst(health: Mapping[str, str], item: ProbeRun) -> str | None:
    """The health of the model that is measured; of the worse one, if it is compared with its clean twin."""
    at = item.probe.at
    keys = [item.trial.key if at == TRAINED else item.points[at]]
    if item.probe.needs().reference:
        keys.append(item.trial.clean_twin.key)
    found = [health[key] for key in keys if key in health]
    return min(found, key=_WORST_FIRST.index) if found else None
