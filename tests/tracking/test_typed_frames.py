"""What a real store gives back: params with their types, numbers that are none, values that were cut."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from qlab.tracking import frames, listing, names, params
from qlab.tracking.groups import keys_of
from qlab.tracking.store import Store
from qlab.views.summary import summarize

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")

TYPES = {"task.type": "XXZ", "corruption.type": "LabelFlip", "corruption.ratio": 0.3, "model.type": "MLP"}


@pytest.fixture
def store(tmp_path: Path, write_empty_store: Callable[[Path], str]) -> Store:
    return Store(write_empty_store(tmp_path / "mlflow.db"))


def trial(store: Store, key: str, settings: dict[str, object], tagged: bool = True, **metrics: float) -> None:
    experiment = store.experiment_id("x")
    values = TYPES | settings
    tags = {names.KIND: names.TRIAL, names.TRIAL_KEY: key, names.HEALTH: "healthy"}
    if tagged:
        keys = keys_of(values)
        tags |= {names.GROUP: keys.group, names.CURVE: keys.curve}
    texts = {name: params.write(value) for name, value in values.items()}
    run = store.create_run(experiment, key, params=texts, tags=tags)
    rows = {"train_accuracy": 1.0, "validation_accuracy": 0.5} | metrics
    store.log(run, metrics=[(name, value, 0, 1000) for name, value in rows.items()])
    store.finish(run)


def read(store: Store) -> pd.DataFrame:
    return frames.trials(store, store.experiment_ids())


def test_params_have_their_types(store: Store) -> None:
    trial(store, "a", {"seed": 2**60, "model.depth": 10, "model.hidden": [64, 16], "model.bias": False, "model.n": "7"})
    trial(store, "b", {"seed": 1, "model.rate": 0.1})
    row, other = read(store).to_dict("records")
    assert (row["seed"], row["model.depth"], row["model.hidden"]) == (2**60, 10, (64, 16))
    assert row["model.bias"] is False
    assert row["model.n"] == "7"
    assert isinstance(row["model.depth"], int)
    assert other["model.depth"] is None
    assert row["corruption.ratio"] == 0.3


def test_params_and_metrics_of_others_take_no_place_of_what_identifies_a_run(store: Store) -> None:
    trial(store, "a", {"status": "DONE", "kind": "mine", "run_id": "x"}, health=3.0)
    [row] = read(store).to_dict("records")
    assert (row["status"], row["kind"], row["health"]) == ("FINISHED", names.TRIAL, "healthy")


def test_metrics_that_are_no_numbers_are_named(store: Store) -> None:
    trial(store, "a", {"seed": 0}, validation_accuracy=math.nan)
    trial(store, "b", {"seed": 1}, train_accuracy=math.inf)
    trial(store, "c", {"seed": 2}, train_accuracy=-math.inf)
    trial(store, "d", {"seed": 3})
    frame = read(store)
    assert list(frame[names.NOT_FINITE]) == [("validation_accuracy",), ("train_accuracy",), ("train_accuracy",), ()]
    assert list(frame["train_accuracy"]) == [1.0, math.inf, -math.inf, 1.0]
    assert store.metric_history(frame["run_id"].iloc[1], "train_accuracy") == [(0, math.inf)]
    assert store.metric_histories(list(frame["run_id"]), "train_accuracy")[frame["run_id"].iloc[2]] == [(0, -math.inf)]
    [row] = summarize(frame).to_dict("records")
    assert (row["kept"], row["trials"]) == (1, 4)
    assert row["left_out"] == "train_accuracy infinite, validation_accuracy not a number"
    notes = listing.trial_rows(store, store.experiment_ids())["note"]
    assert list(notes) == [f"not finite: {name}_accuracy" for name in ("validation", "train", "train")] + [""]


def test_metrics_of_rows_that_there_are_none_of_are_no_news(store: Store) -> None:
    for key, ratio in (("a", 0.0), ("b", 0.3), ("c", 1.0)):
        trial(store, key, {"corruption.ratio": ratio}, forget_accuracy_clean=math.nan, retain_accuracy=math.nan)
    notes = listing.trial_rows(store, store.experiment_ids())["note"]
    assert list(notes) == [
        "not finite: retain_accuracy",
        "not finite: forget_accuracy_clean, retain_accuracy",
        "not finite: forget_accuracy_clean",
    ]


def test_trials_are_told_apart_by_the_settings_in_which_they_differ(store: Store) -> None:
    qnn = {"model.type": "PennyLaneQNN", "training.epochs": 5}
    trial(store, "a", {"model.hidden": [64, 16], "training.epochs": 5, "seed": 0})
    trial(store, "b", {"model.hidden": [8, 2], "training.epochs": 5, "seed": 1})
    trial(store, "c", {"model.hidden": [8, 2], "training.epochs": 9, "seed": 1})
    trial(store, "d", qnn | {"seed": 0})
    trial(store, "e", qnn | {"seed": 1})
    settings = listing.trial_rows(store, store.experiment_ids())["settings"]
    assert list(settings) == ["hidden=[64, 16] epochs=5", "hidden=[8, 2] epochs=5", "hidden=[8, 2] epochs=9", "", ""]
    frame = read(store)
    assert "settings" not in listing.trial_table(frame[frame["model.type"] == "PennyLaneQNN"])


@pytest.mark.parametrize("tagged", [True, False], ids=["tags", "a store of an earlier version"])
def test_values_that_differ_where_mlflow_cuts_them_are_lines_of_their_own(store: Store, tagged: bool) -> None:
    for last in (1, 2):
        trial(store, str(last), {"seed": 0, "model.hidden": [*range(3000), last]}, tagged)
    table = summarize(read(store))
    assert list(table["trials"]) == [1, 1]
    assert table["model"].nunique() == 2


def test_new_seeds_join_those_of_a_store_without_tags(store: Store) -> None:
    for seed in range(4):
        settings = {"seed": seed, "model.hidden": [4], "model.bias": True, "model.rate": 1e-3, "model.kind": "a b"}
        trial(store, str(seed), settings, tagged=seed > 1)
    [row] = summarize(read(store)).to_dict("records")
    assert (row["model"], row["kept"]) == ("MLP", 4)


def test_trials_are_in_the_order_of_their_numbers_and_print_apart(store: Store) -> None:
    for depth in (10, 2):
        for ratio in (0.3, 0.1 + 0.2):
            trial(store, f"{depth} {ratio}", {"seed": 0, "model.depth": depth, "corruption.ratio": ratio})
    table = summarize(read(store))
    assert list(table["model"]) == ["MLP depth=2", "MLP depth=2", "MLP depth=10", "MLP depth=10"]
    assert list(table["ratio"]) == [0.3, 0.1 + 0.2] * 2
