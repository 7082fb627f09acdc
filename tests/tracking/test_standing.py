"""Runs that nobody runs are read as interrupted, by every reader; a writer marks them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from qlab.tracking import frames, names
from qlab.tracking.listing import experiment_rows, failed_rows, run_table, trial_rows
from qlab.tracking.lock import experiment_lock
from qlab.tracking.standing import INTERRUPTED, REASON, end_left, mark_interrupted
from qlab.tracking.store import Store
from qlab.tracking.workers import Worker

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")


@pytest.fixture
def store(tmp_path: Path, write_empty_store: Callable[[Path], str]) -> Store:
    return Store(write_empty_store(tmp_path / "mlflow.db"))


def begin(store: Store) -> tuple[str, str]:
    """An experiment's run and a trial of it, which say that they are running."""
    experiment = store.experiment_id("begun")
    parent = store.create_run(experiment, "begun", tags={names.KIND: names.EXPERIMENT})
    own = {names.KIND: names.TRIAL, names.TRIAL_KEY: "key", names.PARENT: parent}
    return parent, store.create_run(experiment, "trial", params={"model.type": "MLP"}, tags=own)


def statuses(store: Store) -> list[str]:
    return sorted(frames.runs(store, store.experiment_ids(["begun"]))["status"])


def test_runs_are_running_while_a_command_has_the_experiment(store: Store) -> None:
    with experiment_lock(store, store.experiment_id("begun")) as lock:
        lock.acquire()
        begin(store)
        assert statuses(store) == ["RUNNING", "RUNNING"]
    assert statuses(store) == [INTERRUPTED, INTERRUPTED]  # released, and nobody ended them


def test_runs_that_nobody_runs_are_interrupted_for_every_reader(store: Store) -> None:
    parent, trial = begin(store)
    ids = store.experiment_ids(["begun"])
    assert list(experiment_rows(store, ids)["status"]) == ["interrupted"]
    assert list(experiment_rows(store, ids)["own trials"]) == ["1 interrupted"]
    assert "RUNNING" not in set(trial_rows(store, ids)["status"])
    assert set(run_table(frames.runs(store, ids))["status"]) == {"interrupted"}
    rows = failed_rows(store, ids)
    assert list(rows["status"]) == ["interrupted"]
    assert REASON in rows["error"].iloc[0]
    assert store.get_run(trial).info.status == "RUNNING"  # readers do not write
    assert mark_interrupted(store, frames.runs(store, ids)) == 2
    assert {store.get_run(run).info.status for run in (parent, trial)} == {"KILLED"}
    assert mark_interrupted(store, frames.runs(store, ids)) == 0


def test_who_has_the_experiment_ends_what_was_left_but_its_own_run(store: Store) -> None:
    parent, trial = begin(store)
    foreign = store.create_run(store.experiment_id("begun"), "not of qlab")
    end_left(store, store.experiment_id("begun"), but=parent)
    found = {run: store.get_run(run) for run in (parent, trial, foreign)}
    assert [run.info.status for run in found.values()] == ["RUNNING", "KILLED", "RUNNING"]
    assert found[trial].data.tags[names.ERROR] == REASON


def test_runs_of_others_are_left_alone(store: Store) -> None:
    begin(store)
    store.create_run(store.experiment_id("begun"), "not of qlab")
    assert statuses(store) == [INTERRUPTED, INTERRUPTED, "RUNNING"]


def test_a_worker_that_beats_says_when() -> None:
    worker = dataclasses.replace(Worker.here(), seen=5.0)
    assert (worker.beating().beat, worker.beating().seen > 1e9) == (1, True)
    assert Worker.parse(worker.show()) == worker


def test_workers_of_other_versions_are_understood() -> None:
    worker = Worker.here()
    text = worker.show()
    assert Worker.parse(text.replace("{", '{"more": 1, ', 1)) == worker
    assert Worker.parse(text.replace(f', "seen": {worker.seen!r}', "")) == dataclasses.replace(worker, seen=0.0)
    assert Worker.parse("[1]") is None
