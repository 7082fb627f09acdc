"""Groups of runs side by side, against what a few lines of NumPy say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow.entities import Metric, Param, Run, RunData, RunInfo, RunTag
from scipy import stats

from qlab.errors import DataError
from qlab.reading.compare import differing, groups_of, metrics_of, same_task
from qlab.reading.compared_curves import curve_table, difference_table, difference_text, end_table, in_words
from qlab.tracking import frames, names, params

PARAMS: dict[str, Any] = {
    "task.type": "XXZ",
    "model.type": "MLP",
    "model.hidden": (2,),
    "training.epochs": 3,
    "corruption.type": "LabelFlip",
    "corruption.ratio": 0.25,
}


def run(
    name: str, seed: int, *, kind: str = names.TRIAL, status: str = "FINISHED", last: float = 0.5, **own: Any
) -> Run:
    """A run as a store gives it; params with two underscores for a dot."""
    settings = PARAMS | {"seed": seed} | {key.replace("__", "."): value for key, value in own.items()}
    texts = {key: params.write(value) for key, value in settings.items()}
    tags = {names.KIND: kind, names.TRIAL_KEY: name}
    return Run(
        RunInfo(name, "1", "me", status, 0, None, "active", run_name=name),
        RunData(
            [Metric("validation_accuracy", last, 0, 0)],
            [Param(key, text) for key, text in texts.items()],
            [RunTag(key, value) for key, value in tags.items()],
        ),
    )


def frame(*runs: Run) -> pd.DataFrame:
    return frames._frame([frames._row(own) for own in runs])


def pair(**own: Any) -> list[Run]:
    """Three seeds of one setting, and four of another, two of which the first has."""
    return [
        *(run(f"a{seed}", seed, last=0.5 + 0.1 * seed) for seed in (0, 1, 2)),
        *(run(f"b{seed}", seed, last=0.4 + 0.01 * seed**2, **own) for seed in (1, 2, 3, 4)),
    ]


def test_groups_come_in_the_order_of_selection_and_differ_in_no_seed() -> None:
    every = frame(*pair(model__hidden=(3,), training__epochs=9))
    first, second = groups_of(every, ["b2", "a0", "b1", "a1"])
    assert (first.letter, second.letter) == ("A", "B")
    assert first.units == {1: ("b1",), 2: ("b2",)}
    assert second.units == {0: ("a0",), 1: ("a1",)}
    table = differing([first, second])
    assert table.set_index("param").to_dict("index") == {
        "model.hidden": {"A": "[3]", "B": "[2]"},
        "training.epochs": {"A": "9", "B": "3"},
    }
    assert "hidden=[3]" in first.title
    assert same_task([first, second])
    whole = groups_of(every, ["b2", "a0"], "every seed")
    assert [len(group.runs) for group in whole] == [4, 3]


def test_single_runs_stand_for_themselves() -> None:
    first, second = groups_of(frame(*pair()), ["a0", "a2"], "runs")
    assert first.units == {0: ("a0",)}
    assert second.units == {0: ("a2",)}
    assert differing([first, second]).to_numpy().tolist() == [["seed", "0", "2"]]
    assert first.title.endswith("seed 0")


@pytest.mark.parametrize(
    ("chosen", "by", "message"),
    [
        ([], "groups", "No run of this experiment is selected"),
        (["gone"], "groups", "No run of this experiment is selected"),
        (["a0", "a1"], "groups", "2 selected runs of 1 group: 2 to 4"),
        (["a0"], "runs", "1 selected run: 2 to 4"),
        (["a0", "a1", "a2", "b1", "b2"], "runs", "5 selected runs: 2 to 4"),
    ],
)
def test_too_few_or_too_many_say_what_to_select(chosen: list[str], by: Any, message: str) -> None:
    with pytest.raises(DataError, match=message) as error:
        groups_of(frame(*pair(model__hidden=(3,))), chosen, by)
    assert "Select runs on the page Runs" in str(error.value)


def test_runs_that_do_not_count_are_counted_as_left_out() -> None:
    every = frame(*pair(model__hidden=(3,)), run("a9", 9, status="FAILED"), run("a8", 8, status="RUNNING"))
    first, _ = groups_of(every, ["a0", "a8", "a9", "b1"])
    assert first.counts == {"kept": 1, "runs": 3, "left_out": "failed, running"}
    assert list(first.units) == [0]


def test_kinds_and_tasks_tell_groups_apart() -> None:
    other = run("u0", 0, kind=names.UNLEARNING, unlearner__type="Scrub", task__type="Digits")
    groups = groups_of(frame(run("a0", 0), other), ["a0", "u0"])
    assert [group.kind for group in groups] == [names.TRIAL, names.UNLEARNING]
    assert "Scrub" in groups[1].title
    assert not same_task(groups)
    table = differing(groups).set_index("param")
    assert table.loc["unlearner.type"].tolist() == ["–", "Scrub"]
    assert table.loc["kind"].tolist() == ["trial", "unlearning"]
    assert metrics_of(groups) == ["validation_accuracy"]


SEEDS = {"a": (0, 1, 2), "b": (1, 2, 3, 4)}


def curves(rng: np.random.Generator) -> Mapping[tuple[str, str], list[tuple[int, float]]]:
    """Five steps of each run; one value is missing and one is none."""
    series = {
        (f"{name}{seed}", "loss"): [(step, float(rng.normal())) for step in range(5)]
        for name, seeds in SEEDS.items()
        for seed in seeds
    }
    series["a1", "loss"].pop(3)
    series["b2", "loss"][4] = (4, np.nan)
    return series


def test_curves_and_paired_differences_are_those_of_numpy() -> None:
    groups = groups_of(frame(*pair(model__hidden=(3,))), ["a0", "b1"], "every seed")
    series = curves(np.random.default_rng(0))
    array = {
        name: np.array(
            [[dict(series[f"{name}{seed}", "loss"]).get(step, np.nan) for step in range(5)] for seed in seeds]
        )
        for name, seeds in SEEDS.items()
    }
    means = curve_table(groups, ["loss"], series)
    for letter, name in (("A", "a"), ("B", "b")):
        own = means[means["letter"] == letter]
        assert own["mean"].to_numpy() == pytest.approx(np.nanmean(array[name], 0))
        assert own["deviation"].to_numpy() == pytest.approx(np.nanstd(array[name], 0, ddof=1))
        assert own["n"].tolist() == np.isfinite(array[name]).sum(0).tolist()

    found = difference_table(groups, groups[0], ["loss"], series)
    paired = array["b"][:2] - array["a"][1:]  # of the seeds 1 and 2
    assert found["n"].tolist() == [2, 2, 2, 1, 1]
    assert found["difference"].to_numpy() == pytest.approx(np.nanmean(paired, 0))
    for step in range(3):
        interval = stats.ttest_1samp(paired[:, step], 0.0).confidence_interval(0.95)
        assert found.loc[step, ["low", "high"]].tolist() == pytest.approx([interval.low, interval.high])
    assert found.loc[3:, ["low", "high"]].isna().all(axis=None)
    assert set(found["letter"] + found["against"]) == {"BA"}


def test_last_values_are_paired_by_seed() -> None:
    groups = groups_of(frame(*pair(model__hidden=(3,))), ["b1", "a0"], "every seed")
    ends = end_table(groups, groups[1], ["validation_accuracy"]).set_index("letter")
    assert ends.loc["A", "mean"] == pytest.approx(np.mean([0.41, 0.44, 0.49, 0.56]))
    assert ends.loc["A", "difference"] == pytest.approx(np.mean([0.41 - 0.6, 0.44 - 0.7]))
    assert ends.loc["A", "pairs"] == 2
    assert (ends.loc["B", "against"], ends.loc["B", "pairs"]) == ("", 0)
    words = in_words(ends.reset_index())
    assert list(words) == ["metric", "A", "B", "A − B"]
    assert words.loc[0, "B"] == "0.60 ± 0.10, n = 3"


def test_repeats_of_a_seed_are_one_unit() -> None:
    more = {"kind": names.UNLEARNING, "unlearner__type": "Scrub"}
    repeats = [run(f"u{place}", 0, last=last, repeat=place, **more) for place, last in enumerate((0.2, 0.4))]
    groups = groups_of(frame(run("a0", 0), *repeats), ["a0", "u0", "u1"])
    assert groups[1].units == {0: ("u0", "u1")}
    assert end_table(groups, groups[0], ["validation_accuracy"])["difference"].tolist()[1] == pytest.approx(-0.2)


def test_groups_without_a_seed_in_common_have_no_difference() -> None:
    every = frame(run("a0", 0), run("b1", 1, model__hidden=(3,)))
    groups = groups_of(every, ["a0", "b1"])
    assert difference_table(groups, groups[0], ["loss"], {("a0", "loss"): [(0, 1.0)]}).empty
    ends = end_table(groups, groups[0], ["validation_accuracy"])
    assert in_words(ends).loc[0, "B − A"] == "– (no seed in common)"


@pytest.mark.parametrize(
    ("difference", "low", "high", "text"),
    [
        (0.0312, 0.0116, 0.0508, "+0.031 [+0.012, +0.051], n = 5"),
        (-0.0312, -0.0412, -0.0212, "−0.031 [−0.041, −0.021], n = 5"),
        (0.25, np.nan, np.nan, "+0.250, n = 5"),
        (2e-5, 1e-5, 3e-5, "(+2.0 [+1.0, +3.0]) x 10^−5, n = 5"),
    ],
)
def test_a_difference_has_as_many_digits_as_its_interval_says(
    difference: float, low: float, high: float, text: str
) -> None:
    assert difference_text({"difference": difference, "low": low, "high": high, "pairs": 5}) == text
