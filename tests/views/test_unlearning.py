"""From unlearning runs to a table, and to curves over steps."""

from __future__ import annotations

import math
import statistics
from pathlib import Path
from typing import Any

import holoviews as hv
import pandas as pd
import pytest
from support.pages import Page

from qlab.views.saving import save_html, save_png
from qlab.views.unlearning import (
    FINAL,
    MOST_ROWS,
    accuracy_against_step,
    curves_of,
    figures_over_steps,
    history_of,
    label_runs,
    summarize_unlearning,
    trade_off,
)

PNG = b"\x89PNG\r\n\x1a\n"


def run(**changed: Any) -> dict[str, Any]:
    row = {
        "task.type": "XXZ",
        "task.length": "4",
        "corruption.type": "LabelFlip",
        "corruption.ratio": 0.3,
        "model.type": "MLP",
        "model.hidden": "[4]",
        "training.epochs": "2",
        "unlearner.type": "Scrub",
        "unlearner.steps": "3",
        "unlearner.lambda_fo": "0.2",
        "oracles": "3",
        "seed": 0,
        "status": "FINISHED",
        "health": "healthy",
        "validation_accuracy": 0.9,
        "oracle_accuracy": 1.0,
        "oracle_gap": -0.1,
        "steps_to_oracle": 2.0,
        "relearn_steps": 5.0,
    }
    return row | {key.replace("__", "."): value for key, value in changed.items()}


def rows(*runs: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = summarize_unlearning(pd.DataFrame(runs)).to_dict("records")
    return found


def methods(*runs: dict[str, Any]) -> list[str]:
    return list(label_runs(pd.DataFrame(runs))["method"])


def test_mean_deviation_and_number_over_seeds() -> None:
    values = (0.5, 0.6, 1.0)
    (row,) = rows(*(run(seed=seed, validation_accuracy=value) for seed, value in enumerate(values)))
    assert row["validation_accuracy_mean"] == pytest.approx(0.7)
    # Squared distances 0.04, 0.01 and 0.09 over n - 1 = 2.
    assert row["validation_accuracy_std"] == pytest.approx(math.sqrt(0.14 / 2))
    assert row["validation_accuracy_n"] == 3
    assert (row["kept"], row["runs"], row["left_out"]) == (3, 3, "")
    assert (row["model"], row["corruption"], row["ratio"], row["method"]) == ("MLP", "LabelFlip", 0.3, "Scrub")


def test_one_run_has_no_deviation() -> None:
    (row,) = rows(run())
    assert row["validation_accuracy_mean"] == 0.9
    assert math.isnan(row["validation_accuracy_std"])


def test_all_final_metrics_are_columns_although_no_run_has_them() -> None:
    (row,) = rows(run())
    for metric in FINAL:
        assert {f"{metric}_mean", f"{metric}_std", f"{metric}_n"} <= row.keys()
    assert math.isnan(row["oracle_kl_mean"])
    assert row["oracle_kl_n"] == 0


def test_only_runs_that_got_there_count_for_the_steps() -> None:
    (row,) = rows(
        run(seed=0, steps_to_oracle=4.0, relearn_steps=1.0),
        run(seed=1, steps_to_oracle=None, relearn_steps=3.0),
        run(seed=2, steps_to_oracle=10.0, relearn_steps=None),
    )
    assert (row["steps_to_oracle_mean"], row["steps_to_oracle_n"]) == (7.0, 2)
    assert (row["relearn_steps_mean"], row["relearn_steps_n"]) == (2.0, 2)
    assert row["kept"] == 3


def test_metrics_that_the_store_hands_over_as_text_are_numbers() -> None:
    (row,) = rows(run(validation_accuracy="0.25", corruption__ratio="0.3"))
    assert row["validation_accuracy_mean"] == 0.25
    assert row["ratio"] == 0.3


LEFT_OUT = {
    "failed": {"status": "FAILED", "health": "diverged", "validation_accuracy": 0.1},
    "killed": {"status": "KILLED", "health": None, "validation_accuracy": 0.1},
    "running": {"status": "RUNNING", "health": None, "validation_accuracy": None},
    "diverged": {"status": "FINISHED", "health": "diverged", "validation_accuracy": 0.0},
}


@pytest.mark.parametrize(("reason", "changed"), LEFT_OUT.items(), ids=LEFT_OUT.keys())
def test_a_run_that_is_left_out_does_not_count_but_shows(reason: str, changed: dict[str, Any]) -> None:
    (row,) = rows(run(seed=0), run(seed=1, **changed))
    assert row["validation_accuracy_mean"] == 0.9
    assert (row["kept"], row["runs"], row["left_out"]) == (1, 2, reason)


def test_reasons_are_named_once() -> None:
    (row,) = rows(run(), *(run(**LEFT_OUT[reason]) for reason in ("killed", "failed", "killed")))
    assert (row["kept"], row["runs"], row["left_out"]) == (1, 4, "failed, killed")


def test_where_nothing_is_kept_there_is_a_row_without_numbers() -> None:
    (row,) = rows(run(**LEFT_OUT["failed"]))
    assert (row["kept"], row["runs"]) == (0, 1)
    assert math.isnan(row["validation_accuracy_mean"])


def test_a_row_for_each_model_corruption_ratio_and_method_in_the_order_of_the_runs() -> None:
    expected = [
        (model, corruption, ratio, method)
        for model in ("PennyLaneQNN", "MLP")
        for corruption in ("LabelFlip", "FeatureRandomization")
        for ratio in (0.5, 0.3)
        for method in ("Scrub", "Finetune")
    ]
    found = rows(
        *(
            run(
                model__type=model,
                corruption__type=corruption,
                corruption__ratio=ratio,
                unlearner__type=method,
                seed=seed,
            )
            for model, corruption, ratio, method in expected
            for seed in (0, 1)
        )
    )
    assert [(row["model"], row["corruption"], row["ratio"], row["method"]) for row in found] == expected
    assert {row["kept"] for row in found} == {2}


def test_a_method_is_named_by_its_type_where_that_is_enough() -> None:
    other = run(unlearner__type="GradientAscent", unlearner__lambda_fo=None, unlearner__beta="0.2")
    assert methods(run(), run(seed=1), run(corruption__ratio=0.5), other) == ["Scrub"] * 3 + ["GradientAscent"]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"unlearner__lambda_fo": "0.5"}, ["Scrub lambda_fo=0.2", "Scrub lambda_fo=0.5"]),
        ({"unlearner__steps": "9"}, ["Scrub steps=3", "Scrub steps=9"]),
        (
            {"unlearner__steps": "9", "unlearner__lambda_fo": "0.5"},
            ["Scrub steps=3 lambda_fo=0.2", "Scrub steps=9 lambda_fo=0.5"],
        ),
    ],
    ids=["a weight", "steps", "both"],
)
def test_settings_in_which_runs_of_a_method_differ_are_in_its_name(
    changed: dict[str, Any], expected: list[str]
) -> None:
    finetune = run(unlearner__type="Finetune", unlearner__lambda_fo=None)
    assert methods(run(), run(**changed), finetune) == [*expected, "Finetune"]


def test_other_settings_of_a_method_make_rows_of_their_own() -> None:
    found = rows(*(run(unlearner__lambda_fo=weight, seed=seed) for weight in ("0.2", "0.5") for seed in (0, 1)))
    assert [(row["method"], row["kept"]) for row in found] == [("Scrub lambda_fo=0.2", 2), ("Scrub lambda_fo=0.5", 2)]


def test_settings_of_a_model_are_in_the_models_name_and_not_in_the_methods() -> None:
    labels = label_runs(pd.DataFrame([run(), run(model__hidden="[8]")], index=[7, 3]))
    assert list(labels["model"]) == ["MLP hidden=[4]", "MLP hidden=[8]"]
    assert list(labels["method"]) == ["Scrub", "Scrub"]
    assert list(labels.index) == [7, 3]


def history(**values: list[list[float]]) -> pd.DataFrame:
    """For each metric the curve of every run."""
    return pd.DataFrame(
        [
            {
                "model": "MLP",
                "corruption": "LabelFlip",
                "ratio": 0.3,
                "method": "Scrub",
                "metric": metric,
                "step": step,
                "value": value,
            }
            for metric, runs in values.items()
            for curve in runs
            for step, value in enumerate(curve)
        ]
    )


def test_curves_are_means_and_deviations_over_runs() -> None:
    runs = [[0.5, 0.75, 1.0], [0.7, 0.75, 0.5], [0.9, 0.0, 0.0]]
    found = curves_of(history(validation_accuracy=runs, forget_accuracy_polluted=[[1.0, 0.5, 0.25]] * 3))
    assert len(found) == 6
    curve = found[found["metric"] == "validation_accuracy"].set_index("step")
    for step in range(3):
        values = [values[step] for values in runs]
        assert curve.loc[step, "mean"] == pytest.approx(statistics.fmean(values))
        assert curve.loc[step, "deviation"] == pytest.approx(statistics.stdev(values))
        assert curve.loc[step, "kept"] == 3
    other = found[found["metric"] == "forget_accuracy_polluted"]
    assert list(other["mean"]) == [1.0, 0.5, 0.25]
    assert list(other["deviation"]) == [0.0, 0.0, 0.0]


def test_one_run_has_a_curve_without_deviation() -> None:
    found = curves_of(history(validation_accuracy=[[0.5, 0.75]]))
    assert list(found["mean"]) == [0.5, 0.75]
    assert list(found["deviation"].isna()) == [True, True]


def test_curves_of_other_models_ratios_and_methods_are_apart() -> None:
    one = history(validation_accuracy=[[0.5, 0.75]])
    parts = [one.assign(**{column: value}) for column, value in (("model", "a"), ("ratio", 0.5), ("method", "b"))]
    found = curves_of(pd.concat([one, *parts], ignore_index=True))
    assert len(found) == 8
    assert set(found["kept"]) == {1}


def figure(labels: tuple[str, ...] = ("Scrub", "Finetune"), models: tuple[str, ...] = ("MLP",)) -> hv.Layout:
    both = history(validation_accuracy=[[0.5, 0.75], [0.6, 0.9]], forget_accuracy_polluted=[[1.0, 0.5], [0.9, 0.2]])
    frame = [
        run(model__type=model, unlearner__type=label, seed=seed)
        for model in models
        for label in labels
        for seed in (0, 1)
    ]
    frame.append(run(model__type=models[0], unlearner__type=labels[0], seed=2, status="FAILED"))
    lines = [both.assign(model=model, method=label) for model in models for label in labels]
    return accuracy_against_step(
        curves_of(pd.concat(lines, ignore_index=True)), summarize_unlearning(pd.DataFrame(frame))
    )


def test_a_figure_has_two_panels_for_each_model() -> None:
    assert len(figure()) == 2
    assert len(figure(models=("MLP", "PennyLaneQNN"))) == 4


def test_many_rows_of_panels_are_drawn_in_several_figures_and_none_twice() -> None:
    models = tuple(f"M{number}" for number in range(MOST_ROWS + 2))
    table = summarize_unlearning(pd.DataFrame([run(model__type=model) for model in models]))
    pages = figures_over_steps(table)
    assert list(pages) == ["unlearning", "unlearning_2"]
    curves = pd.concat([curves_of(history(validation_accuracy=[[0.5]])).assign(model=model) for model in models])
    drawn = [accuracy_against_step(curves, table, metrics=[FINAL[0]], rows=rows) for rows in pages.values()]
    titles = [panel.opts.get("plot", backend="bokeh").kwargs["title"] for figure in drawn for panel in figure]
    assert titles == [f"{model}, LabelFlip 0.3" for model in models]


def test_the_legend_says_how_many_runs_are_shown() -> None:
    for panel in figure():
        labels = [curve.label for curve in panel.traverse(lambda curve: curve, [hv.Curve])]
        assert labels == ["Scrub (2 of 3 runs; left out: failed)", "Finetune (2 of 2 runs)"]


def test_lines_are_drawn_in_the_order_of_the_steps() -> None:
    curves = curves_of(history(validation_accuracy=[[0.1, 0.2, 0.3]])).iloc[::-1]
    drawn = accuracy_against_step(curves, summarize_unlearning(pd.DataFrame([run()])), metrics=["validation_accuracy"])
    [line] = drawn.traverse(lambda curve: curve, [hv.Curve])
    assert list(line.dframe()["mean"]) == [0.1, 0.2, 0.3]


def test_published_curves_are_shown_where_corruption_and_ratio_are_theirs() -> None:
    one = history(validation_accuracy=[[0.5, 0.75]])
    curves = curves_of(pd.concat([one, one.assign(ratio=0.5), one.assign(corruption="X")], ignore_index=True))
    table = summarize_unlearning(
        pd.DataFrame([run(), run(corruption__ratio=0.5), run(corruption__type="X", corruption__ratio=0.3)])
    )
    published = curves_of(one).drop(columns=["deviation", "kept"]).assign(mean=[0.1, 0.2])
    drawn = accuracy_against_step(curves, table, published, metrics=["validation_accuracy"])
    lines = [[list(line.dframe()["mean"]) for line in panel.traverse(lambda line: line, [hv.Curve])] for panel in drawn]
    assert lines == [[[0.5, 0.75], [0.1, 0.2]], [[0.5, 0.75]], [[0.5, 0.75]]]


def test_runs_that_diverged_or_failed_are_in_no_figure() -> None:
    kept, diverged, failed = run(seed=0), run(seed=1, health="diverged"), run(seed=2, status="FAILED")
    frame = pd.DataFrame([kept, diverged, failed]).assign(
        run_id=["a", "b", "c"], forget_accuracy_polluted=[0.2, 0.3, 0.4]
    )
    found = history_of(frame, lambda run_id, metric: [(0, 0.5)])
    assert len(found) == 2  # two metrics of one run
    points = trade_off(frame).traverse(lambda points: points, [hv.Points])
    assert [list(part.dframe()["seed"]) for part in points] == [[0]]
    (row,) = summarize_unlearning(frame).to_dict("records")
    assert (row["kept"], row["runs"]) == (1, 3)


def test_the_accuracy_of_the_oracles_is_a_line_on_the_validation_panel_alone() -> None:
    lines = [[line.data for line in panel.traverse(lambda line: line, [hv.HLine])] for panel in figure()]
    assert lines == [[1.0], []]


SAVED = {
    "two methods": ("Scrub", "Finetune"),
    "one method": ("Scrub",),
    "a sweep": tuple(f"Scrub lambda_fo={number}" for number in range(6)),
    "names that mean something to a formula": ("$x", "a_b^c {x} %s"),
}


@pytest.mark.parametrize("labels", SAVED.values(), ids=SAVED.keys())
def test_a_figure_is_saved_as_png_and_as_a_page_of_its_own(labels: tuple[str, ...], tmp_path: Path) -> None:
    drawn = figure(labels)
    assert save_png(drawn, tmp_path / "a.png", dpi=40).read_bytes().startswith(PNG)
    page = Page(save_html(drawn, tmp_path / "a.html", "a title").read_text(encoding="utf-8"))
    assert "script" in page.tags
    assert page.outside == []


def test_a_model_without_a_finished_oracle_can_be_drawn(tmp_path: Path) -> None:
    table = summarize_unlearning(pd.DataFrame([run(oracle_accuracy=None)]))
    drawn = accuracy_against_step(curves_of(history(validation_accuracy=[[0.5, 0.75]])), table)
    assert save_png(drawn, tmp_path / "a.png", dpi=40).read_bytes().startswith(PNG)


def test_a_name_is_text_in_a_page_and_not_markup(hostile: str, tmp_path: Path) -> None:
    text = save_html(figure((hostile,), (hostile,)), tmp_path / "a.html", hostile).read_text(encoding="utf-8")
    page = Page(text)
    assert "img" not in page.tags
    assert page.handlers == []
    assert "onerror=alert(1)" in text
