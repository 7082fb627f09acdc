"""Curves as metrics of a run, and what the tags of an experiment tell the MLflow UI."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.utils.validation import _validate_metric_name

from qlab.tracking import names, writes
from qlab.tracking.curves import Curve, letters, metric_names, unit, write_curves
from qlab.tracking.showcase import MAIN, View, address, show
from qlab.tracking.store import Store

KEY = f"{names.SHARED_VIEW}{MAIN}"


def curve(mean: dict[int, float], label: str = "MLP LabelFlip") -> Curve:
    return Curve("validation_accuracy", label, "LabelFlip", mean, dict.fromkeys(mean, 0.5))


def view(*curves: Curve) -> View:
    return View(
        MAIN,
        "qlab: trials",
        names.TRIAL,
        ["model.type", "corruption.ratio"],
        ["metrics.validation_accuracy"],
        ["validation_accuracy"],
        curves,
        "ratio in percent",
    )


@pytest.fixture
def store(tmp_path: Path, write_empty_store: Callable[[Path], str]) -> Store:
    return Store(write_empty_store(tmp_path / "mlflow.db"))


@given(st.sets(st.text(min_size=1, max_size=200), min_size=1, max_size=6))
def test_every_label_becomes_a_metric_of_its_own(labels: set[str]) -> None:
    written = letters(labels)
    assert len(set(written.values())) == len(labels)
    for text in written.values():
        _validate_metric_name(f"validation_accuracy_mean/{text}")


@pytest.mark.parametrize(
    ("ratios", "expected"),
    [([0.0, 0.1, 0.29, 0.57], 100), ([0.125, 0.5], 1000), ([float("nan")], 100), ([1 / 3, 0.1], 1_000_000)],
)
def test_ratios_become_whole_steps(ratios: list[float], expected: int) -> None:
    assert unit(ratios) == expected


def test_curves_are_metrics_and_are_not_written_twice(store: Store) -> None:
    run = store.create_run(store.experiment_id("e"), "own")
    write_curves(store, run, [curve({0: 0.75, 10: float("nan"), 50: 0.5})])
    assert store.metric_history(run, "validation_accuracy_mean/MLP LabelFlip") == [(0, 0.75), (50, 0.5)]
    before = store.client.get_metric_history(run, "validation_accuracy_mean/MLP LabelFlip")
    write_curves(store, run, [curve({0: 0.75, 10: float("nan"), 50: 0.5})])
    after = store.client.get_metric_history(run, "validation_accuracy_mean/MLP LabelFlip")
    assert [vars(metric) for metric in after] == [vars(metric) for metric in before]


def test_curves_follow_what_has_changed(store: Store) -> None:
    """The UI draws every value of a step: those before have to go."""
    run = store.create_run(store.experiment_id("e"), "own")
    write_curves(store, run, [curve({0: 0.75, 50: 0.5}), curve({0: 0.25}, "gone")])
    write_curves(store, run, [curve({0: 0.875, 20: 0.625})])
    assert store.metric_history(run, "validation_accuracy_mean/MLP LabelFlip") == [(0, 0.875), (20, 0.625)]
    last = store.get_run(run).data.metrics
    assert last["validation_accuracy_mean/MLP LabelFlip"] == 0.625
    assert not any("gone" in name for name in last)


def state(store: Store, experiment: str) -> dict[str, Any]:
    saved = json.loads(store.experiment_tags(experiment)[KEY])
    assert isinstance(saved["name"], str)
    assert isinstance(saved["createdAt"], int)
    packed = saved["state"].removeprefix("deflate;")
    found: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(packed)))
    return found


def test_a_view_is_saved_as_the_ui_saves_views(store: Store) -> None:
    experiment = store.experiment_id("e")
    assert store.experiment_tags(experiment)[names.EXPERIMENT_KIND] == "custom_model_development"
    one = curve({0: 0.75})
    show(store, experiment, "what is asked", [view(one)])
    found = state(store, experiment)
    assert [key["groupByData"] for key in found["groupBy"]["groupByKeys"]] == ["model.type", "corruption.ratio"]
    line, bar = found["compareRunCharts"]
    assert (line["type"], line["selectedMetricKeys"]) == ("LINE", [metric_names([one])[0][0]])
    assert (bar["type"], bar["metricKey"]) == ("BAR", "validation_accuracy")
    assert store.experiment_tags(experiment)[names.NOTE] == "what is asked"
    assert (
        address("7")
        == f"#/experiments/7/runs?viewStateShareKey={MAIN}&compareRunsMode=CHART&workflowType=machine_learning"
    )


def test_nothing_new_writes_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = store.experiment_id("e")
    show(store, experiment, "what is asked", [view()])
    monkeypatch.setattr(store, "set_experiment_tags", None)
    show(store, experiment, "what is asked", [view()])


def test_what_a_user_has_changed_stays_and_what_qlab_wrote_follows(store: Store) -> None:
    experiment = store.experiment_id("e")
    show(store, experiment, "what is asked", [view()])
    store.client.set_experiment_tag(experiment, names.NOTE, "my own words")
    show(store, experiment, "what is asked now", [view(curve({0: 0.75}))])
    assert store.experiment_tags(experiment)[names.NOTE] == "my own words"
    assert len(state(store, experiment)["compareRunCharts"]) == 2
    store.client.set_experiment_tag(experiment, KEY, '{"name": "mine", "createdAt": 1, "state": "{}"}')
    show(store, experiment, "what is asked", [view()])
    assert json.loads(store.experiment_tags(experiment)[KEY])["name"] == "mine"


def test_a_view_of_hundreds_of_curves_fits_a_tag(store: Store) -> None:
    experiment = store.experiment_id("e")
    many = [curve({0: 0.75}, f"Model {number * 7919} of width {number**3}") for number in range(400)]
    show(store, experiment, "", [view(*many)])
    assert len(store.experiment_tags(experiment)[KEY]) <= 5000
    assert len(state(store, experiment)["compareRunCharts"]) == 2


def test_tags_of_an_experiment_can_wait_for_a_server(store: Store) -> None:
    experiment = store.experiment_id("e")
    line = writes.SetExperimentTags(experiment, {"a": "b"}).to_json()
    writes.from_json(line).send(store.client, lambda run: run)
    assert store.experiment_tags(experiment)["a"] == "b"
