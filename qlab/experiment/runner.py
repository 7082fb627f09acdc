"""The runner: composes tasks, corruptions, models and the trainer, and writes what they do to the store."""

from __future__ import annotations

import dataclasses
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from qlab.errors import ConfigError, StoreError
from qlab.experiment.plan import Plan
from qlab.experiment.reporting import Reporter, Silent
from qlab.experiment.schema import Experiment
from qlab.experiment.trial import Trial, content_hash
from qlab.models import Features, Model, checkpoint
from qlab.tasks import Dataset, Split, Task
from qlab.tasks.base import digest
from qlab.tracking import frames, names, provenance
from qlab.tracking.store import DatasetRecord, Status, Store
from qlab.tracking.writer import MetricWriter
from qlab.training import Member, TrainedEnsemble
from qlab.views.summary import summarize

EVERY_EPOCH = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy")
"""Metrics logged after each epoch. The others are logged after the last one."""


@dataclasses.dataclass(frozen=True, eq=False)
class Outcome:
    """What came of an experiment.

    Args:
        parent_run: the experiment's parent run.
        table: the summary, see :func:`qlab.views.summary.summarize`.
        trained: how many trials were trained now.
        reused: how many were in the store already.
        failed: labels of the trials that failed, and why.
        artifacts: where the summary's files are.
        training_seconds: wall time of training.
        tracking_seconds: wall time spent writing to and reading from the store.
    """

    parent_run: str
    table: pd.DataFrame
    trained: int
    reused: int
    failed: dict[str, str]
    artifacts: str
    training_seconds: float
    tracking_seconds: float


class Runner:
    """Runs experiments into a store.

    Args:
        store: where runs are written, and finished trials are found.
        reporter: is told about progress.
    """

    def __init__(self, store: Store, reporter: Reporter | None = None) -> None:
        self._store = store
        self._reporter: Reporter = reporter or Silent()
        self._datasets: dict[str, Dataset] = {}
        self._tracking_seconds = 0.0

    def run(self, experiment: Experiment) -> Outcome:
        """Trains what the store does not have yet, then summarises the whole experiment.

        An ensemble that fails is recorded as failed and the others go on. On ``KeyboardInterrupt`` the
        runs in progress are marked as killed, finished ones are kept, and the interrupt goes on.

        Raises:
            QlabError: the experiment cannot be run at all; no run has been made then.
        """
        device = training_device(experiment.device)
        with self._tracking():
            plan = Plan.of(experiment, self._store)
        self._reporter.planned(plan)
        # What can go wrong before training goes wrong here, while there are no runs yet.
        models = [self._build(trials) for trials in plan.ensembles]
        with self._tracking():
            parent = self._parent_run(experiment)
        failed: dict[str, str] = {}
        training_seconds = 0.0
        try:
            for trials, model in zip(plan.ensembles, models, strict=True):
                start = time.perf_counter()
                tracked = self._tracking_seconds
                error = self._run_ensemble(parent, experiment, trials, model, device)
                if error is not None:
                    failed |= {trial.label: error for trial in trials}
                training_seconds += time.perf_counter() - start - (self._tracking_seconds - tracked)
            with self._tracking():
                table = self._summarise(parent, experiment)
                self._store.finish(parent, "FAILED" if failed else "FINISHED")
        except BaseException as stopped:
            self._store.finish(parent, "FAILED" if isinstance(stopped, Exception) else "KILLED")
            raise
        return Outcome(
            parent_run=parent,
            table=table,
            trained=len(plan.todo) - len(failed),
            reused=len(plan.done),
            failed=failed,
            artifacts=self._store.artifact_place(parent),
            training_seconds=training_seconds,
            tracking_seconds=self._tracking_seconds,
        )

    def _build(self, trials: Sequence[Trial]) -> Model:
        """The model of an ensemble, built, after a check that it takes the data of its first trial."""
        first = trials[0]
        dataset = self._dataset(first.task)
        model = first.model.build(Features.of(dataset, first.corruption))
        corrupted = Member.of(first.task, dataset, first.corruption, first.seed).corrupted
        model.prepare(corrupted.split.x[:1])
        return model

    def _dataset(self, task: Task) -> Dataset:
        key = json.dumps([type(task).__module__, type(task).__qualname__, task.config()], sort_keys=True)
        if key not in self._datasets:
            self._datasets[key] = task.load()
        return self._datasets[key]

    def _run_ensemble(
        self,
        parent: str,
        experiment: Experiment,
        trials: Sequence[Trial],
        model: Model,
        device: torch.device,
    ) -> str | None:
        """Trains an ensemble and writes its runs; returns what went wrong, if training did."""
        first = trials[0]
        label = f"{first.names['model']} on {first.names['task']}, {first.names['corruption']}"
        engine = getattr(model, "engine_name", "")
        self._reporter.ensemble_started(label, engine, len(trials), first.trainer.epochs)
        dataset = self._dataset(first.task)
        members = [Member.of(trial.task, dataset, trial.corruption, trial.seed) for trial in trials]
        with self._tracking():
            run_ids = self._create_runs(parent, experiment, trials, members, engine)
        writer = MetricWriter(self._store, run_ids)
        last = first.trainer.epochs

        def observe(epoch: int, metrics: dict[str, NDArray[np.float64]]) -> None:
            with self._tracking():
                writer.log(epoch, {name: metrics[name] for name in EVERY_EPOCH} if epoch < last else metrics)
            self._reporter.epoch(epoch, metrics)

        unfinished = list(run_ids)
        try:
            trained = first.trainer.fit(model, members, dataset.validation, observer=observe, device=device)
            with self._tracking():
                writer.flush()
                for index, run_id in enumerate(run_ids):
                    self._finish_run(run_id, trials[index], trained, index)
                    unfinished.remove(run_id)
        except StoreError:
            raise
        except Exception as error:
            message = f"{type(error).__name__}: {error}"
            with self._tracking():
                writer.flush()
                self._end(unfinished, "FAILED", message)
            self._reporter.ensemble_failed(message)
            return message
        except BaseException:
            writer.flush()
            self._end(unfinished, "KILLED", "interrupted")
            raise
        self._reporter.ensemble_finished(trained.seconds, trained.health)
        return None

    def _create_runs(
        self, parent: str, experiment: Experiment, trials: Sequence[Trial], members: Sequence[Member], engine: str
    ) -> list[str]:
        experiment_id = self._store.experiment_id(experiment.name)
        common = provenance.tags(experiment.source) | {names.KIND: names.TRIAL, names.PARENT: parent}
        if engine:
            common[names.ENGINE] = engine
        validation = self._dataset(trials[0].task).validation
        digests = _Digests()
        run_ids: list[str] = []
        try:
            for trial, member in zip(trials, members, strict=True):
                tags = common | {names.TRIAL_KEY: trial.key, names.SEED: str(trial.seed)}
                datasets = _dataset_records(trial, member, validation, digests)
                run_ids.append(
                    self._store.create_run(
                        experiment_id, trial.label, params=trial.params, tags=tags, datasets=datasets
                    )
                )
        except BaseException as stopped:
            self._end(run_ids, "FAILED" if isinstance(stopped, Exception) else "KILLED", "not started")
            raise
        return run_ids

    def _finish_run(self, run_id: str, trial: Trial, trained: TrainedEnsemble, index: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / Path(names.CHECKPOINT).name
            checkpoint.save(path, trained.model, trained.state_of(index), trial.names["model"])
            self._store.log_file(run_id, path, str(Path(names.CHECKPOINT).parent))
        self._store.set_tags(run_id, {names.HEALTH: trained.health[index]})
        self._store.finish(run_id)

    def _end(self, run_ids: Sequence[str], status: Status, reason: str) -> None:
        for run_id in run_ids:
            self._store.set_tags(run_id, {names.ERROR: reason.splitlines()[0][:500] if reason else status})
            self._store.finish(run_id, status)

    def _parent_run(self, experiment: Experiment) -> str:
        """The experiment's parent run, running: the one of earlier times if its content is the same."""
        experiment_id = self._store.experiment_id(experiment.name)
        filter_string = (
            f"tags.`{names.CONTENT}` = '{experiment.content}' and tags.`{names.KIND}` = '{names.EXPERIMENT}'"
        )
        for run in self._store.search([experiment_id], filter_string):
            run_id = str(run.info.run_id)
            self._store.finish(run_id, "RUNNING")
            return run_id
        tags = provenance.tags(experiment.source) | {
            names.KIND: names.EXPERIMENT,
            names.CONTENT: experiment.content,
            names.NOTE: experiment.about,
        }
        run_id = self._store.create_run(experiment_id, experiment.name, tags=tags)
        with tempfile.TemporaryDirectory() as folder:
            text, resolved = Path(folder) / "experiment.toml", Path(folder) / "trials.json"
            text.write_text(experiment.text, encoding="utf-8")
            resolved.write_text(
                json.dumps({trial.key: trial.config for trial in experiment.trials}, indent=1), encoding="utf-8"
            )
            for file in (text, resolved):
                self._store.log_file(run_id, file)
        return run_id

    def _summarise(self, parent: str, experiment: Experiment) -> pd.DataFrame:
        """Writes table and figure of all trials, wherever in the MLflow experiment their runs are."""
        experiment_id = self._store.experiment_id(experiment.name)
        frame = frames.latest_per_trial(frames.trials(self._store, [experiment_id]))
        frame = frame[frame["trial"].isin([trial.key for trial in experiment.trials])]
        table = summarize(frame)
        with tempfile.TemporaryDirectory() as folder:
            for file in write_summary(table, Path(folder), experiment.name):
                self._store.log_file(parent, file, "summary")
        return table

    @contextmanager
    def _tracking(self) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self._tracking_seconds += time.perf_counter() - start


class _Digests:
    """Digests of splits; features that splits share (the same tensor) are hashed once."""

    def __init__(self) -> None:
        self._features: dict[int, tuple[Tensor, str]] = {}

    def of(self, split: Split) -> str:
        if id(split.x) not in self._features:
            # The tensor is kept with its digest, so that its id is not used again.
            self._features[id(split.x)] = (split.x, digest(split.x))
        return content_hash([self._features[id(split.x)][1], digest(split.y)])


def _dataset_records(trial: Trial, member: Member, validation: Split, digests: _Digests) -> list[DatasetRecord]:
    task, name = {"task": trial.config["task"]}, trial.names["task"]
    corrupted = member.corrupted
    source = task | {"corruption": trial.config["corruption"], "seed": trial.seed}
    profile = {"rows": len(corrupted.split), "corrupted_rows": int(corrupted.mask.sum())}
    return [
        DatasetRecord(name, digests.of(corrupted.split), "training", source, profile),
        DatasetRecord(name, digests.of(validation), "validation", task, {"rows": len(validation)}),
    ]


def write_summary(table: pd.DataFrame, folder: Path, title: str) -> list[Path]:
    """Writes ``summary.csv``, ``accuracy.png`` and ``accuracy.html`` into a folder."""
    from qlab.views.resilience import accuracy_against_ratio
    from qlab.views.saving import save_html, save_png

    csv = folder / "summary.csv"
    table.to_csv(csv, index=False)
    figure = accuracy_against_ratio(table)
    return [csv, save_png(figure, folder / "accuracy.png"), save_html(figure, folder / "accuracy.html", title)]


def training_device(name: str) -> torch.device:
    """The PyTorch device of that name.

    Raises:
        ConfigError: no such device here.
    """
    accepted = '"cpu", "cuda" or "cuda:N"'
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f'device: got "{name}", accepts {accepted}.') from None
    if device.type == "cpu":
        return device
    if device.type != "cuda":
        raise ConfigError(f'device: got "{name}", accepts {accepted}.')
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if (device.index or 0) >= count:
        raise ConfigError(
            f'device: got "{name}", but PyTorch sees {count} CUDA devices here (PyTorch {torch.__version__}); '
            'use "cpu", or install a CUDA build of PyTorch on a machine with a GPU.'
        )
    return device
