"""Trials against a param: which runs are behind a point, and where those that still train are."""

from __future__ import annotations

from typing import Any

import holoviews as hv
import numpy as np
import pandas as pd
import pytest

from qlab.errors import ConfigError
from qlab.reading.against import against, spans_decades
from qlab.tracking import names
from qlab.views.behind import said

RATES = (0.001, 0.1)


def trial(rate: float, ratio: float, seed: int, **changed: Any) -> dict[str, Any]:
    value = round(0.9 - ratio + 0.01 * seed - rate, 6)
    row = {"run_id": f"{rate}/{ratio}/{seed}", "seed": float(seed), "status": "FINISHED", "health": "healthy"}
    row |= {"task.type": "XXZ", "model.type": "MLP", "corruption.type": "LabelFlip", "corruption.ratio": ratio}
    row |= {"training.learning_rate": rate, "training.epochs": 20, names.SEEN: None, names.NOT_FINITE: ()}
    return row | {"train_accuracy": 1.0, "validation_accuracy": value} | changed


@pytest.fixture
def trials() -> pd.DataFrame:
    """Two rates, two ratios, three seeds; one run still trains, one has failed."""
    rows = [trial(rate, ratio, seed) for rate in RATES for ratio in (0.0, 0.4) for seed in (0, 1, 2)]
    rows[5] |= {"status": "RUNNING", "validation_accuracy": 0.25, names.SEEN: (7, 1)}
    rows[4] |= {"status": "FAILED", "validation_accuracy": np.nan}
    frame = pd.DataFrame(rows)
    return frame.astype(dict.fromkeys(("training.learning_rate", "training.epochs"), object))


def test_a_point_has_its_runs_behind_it_whatever_became_of_them(trials: pd.DataFrame) -> None:
    found = against(trials)
    (point,) = [p for p in found.points if p.panel == 0 and p.x == 0.4 and p.runs[0].startswith("0.001/")]
    assert point.runs == ("0.001/0.4/0", "0.001/0.4/1", "0.001/0.4/2")
    assert point.y == pytest.approx(0.9 - 0.4 - 0.001)  # of the one that has finished
    row = next(row for row in found.table.to_dict("records") if found.behind(row) == list(point.runs))
    assert row["behind"] == "seed 0"


def test_what_still_trains_is_where_its_mean_will_be_with_what_it_has_reached(trials: pd.DataFrame) -> None:
    validation, training = against(trials).going
    assert (validation.panel, validation.x, validation.y, validation.run) == (0, 0.4, 0.25, "0.001/0.4/2")
    assert validation.said == "seed 2, running, epoch 7 of 20"
    assert (training.panel, training.y) == (1, 1.0)


def test_any_param_of_numbers_is_an_axis_and_is_logarithmic_where_it_spans_decades(trials: pd.DataFrame) -> None:
    found = against(trials, "learning_rate")
    assert (found.x, found.log) == ("training.learning_rate", True)
    assert {(p.panel, p.x) for p in found.points} == {(panel, rate) for panel in range(4) for rate in RATES}
    (point,) = [p for p in found.points if p.panel == 0 and p.x == 0.1]
    assert point.runs == ("0.1/0.0/0", "0.1/0.0/1", "0.1/0.0/2")
    assert point.y == pytest.approx(np.mean([0.8, 0.81, 0.82]))
    assert {(one.panel, one.x) for one in found.going} == {(2, 0.001), (3, 0.001)}  # the panels of ratio 0.4
    figure: Any = found.figure()
    assert len(figure) == 4
    assert hv.render(figure, backend="bokeh")
    assert "behind" not in found.numbers


@pytest.mark.parametrize(
    ("given", "message"),
    [("model.type", "model.type has the value MLP"), ("learn", 'across: unknown param "learn"')],
)
def test_what_is_no_param_of_numbers_is_refused(trials: pd.DataFrame, given: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        against(trials, given)


def test_the_pointer_is_told_mean_deviation_number_and_runs(trials: pd.DataFrame) -> None:
    dots = against(trials).figure().traverse(lambda part: part, [hv.Scatter])[0]  # type: ignore[attr-defined]
    assert {dimension.name for dimension in dots.dimensions()} == {"ratio", "mean", "spread", "counts", "behind"}
    assert list(dots["behind"]) == ["seeds 0, 1, 2", "seed 0"]
    assert list(dots["spread"]) == ["0.0100", "-"]
    assert list(dots["counts"]) == ["3", "1 of 3"]


@pytest.mark.parametrize(
    ("seeds", "text"),
    [
        ([2.0, 0.0, 10.0], "seeds 0, 2, 10"),
        ([4.0], "seed 4"),
        (list(range(9)), "seeds 0, 1, 2, 3, 4, 5 and 3 more"),
        ([1.0, 1.0], "runs id0, id1"),
        ([np.nan], "run id0"),
        ([], ""),
    ],
)
def test_runs_are_named_by_their_seeds_or_else_by_their_ids(seeds: list[float], text: str) -> None:
    runs = pd.DataFrame({"run_id": [f"id{number}" for number in range(len(seeds))], "seed": seeds})
    assert said(runs) == text


@pytest.mark.parametrize(
    ("values", "spans"),
    [([1e-3, 1e-1], True), ([1.0, 20.0], False), ([0.0, 1e3], False), ([5.0], False), ([np.nan, 1.0, 99.0], True)],
)
def test_decades(values: list[float], spans: bool) -> None:
    assert spans_decades(np.array(values)) is spans
