"""Tables for people: numbers with deviation and count, and columns in words."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from qlab.views.readable import number, readable, spread_text
from qlab.views.words import heading

NAN = math.nan


@pytest.mark.parametrize(
    ("mean", "deviation", "n", "count", "text"),
    [
        (0.9562, 0.0312, 5, False, "0.956 ± 0.031, n = 5"),
        (0.9688, 0.0056, 5, False, "0.969 ± 0.006, n = 5"),
        (0.96881, 0.00028, 5, False, "0.9688 ± 0.0003, n = 5"),
        (0.9562, NAN, 1, False, "0.956, n = 1"),
        (-0.2513, 0.03, 4, False, "−0.251 ± 0.030, n = 4"),
        (197.0, 0.0, 5, True, "197 ± 0, n = 5"),
        (197.0, NAN, None, True, "197"),
        (3.8, 3.6, 5, True, "3.8 ± 3.6, n = 5"),
        (3.2e-7, 1e-8, 3, False, "(3.20 ± 0.10) × 10⁻⁷, n = 3"),
        (NAN, NAN, 0, False, "–"),
    ],
)
def test_a_mean_is_written_with_its_deviation_and_count(
    mean: float, deviation: float, n: int | None, count: bool, text: str
) -> None:
    found = spread_text(mean, deviation, n, count=count)
    assert found == text
    assert found.value == mean or (math.isnan(found.value) and math.isnan(mean))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3, "3"),
        (0.95, "0.95"),
        (0.123456, "0.1235"),
        (1234.6, "1235"),
        (1e-5, "1 × 10⁻⁵"),
        (-2.5e-9, "−2.5 × 10⁻⁹"),
        (math.inf, "infinite"),
        (None, "–"),
        (NAN, "–"),
        (0.0, "0"),
    ],
)
def test_a_number_by_itself_has_four_digits(value: float | None, text: str) -> None:
    assert number(value) == text


def test_a_summary_has_a_column_for_each_metric_and_words_at_its_head() -> None:
    table = pd.DataFrame(
        {
            "model": ["MLP", "MLP"],
            "ratio": [0.1, 0.25],
            "validation_accuracy_mean": [0.9562, NAN],
            "validation_accuracy_std": [0.0312, NAN],
            "relearn_steps_mean": [12.0, 3.0],
            "relearn_steps_std": [0.0, 0.0],
            "relearn_steps_n": [4, 5],
            "nothing_mean": [NAN, NAN],
            "nothing_std": [NAN, NAN],
            "kept": [5, 0],
            "trials": [5, 5],
            "left_out": ["", ""],
        }
    )
    found = readable(table)
    assert found.to_dict("list") == {
        "model": ["MLP", "MLP"],
        "corruption ratio": ["0.1", "0.25"],
        "validation accuracy (clean data)": ["0.956 ± 0.031, n = 5", "–"],
        "steps to relearn": ["12 ± 0, n = 4", "3 ± 0, n = 5"],
        "runs kept": ["5 of 5", "0 of 5"],
    }
    assert [cell.value for cell in found["corruption ratio"]] == [0.1, 0.25]


def test_metrics_in_rows_are_written_as_what_they_count() -> None:
    table = pd.DataFrame(
        {"metric": ["relearn_steps", "hessian_trace"], "mean": [2.0, 2.0], "std": [0.0, 0.5], "n": [3, 4]}
    ).assign(low=[2.0, 1.5], high=[2.0, 2.5], kept=4, runs=4, left_out=["", "failed"])
    found = readable(table)
    assert list(found["mean"]) == ["2 ± 0, n = 3", "2.00 ± 0.50, n = 4"]
    assert list(found["left out"]) == ["", "failed"]
    assert "n" not in found


def test_two_columns_of_the_same_words_stay_two() -> None:
    found = readable(pd.DataFrame({"training.depth": [1, 2], "model.other.depth": [3, 4]}))
    assert list(found.columns) == ["depth", "depth (model.other.depth)"]


def test_units_stand_in_heads() -> None:
    assert heading("unlearning_seconds") == "time (s)"
    assert heading("training.epochs") == "epochs"
    assert heading("model.depth") == "depth (layers)"
