"""The runner: trains what the store does not have, applies unlearning methods, and sums up."""

from __future__ import annotations

import dataclasses
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from qlab.errors import DataError, StoreError, UnsentError
from qlab.experiment import summary
from qlab.experiment.devices import training_device
from qlab.experiment.landscapes import check_samples
from qlab.experiment.measurement_runs import measure
from qlab.experiment.plan import Plan
from qlab.experiment.reporting import Reporter, Silent
from qlab.experiment.schema import Experiment
from qlab.experiment.session import Session
from qlab.experiment.training_runs import train_ensemble
from qlab.experiment.trial import Trial, Unlearning
from qlab.experiment.unlearning_runs import apply_method, load_teachers
from qlab.models import Model
from qlab.tracking import names, provenance
from qlab.tracking.store import Store
from qlab.unlearning.engine import Partition

_SETTLE_SECONDS = 30.0
"""How long a tracking server that is away is waited for at the end, before the summary is left to another time."""


@dataclasses.dataclass(frozen=True, eq=False)
class Outcome:
    """What came of an experiment.

    Args:
        parent_run: the experiment's parent run.
        table: the trials' summary, see :func:`qlab.views.summary.summarize`.
        unlearning: the methods' summary, see :func:`qlab.views.unlearning.summarize_unlearning`; empty without methods.
        trained: how many trials were trained now.
        reused: how many were in the store already.
        unlearned: how many unlearning runs were made now.
        probes: the probes' summary, see :func:`qlab.views.curvature.summarize_probes`; empty without probes.
        measured: how many probes were taken now.
        failed: for each trial, unlearning run or probe that failed, by key, its label and why.
        artifacts: where the summary's files are.
        working_seconds: wall time of everything between planning and summary that is not tracking.
        tracking_seconds: wall time spent writing to and reading from the store.
    """

    parent_run: str
    table: pd.DataFrame
    unlearning: pd.DataFrame
    trained: int
    reused: int
    unlearned: int
    probes: pd.DataFrame
    measured: int
    failed: dict[str, tuple[str, str]]
    artifacts: str
    working_seconds: float
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

    def run(self, experiment: Experiment) -> Outcome:
        """Runs what the store does not have yet, then summarises the whole experiment.

        What fails is recorded as failed and the rest goes on. On ``KeyboardInterrupt`` the runs in progress are
        marked as killed, finished ones are kept, and the interrupt goes on.

        Raises:
            QlabError: the experiment cannot be run at all; no run has been made then.
        """
        session = Session(self._store, self._reporter, experiment, training_device(experiment.device))
        with session.tracking():
            plan = Plan.of(experiment, self._store)
        self._reporter.planned(plan)
        # What can go wrong before training goes wrong here, while there are no runs yet.
        models = [_build(session, trials) for trials in plan.ensembles]
        groups = [part for group in plan.unlearnings for part in _alike(session, group)]
        for measurement in plan.todo_measurements:
            check_samples(session, measurement)
        followed = {item.trial.key for item in plan.todo_measurements if item.probe.needs().trajectory}
        with session.tracking():
            parent = _parent_run(self._store, experiment)
        start, tracked = time.perf_counter(), session.tracking_seconds
        try:
            run_ids = plan.done | plan.unlearned
            for trials, model in zip(plan.ensembles, models, strict=True):
                trajectories = any(trial.key in followed for trial in trials)
                run_ids |= train_ensemble(session, parent, trials, model, trajectories=trajectories)
            for group in groups:
                run_ids |= _unlearn(session, group, run_ids)
            for measurements in plan.measurements:
                measure(session, measurements, run_ids)
            working = time.perf_counter() - start - (session.tracking_seconds - tracked)
            with session.tracking():
                settled = self._store.settle(_SETTLE_SECONDS)
                if settled:
                    drawn = self._store.has_file(parent, summary.FIRST_FILE)
                    draw = not drawn or bool(plan.todo or plan.todo_unlearnings or plan.todo_measurements)
                    table = summary.summarise_trials(session, parent, draw)
                    unlearning = summary.summarise_unlearning(session, parent, draw)
                    probes = summary.summarise_probes(session, parent, draw)
                self._store.finish(parent, "FAILED" if session.failed else "FINISHED")
        except BaseException as stopped:
            session.abandon([parent], "FAILED" if isinstance(stopped, Exception) else "KILLED", str(stopped))
            raise
        if not settled:
            raise UnsentError(
                f"{experiment.name} has run to its end, but the tracking server is away. {self._store.unsent()} "
                "Running it again then draws the summary."
            )
        return Outcome(
            parent_run=self._store.known_as(parent),
            table=table,
            unlearning=unlearning,
            trained=sum(trial.key not in session.failed for trial in plan.todo),
            reused=len(plan.done),
            unlearned=sum(item.key not in session.failed for item in plan.todo_unlearnings),
            probes=probes,
            measured=sum(item.key not in session.failed for item in plan.todo_measurements),
            failed=session.failed,
            artifacts=self._store.artifact_place(parent),
            working_seconds=working,
            tracking_seconds=session.tracking_seconds,
        )


def _build(session: Session, trials: Sequence[Trial]) -> Model:
    """The model of an ensemble.

    Raises:
        DataError: it takes more memory than there is.
    """
    try:
        return session.build(trials[0])
    except (MemoryError, RuntimeError) as error:
        if "memory" not in str(error):
            raise
        config = trials[0].config["model"]
        raise DataError(f"There is not enough memory for {trials[0].label} with {config}.") from None


def _alike(session: Session, group: Sequence[Unlearning]) -> list[list[Unlearning]]:
    """A group cut into parts whose teachers have as many corrupted rows.

    Raises:
        DataError: a teacher has nothing to forget or nothing to retain.
    """
    parts: dict[int, list[Unlearning]] = {}
    counts: dict[str, int] = {}
    for item in group:
        if item.teacher.key not in counts:
            mask = session.member(item.teacher).corrupted.mask
            Partition.of(mask[None])
            counts[item.teacher.key] = int(mask.sum())
        parts.setdefault(counts[item.teacher.key], []).append(item)
    return list(parts.values())


def _unlearn(session: Session, group: Sequence[Unlearning], run_ids: Mapping[str, str]) -> dict[str, str]:
    """Applies every method of a group to its teachers; teachers that failed are left out, and said to be.

    Returns:
        The run of each finished unlearning, by its key.
    """
    able = [item for item in group if item.teacher.key in run_ids]
    session.fail([item for item in group if item.teacher.key not in run_ids], "its teacher failed")
    if not able:
        return {}
    try:
        teachers = load_teachers(session, able, run_ids)
    except StoreError:
        raise
    except Exception as error:  # a user's model may raise anything while its oracles are trained
        message = f"{type(error).__name__}: {error}"
        session.fail(able, message)
        session.reporter.ensemble_failed(message)
        return {}
    methods: dict[str, list[Unlearning]] = {}
    for item in able:
        methods.setdefault(item.method_key, []).append(item)
    finished: dict[str, str] = {}
    for items in methods.values():
        finished |= apply_method(session, teachers, items)
    return finished


def _parent_run(store: Store, experiment: Experiment) -> str:
    """The experiment's parent run, running: the one of earlier times if its content is the same."""
    experiment_id = store.experiment_id(experiment.name)
    own = f"tags.`{names.CONTENT}` = '{experiment.content}' and tags.`{names.KIND}` = '{names.EXPERIMENT}'"
    for run in store.search([experiment_id], own):
        run_id = str(run.info.run_id)
        store.finish(run_id, "RUNNING")
        return run_id
    tags = provenance.tags(experiment.source) | {
        names.KIND: names.EXPERIMENT,
        names.CONTENT: experiment.content,
        names.NOTE: experiment.about,
    }
    run_id = store.create_run(experiment_id, experiment.name, tags=tags)
    with tempfile.TemporaryDirectory() as folder:
        text, resolved = Path(folder) / "experiment.toml", Path(folder) / "trials.json"
        text.write_text(experiment.text, encoding="utf-8")
        configs = {item.key: item.config for item in experiment.items}
        resolved.write_text(json.dumps(configs, indent=1), encoding="utf-8")
        for file in (text, resolved):
            store.log_file(run_id, file)
    return run_id
