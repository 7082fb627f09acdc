"""From runs of probes to a table, and to figures over the corruption ratio."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import holoviews as hv
import pandas as pd
import pytest
from support.pages import Page

from qlab.experiment.recording.probe_files import write_probes
from qlab.statistics import bootstrap_interval
from qlab.views.curvature import roughening_against_ratio, summarize_probes, traces_against_ratio
from qlab.views.saving import save_html, save_png

PNG = b"\x89PNG\r\n\x1a\n"

METRICS = ("lrr", "hessian_trace", "hessian_trace_clean", "hessian_trace_a", "hessian_trace_b", "barrier")

COLUMNS = ["mean", "std", "low", "high", "n", "kept", "runs", "left_out"]


def run(**changed: Any) -> dict[str, Any]:
    row = {
        "task.type": "XXZ",
        "corruption.type": "LabelFlip",
        "corruption.ratio": 0.3,
        "model.type": "MLP",
        "model.hidden": "[4]",
        "training.epochs": "2",
        "probe.type": "RougheningProbe",
        "probe.label": None,
        "probe.n_samples": "0",
        "probe.keep_collapsed": True,
        "seed": 0,
        "status": "FINISHED",
        "health": "healthy",
        **dict.fromkeys(METRICS),
    }
    return row | {key.replace("__", "."): value for key, value in changed.items()}


def pair(lrr: float | None, trace: float = 2.0, clean: float = 1.0, **changed: Any) -> dict[str, Any]:
    """A run of the roughening ratio."""
    return run(lrr=lrr, hessian_trace=trace, hessian_trace_clean=clean, **changed)


def hessian(trace: float | None, a: float | None = None, b: float | None = None, **changed: Any) -> dict[str, Any]:
    """A run of the Hessian."""
    own = {"probe__type": "HessianProbe", "probe__keep_collapsed": None}
    return run(**{**own, "hessian_trace": trace, "hessian_trace_a": a, "hessian_trace_b": b, **changed})


def table(*runs: dict[str, Any]) -> pd.DataFrame:
    return summarize_probes(pd.DataFrame(runs), METRICS)


def rows(*runs: dict[str, Any], metric: str = "lrr") -> list[dict[str, Any]]:
    found = table(*runs)
    return found[found["metric"] == metric].to_dict("records")


# The table


def test_mean_deviation_interval_and_number_over_seeds() -> None:
    values = (1.0, 2.0, 6.0)
    (row,) = rows(*(pair(value, seed=seed) for seed, value in enumerate(values)))
    assert row["mean"] == pytest.approx(3.0)
    # Squared distances 4, 1 and 9 over n - 1 = 2.
    assert row["std"] == pytest.approx(math.sqrt(14.0 / 2))
    assert (row["low"], row["high"]) == bootstrap_interval(values)
    assert 1.0 <= row["low"] < 3.0 < row["high"] <= 6.0
    assert (row["n"], row["kept"], row["runs"], row["left_out"]) == (3, 3, 3, "")
    assert (row["model"], row["corruption"], row["ratio"]) == ("MLP", "LabelFlip", 0.3)
    assert (row["probe"], row["probe_type"]) == ("RougheningProbe", "RougheningProbe")


def test_one_run_has_neither_deviation_nor_interval() -> None:
    (row,) = rows(pair(2.0))
    assert row["mean"] == 2.0
    assert all(math.isnan(row[column]) for column in ("std", "low", "high"))
    assert (row["n"], row["kept"], row["runs"]) == (1, 1, 1)


def test_every_metric_that_the_probe_has_is_a_row_and_no_other() -> None:
    found = table(pair(2.0), pair(3.0, seed=1), hessian(1.0, 0.75, 0.25))
    assert list(zip(found["probe_type"], found["metric"], strict=True)) == [
        ("RougheningProbe", "lrr"),
        ("RougheningProbe", "hessian_trace"),
        ("RougheningProbe", "hessian_trace_clean"),
        ("HessianProbe", "hessian_trace"),
        ("HessianProbe", "hessian_trace_a"),
        ("HessianProbe", "hessian_trace_b"),
    ]


def test_without_runs_there_is_a_table_without_rows() -> None:
    found = summarize_probes(pd.DataFrame(), ())
    assert list(found.columns) == ["model", "corruption", "ratio", "probe", "probe_type", "metric", *COLUMNS]
    assert found.empty


def test_metrics_that_the_store_hands_over_as_text_are_numbers() -> None:
    (row,) = rows(pair(1.0) | {"lrr": "0.25", "corruption.ratio": "0.3"})
    assert (row["mean"], row["ratio"]) == (0.25, 0.3)


LEFT_OUT = {
    "failed": {"status": "FAILED", "health": "healthy", "lrr": None},
    "killed": {"status": "KILLED", "health": None, "lrr": None},
    "running": {"status": "RUNNING", "health": None, "lrr": None},
    "diverged": {"status": "FINISHED", "health": "diverged", "lrr": 1e9},
}


@pytest.mark.parametrize(("reason", "changed"), LEFT_OUT.items(), ids=LEFT_OUT.keys())
def test_a_run_that_is_left_out_does_not_count_but_shows(reason: str, changed: dict[str, Any]) -> None:
    (row,) = rows(pair(2.0), pair(4.0, seed=1), pair(None, seed=2) | changed)
    assert (row["mean"], row["n"]) == (3.0, 2)
    assert (row["kept"], row["runs"], row["left_out"]) == (2, 3, reason)


def test_reasons_are_named_once_and_in_order() -> None:
    (row,) = rows(pair(2.0), *(pair(None) | LEFT_OUT[reason] for reason in ("killed", "failed", "killed")))
    assert (row["kept"], row["runs"], row["left_out"]) == (1, 4, "failed, killed")


@pytest.mark.parametrize("health", ["healthy", "unconverged", "collapsed"])
def test_other_health_is_kept(health: str) -> None:
    (row,) = rows(pair(2.0, health=health), hessian(1.0, health=health))
    assert (row["kept"], row["runs"], row["left_out"]) == (1, 1, "")


def test_collapsed_pairs_are_left_out_only_where_the_probe_says_so() -> None:
    runs = [
        pair(value, seed=seed, health=health, probe__keep_collapsed=keep)
        for keep in (True, False)
        for seed, (value, health) in enumerate([(2.0, "healthy"), (0.5, "collapsed"), (4.0, "unconverged")])
    ]
    kept, strict = rows(*runs)
    assert kept["probe"] != strict["probe"]
    assert "keep_collapsed=true" in kept["probe"]
    assert (kept["mean"], kept["kept"], kept["runs"], kept["left_out"]) == (pytest.approx(6.5 / 3), 3, 3, "")
    assert (strict["mean"], strict["kept"], strict["runs"], strict["left_out"]) == (3.0, 2, 3, "collapsed")


def test_other_probes_keep_collapsed_models_whatever_the_roughening_ratio_says() -> None:
    (row,) = rows(
        pair(2.0, probe__keep_collapsed=False, health="collapsed"),
        hessian(0.25, 0.25, 0.0, health="collapsed"),
        metric="hessian_trace_a",
    )
    assert (row["mean"], row["kept"], row["runs"]) == (0.25, 1, 1)


def test_where_nothing_is_kept_there_is_a_row_without_numbers() -> None:
    (row,) = rows(pair(2.0, health="diverged"), pair(3.0, seed=1, health="diverged"))
    assert (row["n"], row["kept"], row["runs"], row["left_out"]) == (0, 0, 2, "diverged")
    assert all(math.isnan(row[column]) for column in ("mean", "std", "low", "high"))


NO_NUMBER = {
    "failed": pair(None) | {**LEFT_OUT["failed"], "hessian_trace": None, "hessian_trace_clean": None},
    "not a number": pair(math.nan, math.nan, math.nan, health="diverged"),
}


@pytest.mark.parametrize("nothing", NO_NUMBER.values(), ids=NO_NUMBER.keys())
def test_a_group_none_of_whose_runs_has_a_number_is_not_left_out_in_silence(nothing: dict[str, Any]) -> None:
    """Beside another model that has: its rows say 0 of 2 kept, and why."""
    found = table(
        pair(2.0), nothing | {"model.type": "PennyLaneQNN"}, nothing | {"model.type": "PennyLaneQNN", "seed": 1}
    )
    mine = found[found["model"] == "PennyLaneQNN"]
    assert len(mine) > 0
    assert {(row["kept"], row["runs"]) for row in mine.to_dict("records")} == {(0, 2)}
    assert mine["mean"].isna().all()
    assert mine["left_out"].all()


def test_a_pair_without_a_ratio_counts_in_the_traces_and_shows_in_the_ratio() -> None:
    """Its clean trace is zero."""
    found = table(pair(2.0), pair(4.0, seed=1), pair(None, 2.0, 0.0, seed=2)).set_index("metric")
    assert (found.loc["lrr", "mean"], found.loc["lrr", "n"]) == (3.0, 2)
    assert (found.loc["hessian_trace_clean", "mean"], found.loc["hessian_trace_clean", "n"]) == (
        pytest.approx(2 / 3),
        3,
    )
    assert found.loc["hessian_trace", "kept"] == 3


@pytest.mark.parametrize(
    ("traces", "reason"),
    [
        ((2.0, 1e-16), "no lrr: the clean trace is of the order of rounding"),
        ((-1e-17, 0.5), "no lrr: the polluted trace is of the order of rounding"),
    ],
)
def test_ratios_of_rounding_that_a_store_holds_are_left_out_by_name(
    traces: tuple[float, float], reason: str, tmp_path: Path
) -> None:
    noise = pair(traces[0] / traces[1], *traces, seed=2)
    (row,) = rows(pair(2.0), pair(4.0, seed=1), noise)
    assert (row["mean"], row["n"], row["runs"], row["left_out"]) == (3.0, 2, 3, reason)
    (alone,) = rows(noise)
    assert (alone["n"], alone["left_out"]) == (0, reason)
    figure = roughening_against_ratio(table(noise))
    assert list(curves(figure)) == [f"MLP (0 of 1 kept; left out: {reason})"]
    drawn(figure, tmp_path)


def test_metrics_that_are_no_numbers_are_rows_with_the_reason() -> None:
    broken = pair(None) | {"barrier": math.nan, "qlab.not_finite": ("barrier",), "hessian_trace": math.inf}
    found = table(broken, broken | {"seed": 1}).set_index("metric")
    assert (found.loc["barrier", "n"], found.loc["barrier", "left_out"]) == (0, "barrier not a number")
    assert (found.loc["hessian_trace", "n"], found.loc["hessian_trace", "left_out"]) == (0, "hessian_trace infinite")


def test_a_row_for_each_model_corruption_ratio_and_probe_in_the_order_of_the_runs() -> None:
    expected = [
        (model, corruption, ratio, probe)
        for model in ("PennyLaneQNN", "MLP")
        for corruption in ("LabelFlip", "FeatureRandomization")
        for ratio in (0.5, 0.3)
        for probe in ("RougheningProbe", "HessianProbe")
    ]
    found = rows(
        *(
            run(
                model__type=model,
                corruption__type=corruption,
                corruption__ratio=ratio,
                probe__type=probe,
                hessian_trace=1.0,
                seed=seed,
            )
            for model, corruption, ratio, probe in expected
            for seed in (0, 1)
        ),
        metric="hessian_trace",
    )
    assert [(row["model"], row["corruption"], row["ratio"], row["probe"]) for row in found] == expected
    assert {row["runs"] for row in found} == {2}


def test_probes_of_one_type_are_told_apart_by_label_and_by_settings() -> None:
    lines = [
        run(probe__type="InterpolationProbe", probe__label=label, probe__n_samples=number, barrier=1.0)
        for label in ("trained to clean", "trained to oracle")
        for number in ("0", "10")
    ]
    names = [row["probe"] for row in rows(*lines, hessian(1.0), metric="barrier")]
    assert len(set(names)) == 4
    for name, label in zip(names, ("clean", "clean", "oracle", "oracle"), strict=True):
        assert f"trained to {label}" in name
        assert "n_samples=" in name


def test_settings_of_a_model_are_in_the_models_name_and_not_in_the_probes() -> None:
    found = rows(pair(2.0), pair(3.0, model__hidden="[8]"))
    assert [row["model"] for row in found] == ["MLP hidden=[4]", "MLP hidden=[8]"]
    assert {row["probe"] for row in found} == {"RougheningProbe"}


# Figures


def seeds(ratio: float, *values: float | None, **changed: Any) -> list[dict[str, Any]]:
    return [
        pair(value, trace=2.0 if value is None else value, corruption__ratio=ratio, seed=seed, **changed)
        for seed, value in enumerate(values)
    ]


def curves(figure: hv.Layout, panel: int = 0) -> dict[str, pd.DataFrame]:
    """The lines of a panel by label."""
    found = list(figure)[panel].traverse(lambda curve: curve, [hv.Curve])
    return {curve.label: curve.dframe() for curve in found}


def panels(figure: hv.Layout) -> list[Any]:
    return list(figure)


def option(panel: Any, name: str) -> Any:
    return hv.Store.lookup_options("bokeh", panel, "plot").kwargs.get(name)


def test_the_ratio_is_beside_the_absolute_traces() -> None:
    figure = roughening_against_ratio(table(*seeds(0.2, 2.0, 4.0), *seeds(0.4, 8.0, 6.0)))
    assert len(figure) == 2
    (ratio,) = curves(figure).values()
    assert list(ratio["mean"]) == [3.0, 7.0]
    polluted, clean = curves(figure, 1).items()
    assert "polluted" in polluted[0]
    assert "clean" in clean[0]
    assert list(polluted[1]["mean"]) == [3.0, 7.0]
    assert list(clean[1]["mean"]) == [1.0, 1.0]


def test_no_roughening_is_a_line_at_one() -> None:
    figure = roughening_against_ratio(table(*seeds(0.2, 2.0, 4.0)))
    lines = [[line.data for line in panel.traverse(lambda line: line, [hv.HLine])] for panel in panels(figure)]
    assert lines == [[1.0], []]


def test_the_legend_says_how_many_pairs_are_kept_of_how_many() -> None:
    runs = [*seeds(0.2, 2.0, 4.0, 6.0), *seeds(0.4, 2.0, 4.0), pair(None, status="FAILED", corruption__ratio=0.4)]
    figure = roughening_against_ratio(table(*runs))
    assert list(curves(figure)) == ["MLP (5 of 6 kept; left out: failed)"]
    assert all("(5 of 6 kept; left out: failed)" in label for label in curves(figure, 1))


def test_the_legend_counts_pairs_that_have_a_ratio() -> None:
    """Of three pairs one has no clean trace to divide by: the mean is over two."""
    figure = roughening_against_ratio(table(*seeds(0.2, 2.0, 4.0, None)))
    (label,) = curves(figure)
    assert "2 of 3" in label


def test_lines_are_drawn_in_the_order_of_the_ratio() -> None:
    runs = [*seeds(0.4, 8.0), *seeds(0.2, 2.0), *seeds(0.3, 4.0)]
    (line,) = curves(roughening_against_ratio(table(*runs))).values()
    assert list(line["mean"]) == [2.0, 4.0, 8.0]


def test_intervals_are_those_of_the_table() -> None:
    found = table(*seeds(0.2, 2.0, 4.0, 9.0), *seeds(0.4, 8.0, 16.0, 4.0))
    lrr = found[found["metric"] == "lrr"]
    (bars, *_) = panels(roughening_against_ratio(found))[0].traverse(lambda bars: bars, [hv.ErrorBars])
    frame = bars.dframe()
    assert list(frame["mean"] - frame["below"]) == pytest.approx(list(lrr["low"]))
    assert list(frame["mean"] + frame["above"]) == pytest.approx(list(lrr["high"]))


def test_models_corruptions_and_probes_are_lines_of_their_own() -> None:
    runs = [
        pair(2.0, model__type=model, corruption__type=corruption, probe__keep_collapsed=keep, seed=seed)
        for model in ("MLP", "PennyLaneQNN")
        for corruption in ("LabelFlip", "FeatureRandomization")
        for keep in (True, False)
        for seed in (0, 1)
    ]
    figure = roughening_against_ratio(table(*runs))
    assert (len(curves(figure)), len(curves(figure, 1))) == (8, 16)


@pytest.mark.parametrize(("values", "logarithmic"), [((2.0, 200.0), True), ((2.0, -200.0), False)], ids=str)
def test_axes_are_logarithmic_if_all_values_are_positive(values: tuple[float, float], logarithmic: bool) -> None:
    figure = roughening_against_ratio(table(*seeds(0.2, values[0], values[0]), *seeds(0.4, values[1], values[1])))
    assert bool(option(panels(figure)[0], "logy")) is logarithmic


def test_the_hessian_has_a_panel_for_the_trace_and_for_each_term() -> None:
    runs = [
        hessian(total, a, b, corruption__ratio=ratio, seed=seed)
        for ratio, (total, a, b) in ((0.0, (1.0, 0.75, 0.25)), (0.4, (3.0, 4.0, -1.0)))
        for seed in (0, 1)
    ]
    figure = traces_against_ratio(table(*runs))
    assert len(figure) == 3
    for panel, values in enumerate([[1.0, 3.0], [0.75, 4.0], [0.25, -1.0]]):
        (line,) = curves(figure, panel).values()
        assert list(line["mean"]) == values
    assert list(curves(figure)) == ["MLP (4 of 4 kept)"]
    assert not option(panels(figure)[2], "logy")


def drawn(figure: hv.Layout, folder: Path) -> None:
    """Draws a figure both ways."""
    assert save_png(figure, folder / "a.png", dpi=40).read_bytes().startswith(PNG)
    hv.render(figure, backend="bokeh")


ROUGHENING = {
    "one seed": seeds(0.2, 2.0),
    "negative ratios": [*seeds(0.2, -2.0, 4.0), *seeds(0.4, -8.0, 6.0)],
    "a positive mean with an interval below zero": [*seeds(0.2, -5.0, 1.0, 9.0), *seeds(0.4, 1e-9, 1e7)],
    "a model of which nothing is kept": [
        *seeds(0.2, 2.0, 4.0),
        *seeds(0.2, 8.0, 6.0, health="diverged", model__type="PennyLaneQNN"),
    ],
    "nothing kept at all": seeds(0.2, 8.0, 6.0, health="diverged"),
    "a ratio that is not a number": [*seeds(0.2, 2.0, 4.0), *seeds(0.4, math.nan, math.nan)],
}


@pytest.mark.parametrize("runs", ROUGHENING.values(), ids=ROUGHENING.keys())
def test_the_roughening_ratio_is_drawn_whatever_the_values(
    runs: list[dict[str, Any]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    drawn(roughening_against_ratio(table(*runs)), tmp_path)
    assert caplog.messages == []


HESSIANS = {
    "nothing kept at all": [hessian(1.0, 0.5, 0.5, status="FAILED")],
    "not a number": [hessian(math.nan, math.nan, math.nan)],
}


@pytest.mark.parametrize("runs", HESSIANS.values(), ids=HESSIANS.keys())
def test_traces_are_drawn_whatever_the_values(
    runs: list[dict[str, Any]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    drawn(traces_against_ratio(table(*runs)), tmp_path)
    assert caplog.messages == []


def test_names_that_mean_something_elsewhere_are_drawn(tmp_path: Path) -> None:
    names = ("$x", "a_b^c {x} %s", "[red]x[/red]")
    figure = roughening_against_ratio(table(*(pair(2.0, model__type=name) for name in names)))
    assert list(curves(figure)) == [f"{name} (1 of 1 kept)" for name in names]
    drawn(figure, tmp_path)


def test_a_name_is_text_in_a_page_and_not_markup(hostile: str, tmp_path: Path) -> None:
    runs = [
        make(2.0, model__type=hostile, corruption__type=kind, probe__label="<b>bold</b>")
        for make in (pair, hessian)
        for kind in (hostile, "LabelFlip")
    ]
    for draw in (roughening_against_ratio, traces_against_ratio):
        text = save_html(draw(table(*runs)), tmp_path / "a.html", hostile).read_text(encoding="utf-8")
        page = Page(text)
        assert not {"img", "b"} & set(page.tags)
        assert page.handlers == []
        assert "onerror=alert(1)" in text


# What is written


def written(found: pd.DataFrame, folder: Path) -> set[str]:
    folder.mkdir(exist_ok=True)
    return {file.name for file in write_probes(found, [], folder, "a title")}


def test_figures_are_written_for_what_there_is(tmp_path: Path) -> None:
    assert written(table(pair(2.0), hessian(1.0, 1.0, 0.0)), tmp_path) == {
        "probes.csv",
        *(f"{name}.{kind}" for name in ("roughening", "hessian") for kind in ("png", "html")),
    }
    assert written(table(run(probe__type="own:Probe", barrier=1.0)), tmp_path / "own") == {"probes.csv"}
    page = Page((tmp_path / "hessian.html").read_text(encoding="utf-8"))
    assert "script" in page.tags
    assert page.outside == []
    again = pd.read_csv(tmp_path / "probes.csv")
    assert list(again["metric"]) == list(table(pair(2.0), hessian(1.0, 1.0, 0.0))["metric"])


def test_a_users_roughening_ratio_is_drawn_or_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A subclass logs the same numbers under another type."""
    written(
        table(*(pair(value, probe__type="own:Ratio", seed=seed) for seed, value in enumerate((2.0, 4.0)))), tmp_path
    )
    assert caplog.messages == []


def test_probes_that_all_failed_leave_a_table(tmp_path: Path) -> None:
    nothing = [{**NO_NUMBER["failed"], "seed": seed} for seed in (0, 1)]
    assert "probes.csv" in written(
        table(*nothing, *(hessian(None, status="FAILED", seed=seed) for seed in (0, 1))), tmp_path
    )
