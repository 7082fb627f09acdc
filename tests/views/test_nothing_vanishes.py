"""Every run of a store is in every table and figure, or named there as left out with the reason."""

from __future__ import annotations

import io
import math
import re
from typing import Any

import holoviews as hv
import pandas as pd
from hypothesis import given
from rich.console import Console
from support.stored_runs import DRAWN, PROBED, QUICK, TRIALS, UNLEARNED

from qlab.console import frame_table, probe_tables, summary_table, unlearning_table
from qlab.report.page import _grid
from qlab.tracking import frames, listing, names
from qlab.views.curvature import label_probe_runs, roughening_against_ratio, summarize_probes, traces_against_ratio
from qlab.views.labels import labelled, varying
from qlab.views.resilience import accuracy_against_ratio
from qlab.views.summary import labelled_trials, rounded, summarize
from qlab.views.unlearning import (
    accuracy_against_step,
    curves_of,
    final_bars,
    history_of,
    label_runs,
    summarize_unlearning,
    trade_off,
)


def shown(*tables: Any) -> str:
    out = Console(file=io.StringIO(), width=400, color_system=None)
    for table in tables:
        out.print(table)
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue()


def counted(text: str) -> tuple[int, int]:
    """The sums of all "n of m" in a text."""
    found = re.findall(r"(\d+) of (\d+)", text)
    return sum(int(kept) for kept, _ in found), sum(int(of) for _, of in found)


def legend(figure: hv.Layout, kind: type = hv.Curve) -> list[str]:
    """The names in the legend of a figure's panels, panel by panel."""
    return [part.label for panel in figure for part in panel.traverse(lambda part: part, [kind]) if part.label]


def check(table: pd.DataFrame, frame: pd.DataFrame, labels: pd.DataFrame, count: str) -> None:
    """What holds of every table: all runs are counted, groups are those of the configurations, reasons are given."""
    columns = list(labels.columns)
    groups = table.drop_duplicates(columns)
    assert groups[count].sum() == len(frame)
    curves = {(key, ratio) for key, ratio in zip(frame[names.CURVE], labels["ratio"].astype(str), strict=True)}
    assert len(groups) == len(curves) == len(labels.drop_duplicates())
    for row in table.to_dict("records"):
        assert row["kept"] <= row[count]
        assert row["left_out"] or row["kept"] == row[count]
    read = pd.read_csv(io.StringIO(table.to_csv(index=False)), keep_default_na=False)
    assert len(read) == len(table)
    assert len(_grid(table)["rows"]) == len(table)
    assert _grid(table)["columns"] == list(table.columns)
    if "ratio" in table:
        assert rounded(table)["ratio"].equals(table["ratio"])


@QUICK
@given(TRIALS)
def test_trials_are_counted_in_every_table(frame: pd.DataFrame) -> None:
    table = summarize(frame)
    check(table, frame, labelled(frame), "trials")
    trials = labelled_trials(frame)
    assert (trials["reason"] == "").equals(trials["kept"])
    assert trials["kept"].sum() == table["kept"].sum()
    assert counted(shown(summary_table(table, "x"))) == (table["kept"].sum(), len(frame))
    for reason in table["left_out"]:
        assert reason in shown(summary_table(table, "x"))
    for made in (listing.trial_table(frame), listing.run_table(frame)):
        assert len(made) == len(frame)
        shown(frame_table(made, "x"))
    chosen = varying(frame)
    assert summarize(frame, chosen)["trials"].sum() == len(frame)
    assert len(frames.latest_per_trial(frame)) == len(frame)


@DRAWN
@given(TRIALS)
def test_trials_are_counted_in_every_figure(frame: pd.DataFrame) -> None:
    table = summarize(frame)
    found = legend(accuracy_against_ratio(table, traces=labelled_trials(frame)))
    of_both = counted(" ".join(found))
    assert of_both == (2 * table["kept"].sum(), 2 * len(frame))
    for reasons in table["left_out"]:
        assert all(any(reason in name for name in found) for reason in reasons.split(", "))


@QUICK
@given(UNLEARNED)
def test_unlearning_runs_are_counted_in_every_table(frame: pd.DataFrame) -> None:
    table = summarize_unlearning(frame)
    check(table, frame, label_runs(frame), "runs")
    assert counted(re.sub(r"\(\d+ of \d+ got there\)", "", shown(unlearning_table(table, "x"))))[1] == len(frame)
    for row in table.to_dict("records"):
        broken = [metric for metric in ("validation_accuracy", "oracle_kl") if row[f"{metric}_n"] < row["kept"]]
        measured = {name for found in frame[names.NOT_FINITE] for name in found}
        for metric in set(broken) & {"validation_accuracy"}:
            assert metric in row["left_out"]
        assert all(math.isnan(row[f"{metric}_mean"]) or math.isfinite(row[f"{metric}_mean"]) for metric in measured)


@DRAWN
@given(UNLEARNED)
def test_unlearning_runs_are_counted_in_every_figure(frame: pd.DataFrame) -> None:
    table = summarize_unlearning(frame)
    history = history_of(frame, lambda run, metric: [(0, 0.5), (1, math.nan), (2, math.inf)])
    if not history.empty:
        figure = accuracy_against_step(curves_of(history), table)
        assert counted(" ".join(legend(figure))) == (2 * table["kept"].sum(), 2 * len(frame))
    bars = final_bars(table, ["validation_accuracy"])
    ticks = [name for panel in bars.traverse(lambda part: part, [hv.Bars]) for name in panel.dframe()["method"]]
    assert counted(" ".join(ticks)) == (table["kept"].sum(), len(frame))
    points = trade_off(frame)
    assert counted(" ".join(legend(points, hv.Points)))[1] == len(frame)


@QUICK
@given(PROBED)
def test_probes_are_counted_in_every_table(frame: pd.DataFrame) -> None:
    table = summarize_probes(frame, frames.metric_columns(frame))
    check(table, frame, label_probe_runs(frame), "runs")
    assert counted(shown(*probe_tables(table, "x")))[1] == len(frame)
    for row in table.to_dict("records"):
        assert row["left_out"] or row["n"] == row["runs"]
        assert math.isnan(row["mean"]) if row["n"] == 0 else math.isfinite(row["mean"])


@DRAWN
@given(PROBED)
def test_probes_are_counted_in_every_figure(frame: pd.DataFrame) -> None:
    table = summarize_probes(frame, frames.metric_columns(frame))
    for kind, draw, metric in (
        ("RougheningProbe", roughening_against_ratio, "lrr"),
        ("HessianProbe", traces_against_ratio, "hessian_trace"),
    ):
        own = table[table["probe_type"] == kind]
        if own.empty:
            continue
        panel = legend(hv.Layout([next(iter(draw(table)))]))
        rows = own[own["metric"].isin([metric, ""])]
        assert counted(" ".join(panel))[1] == rows["runs"].sum()
