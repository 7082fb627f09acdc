"""Frames and listings of a store's runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from qlab.tracking import frames, listing, names
from qlab.tracking.store import Store

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")


@pytest.fixture
def store(tmp_path: Path, write_empty_store: Callable[[Path], str]) -> Store:
    return Store(write_empty_store(tmp_path / "mlflow.db"))


def test_an_empty_store_is_an_empty_frame_with_all_columns(store: Store) -> None:
    frame = frames.runs(store, store.experiment_ids())
    assert frame.empty
    assert list(frame.columns) == list(names.COLUMNS)
    assert listing.experiment_rows(store, store.experiment_ids()).empty
    assert listing.trial_rows(store, store.experiment_ids()).empty


def test_runs_of_others_are_not_taken_for_qlabs(store: Store) -> None:
    store.create_run(store.experiment_id("foreign"), "theirs", params={"seed": "none of yours"})
    assert listing.experiment_rows(store, store.experiment_ids()).empty
    assert frames.trials(store, store.experiment_ids()).empty
    (seed,) = frames.runs(store, store.experiment_ids())["seed"]
    assert pd.isna(seed)


def test_a_parents_trials_are_counted_by_state(store: Store) -> None:
    experiment_id = store.experiment_id("x")
    parent = store.create_run(experiment_id, "x", tags={names.KIND: names.EXPERIMENT})
    for status in ("FINISHED", "FINISHED", "FAILED"):
        tags = {names.KIND: names.TRIAL, names.PARENT: parent}
        store.finish(store.create_run(experiment_id, "trial", tags=tags), status)
    (row,) = listing.experiment_rows(store, [experiment_id]).to_dict("records")
    assert row["experiment"] == "x"
    assert row["status"] == "interrupted"  # no worker has it
    assert row["own trials"] == "2 finished, 1 failed"
    assert row["run"] == parent


def frame(*rows: tuple[str, str, int]) -> pd.DataFrame:
    return pd.DataFrame(
        [{"run_id": str(index), "trial": t, "status": s, "start": start} for index, (t, s, start) in enumerate(rows)]
    )


@pytest.mark.parametrize(
    ("rows", "kept"),
    [
        pytest.param([("a", "FINISHED", 1), ("a", "FINISHED", 2)], "1", id="the last of two finished"),
        pytest.param([("a", "FINISHED", 2), ("a", "FINISHED", 1)], "0", id="by time, not by place"),
        pytest.param([("a", "FINISHED", 1), ("a", "FAILED", 2)], "0", id="a finished one before a later failed one"),
        pytest.param([("a", "KILLED", 1), ("a", "RUNNING", 2)], "1", id="the last where none finished"),
    ],
)
def test_one_run_for_each_trial(rows: list[tuple[str, str, int]], kept: str) -> None:
    assert list(frames.latest_per_trial(frame(*rows, ("b", "FAILED", 0)))["run_id"]) == [kept, "2"]


def test_metrics_are_the_columns_that_are_neither_identity_nor_params(store: Store) -> None:
    experiment_id = store.experiment_id("x")
    params = {
        "seed": "3",
        "oracles": "2",
        "oracle": "0",
        "probe.type": "Own",
        "points.clean": "abc",
        "task.length": "4",
    }
    tags = {names.KIND: names.PROBE, names.TRIAL_KEY: "a", names.HEALTH: "healthy", names.PARENT: "none"}
    for metrics in ({"lrr": 2.0, "trace": 1.0}, {"trace": 3.0, "barrier_1": 0.5}):
        run_id = store.create_run(experiment_id, "a probe", params=params, tags=tags)
        store.log(run_id, metrics=[(name, value, 0, 1000) for name, value in metrics.items()])
    found = frames.runs_of_kind(store, [experiment_id], names.PROBE)
    assert sorted(frames.metric_columns(found)) == ["barrier_1", "lrr", "trace"]
    assert found["trace"].sum() == 4.0
    assert frames.metric_columns(frames.runs(store, [store.experiment_id("empty")])) == []
