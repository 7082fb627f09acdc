"""The recorder of an experiment: all that is written of it goes through here."""

from __future__ import annotations

import contextlib
import functools
import re
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor

from qlab import interrupts
from qlab.digests import content_digest, file_digest
from qlab.errors import DataError, JobStopped, StoreError
from qlab.experiment.asking.audit import Audit
from qlab.experiment.asking.experiment import Experiment
from qlab.experiment.asking.measurement import Measurement
from qlab.experiment.asking.trial import ProbeRun, Trial, Unlearning
from qlab.experiment.planning.plan import DAMAGED
from qlab.experiment.reporting import Reporter
from qlab.models import Model, checkpoint
from qlab.tracking import names, provenance
from qlab.tracking.holding import Lock
from qlab.tracking.lock import experiment_lock
from qlab.tracking.redaction import redact
from qlab.tracking.spreads import close_groups
from qlab.tracking.store import DatasetRecord, MetricRow, Status, Store

_SEED = re.compile(r" seed -?\d+")
"""How labels say what differs between runs that are kept together."""


class DamagedCheckpoint(DataError):
    """A checkpoint is not what was written.

    Args:
        run_id: the run that it belongs to.
    """

    def __init__(self, run_id: str) -> None:
        super().__init__(f"The checkpoint of run {run_id} is damaged, also after it was made again; check the disk.")
        self.run_id = run_id


class Recorder:
    """Writes what comes of one run of an experiment.

    Args:
        store: where runs are written.
        reporter: is told about progress.
        experiment: what is run.
        side_by_side: whether jobs run at the same time.

    Attributes:
        worker: what the runs of this command are marked with.
        failed: for each trial, unlearning run, probe or metric that failed now, by key, its label and why.
        finished: the runs of those that finished now, by key.
        run_ids: the runs of everything that has finished, now or earlier, by key.
        health: the health of the models of those runs, by key, as far as it was asked for.
    """

    def __init__(self, store: Store, reporter: Reporter, experiment: Experiment, *, side_by_side: bool = False) -> None:
        self._side_by_side = side_by_side
        self._lost = False
        self.store = store
        self.reporter = reporter
        self.experiment = experiment
        self.worker = uuid.uuid4().hex[:12]
        self.together = experiment.track == "groups"
        self.tracking_seconds = 0.0
        self.failed: dict[str, tuple[str, str]] = {}
        self.finished: dict[str, str] = {}
        self.run_ids: dict[str, str] = {}
        self.health: dict[str, str] = {}

    @functools.cached_property
    def experiment_id(self) -> str:
        """The MLflow experiment of the runs."""
        return self.store.experiment_id(self.experiment.name)

    @functools.cached_property
    def lock(self) -> Lock:
        """The experiment's lock."""
        return experiment_lock(self.store, self.experiment_id)

    def confirm(self) -> None:
        """Makes sure that the experiment is still this command's.

        Raises:
            JobStopped: this command gave no sign of life for so long that another has taken it.
        """
        try:
            self.lock.confirm()
        except JobStopped:
            self._lost = True
            raise

    def line(self) -> Reporter:
        """What is told about one of the jobs."""
        return self.reporter.beside() if self._side_by_side else self.reporter

    @contextmanager
    def tracking(self) -> Iterator[None]:
        """Counts the time inside as tracking."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.tracking_seconds += time.perf_counter() - start

    def fail(self, items: Iterable[Trial | Unlearning | ProbeRun | Measurement | Audit], error: str) -> None:
        """Takes down that trials, unlearning runs, probes or metrics failed, and why."""
        self.failed |= {item.key: (item.label, redact(error)) for item in items}

    def finish(self, item: Trial | Unlearning | ProbeRun, run_id: str, health: str | None = None) -> None:
        """Ends a run that has all it is to have."""
        self.store.finish(run_id)
        self.finished[item.key] = run_id
        self.run_ids[item.key] = run_id
        if health is not None:
            self.health[item.key] = health

    def create(
        self,
        label: str,
        *,
        params: Mapping[str, str],
        tags: Mapping[str, str],
        datasets: Sequence[DatasetRecord] = (),
    ) -> str:
        """Begins the run of a trial, an unlearning run, a probe or a model for comparison, and returns its id.

        It is kept together with those that differ in seed only if the experiment asks for that.
        """
        together = _SEED.sub("", label) if self.together else None
        return self.store.create_run(
            self.experiment_id, label, params=params, tags=tags, datasets=datasets, together=together
        )

    def job_ended(self) -> None:
        """Has what was written of a job put into the store, if it is time for that."""
        with self.tracking():
            self.store.flush(due=True)

    def close(self) -> None:
        """Ends the runs in which others are kept together, with what is to be said of all of these."""
        with self.tracking():
            close_groups(self.store)

    def tags(self, kind: str, key: str, parent: str, seed: int, engine: str = "") -> dict[str, str]:
        """The tags that runs below the experiment's run carry."""
        tags = provenance.tags(self.experiment.source) | {
            names.KIND: kind,
            names.TRIAL_KEY: key,
            names.PARENT: parent,
            names.SEED: str(seed),
            names.WORKER: self.worker,
        }
        return tags | {names.ENGINE: engine} if engine else tags

    def save_checkpoint(
        self,
        run_id: str,
        model: Model,
        state: Mapping[str, Tensor],
        type_name: str,
        tags: Mapping[str, str] | None = None,
        metrics: Sequence[MetricRow] = (),
    ) -> None:
        """Writes a checkpoint to a run's artifacts, then its checksum to its tags, with further tags and metrics."""
        content = checkpoint.content_of(model, state, type_name)
        self.store.log_content(run_id, names.CHECKPOINT, content)
        digest = {names.CHECKPOINT_DIGEST: content_digest(content)}
        self.store.log(run_id, metrics=metrics, tags=digest | dict(tags or {}))

    def load_state(self, run_id: str) -> dict[str, Tensor]:
        """The parameters and buffers in a run's checkpoint.

        Raises:
            DamagedCheckpoint: the file is missing, or is not the one that was written.
        """
        expected = self.store.get_run(run_id).data.tags.get(names.CHECKPOINT_DIGEST)
        with tempfile.TemporaryDirectory() as place:
            try:
                path = self.store.fetch_file(run_id, names.CHECKPOINT, Path(place))
            except StoreError:
                if self.store.has_file(run_id, names.CHECKPOINT):
                    raise
                raise DamagedCheckpoint(run_id) from None
            if expected is not None and file_digest(path) != expected:
                raise DamagedCheckpoint(run_id)
            return checkpoint.load(path, self.experiment.folder).state_dict()

    def save_tensors(self, run_id: str, tensors: Mapping[str, Tensor], artifact: str) -> None:
        """Writes tensors to an artifact of a run."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / Path(artifact).name
            checkpoint.save_tensors(path, tensors)
            self.store.log_file(run_id, path, str(Path(artifact).parent))

    def load_tensors(self, run_id: str, artifact: str) -> dict[str, Tensor]:
        """Tensors in an artifact of a run."""
        with tempfile.TemporaryDirectory() as place:
            return checkpoint.load_tensors(self.store.fetch_file(run_id, artifact, Path(place)))

    def end(self, run_ids: Sequence[str], status: Status, reason: str) -> None:
        """Ends runs that did not finish."""
        self.store.end(run_ids, status, redact(first_line(reason)) or status)

    def discard(self, run_id: str, key: str) -> None:
        """Sees to it that a finished run counts no more."""
        self.end([run_id], "FAILED", DAMAGED)
        self.finished.pop(key, None)
        self.run_ids.pop(key, None)

    @contextmanager
    def starting(self) -> Iterator[list[str]]:
        """A list for the ids of runs as they are created; an error on the way ends those that are in it."""
        run_ids: list[str] = []
        try:
            yield run_ids
        except BaseException as stopped:
            self.abandon(run_ids, "not started" if isinstance(stopped, Exception) else "interrupted")
            raise

    def abandon(self, run_ids: Sequence[str], reason: str) -> None:
        """Ends runs as well as the store allows, while another error is on its way; others' runs are left alone."""
        interrupts.heed()
        if self.owns():
            with contextlib.suppress(StoreError):
                self.end(run_ids, "KILLED", reason)

    def owns(self) -> bool:
        """Whether no other command has taken the experiment over, whose runs are not to be touched."""
        with contextlib.suppress(StoreError, JobStopped):
            self.confirm()
        return not self._lost

    def abandon_all(self, parent: str | None, stopped: BaseException) -> None:
        """Ends what is running of this command, while an error or an interrupt is on its way.

        What was created is found in the store: an interrupt may come before its maker knows of it.
        """
        interrupts.heed()
        if not self.owns():
            return
        with contextlib.suppress(StoreError):
            self.store.flush()  # what has ended
        failed = isinstance(stopped, Exception)
        with contextlib.suppress(StoreError):
            if parent is not None and failed:
                self.end([parent], "FAILED", str(stopped))
            left = self.store.running(self.experiment_id, self.worker)
            self.end(left, "KILLED", "the experiment stopped" if failed else "interrupted")


def first_line(reason: str) -> str:
    """The first line of a reason that is not empty, cut to a tag's length."""
    return next((line.strip()[:500] for line in reason.splitlines() if line.strip()), "")
