"""Runs whose worker is gone are read as interrupted, by every reader; a writer marks them."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from qlab.tracking import frames, names
from qlab.tracking.claims import Claims
from qlab.tracking.listing import experiment_rows, failed_rows, run_table, trial_rows
from qlab.tracking.standing import INTERRUPTED, SILENT_SECONDS, mark_interrupted
from qlab.tracking.store import Store
from qlab.tracking.workers import Worker

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")


@pytest.fixture
def store(tmp_path: Path, write_empty_store: Callable[[Path], str]) -> Store:
    return Store(write_empty_store(tmp_path / "mlflow.db"))


def begin(store: Store, worker: str | None) -> tuple[str, str]:
    """An experiment's run and a trial of it, which say that they are running."""
    experiment = store.experiment_id("begun")
    tags = {} if worker is None else {names.WORKER: worker}
    parent = store.create_run(experiment, "begun", tags=tags | {names.KIND: names.EXPERIMENT})
    own = {names.KIND: names.TRIAL, names.TRIAL_KEY: "key", names.PARENT: parent}
    return parent, store.create_run(experiment, "trial", params={"model.type": "MLP"}, tags=tags | own)


def statuses(store: Store) -> list[str]:
    return sorted(frames.runs(store, store.experiment_ids(["begun"]))["status"])


def register(store: Store, worker: Worker) -> str:
    """A worker in the claims of the experiment, as if it were at work; its id."""
    experiment = store.experiment_id("begun")
    run = store.create_run(experiment, "claims", tags={names.KIND: names.CLAIMS})
    store.set_tags(run, {f"{names.WORKER}.{worker.id}": worker.show()})
    return worker.id


def test_a_run_of_a_worker_that_lives_is_running(store: Store) -> None:
    with Claims(store, store.experiment_id("begun")) as claims:
        claims.join()
        begin(store, claims.worker.id)
        assert statuses(store) == ["RUNNING", "RUNNING"]
    assert statuses(store) == [INTERRUPTED, INTERRUPTED]  # released, and nobody ended them


def test_a_run_of_a_process_that_is_gone_is_interrupted_for_every_reader(store: Store) -> None:
    here = Worker.here()
    parent, trial = begin(store, register(store, dataclasses.replace(here, pid=2**22 + 1, start="1")))
    ids = store.experiment_ids(["begun"])
    assert list(experiment_rows(store, ids)["status"]) == ["interrupted"]
    assert list(experiment_rows(store, ids)["own trials"]) == ["1 interrupted"]
    assert "RUNNING" not in set(trial_rows(store, ids)["status"])
    assert set(run_table(frames.runs(store, ids))["status"]) == {"interrupted"}
    rows = failed_rows(store, ids)
    assert list(rows["status"]) == ["interrupted"]
    assert "its worker is gone" in rows["error"].iloc[0]
    assert store.get_run(trial).info.status == "RUNNING"  # readers do not write
    assert mark_interrupted(store, frames.runs(store, ids)) == 2
    assert {store.get_run(run).info.status for run in (parent, trial)} == {"KILLED"}
    assert mark_interrupted(store, frames.runs(store, ids)) == 0


@pytest.mark.parametrize(("silence", "status"), [(0.0, "RUNNING"), (SILENT_SECONDS + 60.0, INTERRUPTED)])
def test_a_worker_of_another_machine_is_gone_when_it_was_silent_for_long(
    silence: float, status: str, store: Store
) -> None:
    elsewhere = dataclasses.replace(Worker.here(), space="another machine", seen=time.time() - silence)
    begin(store, register(store, elsewhere))
    assert statuses(store) == [status, status]


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


def test_runs_without_a_worker_are_interrupted_and_runs_of_others_are_left_alone(store: Store) -> None:
    begin(store, None)
    store.create_run(store.experiment_id("begun"), "not of qlab")
    assert statuses(store) == [INTERRUPTED, INTERRUPTED, "RUNNING"]
