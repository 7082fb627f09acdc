"""What all parts of a running experiment share: the store, the reporter, loaded data, and the time spent tracking."""

from __future__ import annotations

import contextlib
import functools
import json
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from qlab import interrupts
from qlab.digests import file_digest
from qlab.errors import DataError, StoreError
from qlab.experiment.memory import budget
from qlab.experiment.plan import DAMAGED, Plan
from qlab.experiment.portions import Share
from qlab.experiment.reporting import Reporter
from qlab.experiment.schema import Experiment
from qlab.experiment.trial import Measurement, Trial, Unlearning, content_hash
from qlab.models import Features, Model, checkpoint
from qlab.models.base import prepare_features
from qlab.models.probe import check_model
from qlab.own_code import described, is_own
from qlab.tasks import Dataset, Split, Task
from qlab.tasks.base import digest, load_data
from qlab.tasks.files import digest_of
from qlab.tracking import names, provenance
from qlab.tracking.claims import Claims, TakenOver
from qlab.tracking.redaction import redact
from qlab.tracking.store import DatasetRecord, MetricRow, Status, Store
from qlab.tracking.workers import Worker
from qlab.tracking.writer import MetricWriter
from qlab.training import Member


class DamagedCheckpoint(DataError):
    """A checkpoint is not what was written.

    Args:
        run_id: the run that it belongs to.
    """

    def __init__(self, run_id: str) -> None:
        super().__init__(f"The checkpoint of run {run_id} is damaged, also after it was made again; check the disk.")
        self.run_id = run_id


class Session:
    """One run of one experiment.

    Attributes:
        failed: for each trial, unlearning run or probe that failed now, by key, its label and why.
        finished: the runs of those that finished now, by key.
        attempted: the keys of those that were tried now; they are not tried again.
        left_to_others: the keys of those that were left because another worker had taken some of them over.
        old_failures: runs that failed before.

    Args:
        store: where runs are written.
        reporter: is told about progress.
        experiment: what is run.
        device: where to train.
        share: how many workers the experiment is spread over.
    """

    def __init__(
        self,
        store: Store,
        reporter: Reporter,
        experiment: Experiment,
        device: torch.device,
        share: Share = Share(),  # noqa: B008 - it is frozen
    ) -> None:
        self.store = store
        self.reporter = reporter
        self.experiment = experiment
        self.device = device
        self.share = share
        self.tracking_seconds = 0.0
        self.failed: dict[str, tuple[str, str]] = {}
        self.finished: dict[str, str] = {}
        self.attempted: set[str] = set()
        self.left_to_others: set[str] = set()
        self._last_reason = ""
        self._claimed_as: dict[str, str] = {}
        self.old_failures: set[str] = set()
        self._datasets: dict[str, Dataset] = {}
        self._checked: set[str] = set()
        self._digests: dict[int, str] = {}

    def fail(self, items: Iterable[Trial | Unlearning | Measurement], error: str) -> None:
        """Takes down that trials, unlearning runs or probes failed, and why."""
        self.failed |= {item.key: (item.label, redact(error)) for item in items}

    def skip(self, items: Sequence[Unlearning] | Sequence[Measurement], reason: str) -> None:
        """Takes down that unlearning runs or probes cannot be run, and does not try them."""
        self.fail(items, reason)
        self.attempted |= {item.key for item in items}

    @contextmanager
    def tracking(self) -> Iterator[None]:
        """Counts the time inside as tracking."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.tracking_seconds += time.perf_counter() - start

    @functools.cached_property
    def experiment_id(self) -> str:
        """The MLflow experiment of the runs."""
        return self.store.experiment_id(self.experiment.name)

    @functools.cached_property
    def memory(self) -> int:
        """Bytes that models may take which train together, here: workers of one machine divide what there is."""
        return budget(self.experiment.memory, self.device) // self.share.here

    @functools.cached_property
    def claims(self) -> Claims:
        """What of the MLflow experiment this worker has for itself."""
        return Claims(self.store, self.experiment_id)

    def dataset(self, task: Task) -> Dataset:
        """The data of a task, loaded once."""
        # Classes that a function makes share a name; one object tells them apart as long as the experiment holds it.
        key = json.dumps([id(type(task)), task.config()], sort_keys=True)
        if key not in self._datasets:
            self._datasets[key] = self.load(task)
        return self._datasets[key]

    def load(self, task: Task) -> Dataset:
        """The data of a task, loaded anew.

        Raises:
            QlabError: the task does not load, or its files were edited since the experiment was read.
        """
        found = load_data(task)
        if task.files_digest is not None and digest_of(task) != task.files_digest:
            name = type(task).__name__
            raise DataError(f"The files of the task {name} were edited while the experiment was started; run it again.")
        return found

    def data_digest(self, task: Task) -> str | None:
        """A digest of a task's data, before any corruption, which is the same wherever they are loaded.

        Of qlab's own tasks that read pictures: those of the training and the validation pictures as they are read, with
        a dash. None for those that are computed: the last digits differ between machines.
        """
        dataset = self.dataset(task)
        if not is_own(type(task)):
            return None if dataset.origin is None else "-".join(dataset.origin)
        return content_hash([self._digest(dataset.train), self._digest(dataset.validation)])

    def member(self, trial: Trial) -> Member:
        """What a trial is trained on."""
        return Member.of(trial.task, self.dataset(trial.task), trial.corruption, trial.seed)

    def build(self, trial: Trial) -> Model:
        """A trial's model, built, after a check that it takes the trial's data."""
        model = trial.model.build(Features.of(self.dataset(trial.task), trial.corruption))
        x = self.member(trial).corrupted.split.x
        model.checked = trial.ensemble_key in self._checked
        check_model(model, x)
        self._checked.add(trial.ensemble_key)
        prepare_features(model, x[:1])
        return model

    def dataset_records(self, trial: Trial, member: Member) -> list[DatasetRecord]:
        """What the runs of a trial say of its data."""
        validation = self.dataset(trial.task).validation
        task, name = {"task": trial.config["task"]}, trial.names["task"]
        source = task | {"corruption": trial.config["corruption"], "seed": trial.seed}
        corrupted = member.corrupted
        profile = {"rows": len(corrupted.split), "corrupted_rows": int(corrupted.mask.sum())}
        return [
            DatasetRecord(name, self._digest(corrupted.split), "training", source, profile),
            DatasetRecord(name, self._digest(validation), "validation", task, {"rows": len(validation)}),
        ]

    def tags(self, kind: str, key: str, parent: str, seed: int, engine: str) -> dict[str, str]:
        """The tags that runs below the experiment's run carry."""
        tags = provenance.tags(self.experiment.source) | {
            names.KIND: kind,
            names.TRIAL_KEY: key,
            names.PARENT: parent,
            names.SEED: str(seed),
            names.WORKER: self.claims.worker.id,
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
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / Path(names.CHECKPOINT).name
            checkpoint.save(path, model, state, type_name)
            self.store.log_file(run_id, path, str(Path(names.CHECKPOINT).parent))
            digest = {names.CHECKPOINT_DIGEST: file_digest(path)}
            self.store.log(run_id, metrics=metrics, tags=digest | dict(tags or {}))

    def load_state(self, run_id: str, folder: Path | None) -> dict[str, Tensor]:
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
            return checkpoint.load(path, folder).state_dict()

    def save_tensors(self, run_id: str, tensors: Mapping[str, Tensor], artifact: str) -> None:
        """Writes tensors to an artifact of a run."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / Path(artifact).name
            checkpoint.save_tensors(path, tensors)
            self.store.log_file(run_id, path, str(Path(artifact).parent))

    def load_tensors(self, run_id: str, artifact: str) -> dict[str, Tensor] | None:
        """Tensors in an artifact of a run, or None if the run has no such artifact."""
        if not self.store.has_file(run_id, artifact):
            return None
        with tempfile.TemporaryDirectory() as place:
            return checkpoint.load_tensors(self.store.fetch_file(run_id, artifact, Path(place)))

    def end(self, run_ids: Sequence[str], status: Status, reason: str) -> None:
        """Ends runs that did not finish."""
        self.store.end(run_ids, status, redact(first_line(reason)) or status)

    def claim(self, plan: Plan, keys: Iterable[str]) -> set[str]:
        """Claims trials, unlearning runs or probes; returns those that this worker has.

        Whose checkpoint was damaged after it had finished is claimed anew, under another name that is the same for all
        workers: who had it may live on, and will not do it again.
        """
        own = self._claim_names(plan, keys)
        return {own[name] for name in self.claims.claim(own)}

    def holders(self, plan: Plan, keys: Iterable[str]) -> dict[str, Worker]:
        """The other live workers that have some of these, by key."""
        own = self._claim_names(plan, keys)
        return {own[name]: worker for name, worker in self.claims.holders(own).items()}

    def _claim_names(self, plan: Plan, keys: Iterable[str]) -> dict[str, str]:
        """Keys by what they are claimed as, see :meth:`claim`."""
        self._claimed_as |= {key: f"{key}-{run_id[:8]}" for key, run_id in plan.damaged.items()}
        return {self._claimed_as.get(key, key): key for key in keys}

    def confirm(self, items: Sequence[Trial] | Sequence[Unlearning] | Sequence[Measurement]) -> None:
        """Makes sure that trials, unlearning runs or probes are still this worker's, see :class:`Claims`.

        Raises:
            TakenOver: another worker has claimed some of them.
        """
        self.claims.confirm(self._claimed_as.get(item.key, item.key) for item in items)

    def mine(self, items: Sequence[Trial] | Sequence[Unlearning] | Sequence[Measurement]) -> bool:
        """Whether they are still this worker's; else they are left to others."""
        try:
            self.confirm(items)
        except TakenOver as why:
            self.leave(items, [], why)
            return False
        return True

    def leave(self, items: Iterable[Trial | Unlearning | Measurement], run_ids: Sequence[str], why: TakenOver) -> None:
        """Stops work of which others have some by now: they have continued these runs, or made others."""
        self.left_to_others |= {item.key for item in items}
        if str(why) != self._last_reason:
            self.reporter.notice(str(why))
            self._last_reason = str(why)
        self.abandon(run_ids, "KILLED", "taken over by another worker")

    def discard(self, run_id: str, key: str) -> None:
        """Sees to it that a finished run counts no more, and that what it was of can be tried again."""
        self.end([run_id], "FAILED", DAMAGED)
        self.old_failures.add(run_id)
        self.attempted.discard(key)
        self.finished.pop(key, None)

    @contextmanager
    def starting(self) -> Iterator[list[str]]:
        """A list for the ids of runs as they are created; an error on the way ends those that are in it."""
        run_ids: list[str] = []
        try:
            yield run_ids
        except BaseException as stopped:
            self.abandon(run_ids, "KILLED", "not started" if isinstance(stopped, Exception) else "interrupted")
            raise

    @contextmanager
    def running(
        self, unfinished: Mapping[str, Trial] | Mapping[str, Unlearning], writer: MetricWriter
    ) -> Iterator[None]:
        """While the runs of an ensemble are under way: an error fails those that are unfinished, and is not raised.

        What another worker has taken over is left to it. An interrupt, and an error of the store itself, end the runs
        as well as may be and go on: they can be taken up again, as the models did not fail.

        Args:
            unfinished: what each run is of; whoever finishes one takes it out.
            writer: holds metrics that are not in the store yet.
        """
        try:
            with whole_interrupts():
                yield
        except StoreError:
            self.abandon(list(unfinished), "KILLED", "the store failed")
            raise
        except TakenOver as why:
            self.leave(unfinished.values(), list(unfinished), why)
        except (Exception, SystemExit) as error:  # a user's code may call sys.exit()
            message = described(error)
            with self.tracking():
                writer.flush()
                self.end(list(unfinished), "FAILED", message)
            self.fail(unfinished.values(), message)
            self.reporter.ensemble_failed(message)
        except BaseException:
            self.abandon(list(unfinished), "KILLED", "interrupted", after=writer.flush)
            raise

    def abandon(
        self, run_ids: Sequence[str], status: Status, reason: str, after: Callable[[], None] | None = None
    ) -> None:
        """Ends runs as well as the store allows, while another error is on its way; others' runs are left alone."""
        interrupts.heed()
        doubtful = self.claims.doubtful
        with contextlib.suppress(StoreError):
            self.end([run_id for run_id in run_ids if not doubtful or self._is_own(run_id)], status, reason)
        if after is not None and not doubtful:
            with contextlib.suppress(StoreError):
                after()

    def abandon_all(self, parent: str | None, stopped: BaseException) -> None:
        """Ends what this worker has running, while an error or an interrupt is on its way.

        What was created is found in the store: an interrupt may come before its maker knows of it.
        """
        interrupts.heed()
        failed = isinstance(stopped, Exception)
        with contextlib.suppress(StoreError):
            if parent is not None and failed:
                self.end([parent], "FAILED", str(stopped))
            left = self.store.running(self.experiment_id, self.claims.worker.id)
            self.end(left, "KILLED", "the experiment stopped" if failed else "interrupted")

    def _is_own(self, run_id: str) -> bool:
        return self.store.get_run(run_id).data.tags.get(names.WORKER) == self.claims.worker.id

    def _digest(self, split: Split) -> str:
        """A split's digest; features of loaded data sets, which trials share, are hashed once."""
        shared = any(split.x is part.x for data in self._datasets.values() for part in (data.train, data.validation))
        features = self._digests.get(id(split.x)) if shared else None
        if features is None:
            features = digest(split.x)
            if shared:
                self._digests[id(split.x)] = features
        return content_hash([features, digest(split.y)])


@contextmanager
def whole_interrupts() -> Iterator[None]:
    """Turns an error back into the interrupt if that is what it was: libraries may catch one and raise another."""
    try:
        yield
    except Exception:
        interrupts.check()
        raise


def first_line(reason: str) -> str:
    """The first line of a reason that is not empty, cut to a tag's length."""
    return next((line.strip()[:500] for line in reason.splitlines() if line.strip()), "")
