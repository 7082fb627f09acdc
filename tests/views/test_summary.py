"""From trials to a table."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from qlab.views.kept import spread
from qlab.views.labels import label_models
from qlab.views.summary import summarize


def trial(**changed: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "qlab.not_finite": (),
        "task.type": "XXZ",
        "task.length": "4",
        "corruption.type": "LabelFlip",
        "corruption.ratio": 0.0,
        "model.type": "MLP",
        "model.hidden": "[4]",
        "training.epochs": "2",
        "seed": 0,
        "status": "FINISHED",
        "health": "healthy",
        "train_accuracy": 1.0,
        "validation_accuracy": 1.0,
    }
    return row | {key.replace("__", "."): value for key, value in changed.items()}


def rows(*trials: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = summarize(pd.DataFrame(trials)).to_dict("records")
    return found


def test_mean_and_deviation_over_seeds() -> None:
    (row,) = rows(*(trial(seed=seed, validation_accuracy=value) for seed, value in enumerate((0.5, 0.6, 1.0))))
    assert row["validation_accuracy_mean"] == pytest.approx(0.7)
    # Squared distances 0.04, 0.01 and 0.09 over n - 1 = 2.
    assert row["validation_accuracy_std"] == pytest.approx(math.sqrt(0.14 / 2))
    assert row["train_accuracy_std"] == 0.0
    assert (row["kept"], row["trials"], row["left_out"]) == (3, 3, "")


def test_one_trial_has_no_deviation() -> None:
    (row,) = rows(trial(validation_accuracy=0.25))
    assert row["validation_accuracy_mean"] == 0.25
    assert math.isnan(row["validation_accuracy_std"])


def test_a_row_for_each_model_corruption_and_ratio_in_order() -> None:
    found = rows(
        *(
            trial(model__type=model, corruption__type=corruption, corruption__ratio=ratio)
            for model in ("PennyLaneQNN", "MLP")
            for corruption in ("LabelFlip", "FeatureRandomization")
            for ratio in (0.5, 0.0)
        )
    )
    keys = [(row["model"], row["corruption"], row["ratio"]) for row in found]
    assert keys == [
        (model, corruption, ratio)
        for model in ("MLP", "PennyLaneQNN")
        for corruption in ("FeatureRandomization", "LabelFlip")
        for ratio in (0.0, 0.5)
    ]


LEFT_OUT = {
    "failed": {"status": "FAILED", "health": None, "train_accuracy": None, "validation_accuracy": None},
    "killed": {"status": "KILLED", "health": None, "validation_accuracy": 0.1},
    "running": {"status": "RUNNING", "health": None, "validation_accuracy": 0.1},
    "diverged": {"health": "diverged", "validation_accuracy": 0.1},
    "no metrics": {"train_accuracy": None, "validation_accuracy": float("nan")},
    "no validation_accuracy": {"validation_accuracy": None},
    "validation_accuracy not a number": {
        "validation_accuracy": float("nan"),
        "qlab.not_finite": ("validation_accuracy",),
    },
    "train_accuracy infinite": {"train_accuracy": float("inf")},
}


@pytest.mark.parametrize(("reason", "changed"), LEFT_OUT.items(), ids=LEFT_OUT.keys())
def test_a_trial_that_is_left_out_does_not_count_but_shows(reason: str, changed: dict[str, Any]) -> None:
    (row,) = rows(trial(seed=0, validation_accuracy=0.9), trial(seed=1, **changed))
    assert row["validation_accuracy_mean"] == 0.9
    assert (row["kept"], row["trials"], row["left_out"]) == (1, 2, reason)


@pytest.mark.parametrize("health", ["healthy", "collapsed", "unconverged"])
def test_finite_results_are_kept_whatever_their_health(health: str) -> None:
    (row,) = rows(trial(health=health))
    assert row["kept"] == 1


def test_all_reasons_are_named_once() -> None:
    (row,) = rows(trial(), *(trial(**changed) for changed in LEFT_OUT.values()), trial(**LEFT_OUT["failed"]))
    assert row["left_out"] == ", ".join(sorted(LEFT_OUT))
    assert (row["kept"], row["trials"]) == (1, len(LEFT_OUT) + 2)


def test_where_nothing_is_kept_there_is_a_row_without_numbers() -> None:
    (row,) = rows(trial(health="diverged"), trial(status="FAILED", health=None))
    assert (row["kept"], row["trials"], row["left_out"]) == (0, 2, "diverged, failed")
    assert math.isnan(row["validation_accuracy_mean"])
    assert math.isnan(row["validation_accuracy_std"])


def test_trials_that_never_logged_a_metric() -> None:
    frame = pd.DataFrame([trial(status="FAILED")]).drop(columns=["train_accuracy", "validation_accuracy"])
    (row,) = summarize(frame).to_dict("records")
    assert (row["kept"], row["left_out"]) == (0, "failed")


def test_runs_that_ended_before_they_had_params_are_a_row_of_their_own() -> None:
    bare = {"status": "KILLED", "health": None, "seed": None}
    known, unknown = summarize(pd.DataFrame([trial(), bare])).to_dict("records")
    assert (known["model"], known["kept"], known["trials"]) == ("MLP", 1, 1)
    assert (unknown["model"], unknown["kept"], unknown["trials"]) == ("unknown", 0, 1)
    assert unknown["left_out"] == "killed"
    assert math.isnan(unknown["ratio"])


def test_without_runs_the_table_is_empty() -> None:
    table = summarize(pd.DataFrame())
    assert table.empty
    assert {"model", "corruption", "ratio", "kept", "trials", "left_out"} <= set(table.columns)


def labels(*trials: dict[str, Any]) -> list[str]:
    return list(label_models(pd.DataFrame(trials)))


def test_a_model_is_named_by_its_type_where_that_is_enough() -> None:
    found = labels(
        trial(), trial(model__type="PennyLaneQNN", model__hidden=None, model__depth="4", training__epochs="9")
    )
    assert found == ["MLP", "PennyLaneQNN"]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"model__hidden": "[8]"}, ["MLP hidden=[4]", "MLP hidden=[8]"]),
        ({"training__epochs": "9"}, ["MLP training.epochs=2", "MLP training.epochs=9"]),
        ({"task__length": "6"}, ["MLP task.length=4", "MLP task.length=6"]),
        ({"task__type": "Digits", "task__length": "4"}, ["MLP on XXZ", "MLP on Digits"]),
    ],
    ids=["model", "training", "task", "class of task"],
)
def test_settings_in_which_models_of_a_type_differ_are_in_the_name(
    changed: dict[str, Any], expected: list[str]
) -> None:
    assert labels(trial(), trial(**changed)) == expected


@pytest.mark.parametrize(
    "changed", [{"seed": 1}, {"corruption__ratio": 0.5}, {"corruption__type": "FeatureRandomization"}]
)
def test_seed_ratio_and_class_of_corruption_are_not_in_the_name(changed: dict[str, Any]) -> None:
    assert labels(trial(), trial(**changed)) == ["MLP", "MLP"]


def test_names_survive_any_index() -> None:
    frame = pd.DataFrame([trial(), trial(model__hidden="[8]")], index=[7, 3])
    assert list(label_models(frame)) == ["MLP hidden=[4]", "MLP hidden=[8]"]


def test_equal_values_have_no_deviation_at_all() -> None:
    assert spread([0.9210526315789473] * 5) == (0.9210526315789473, 0.0)
    assert np.std([0.9210526315789473] * 5, ddof=1) > 0.0  # rounding of the mean
