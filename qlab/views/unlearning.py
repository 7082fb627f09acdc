"""Unlearning methods side by side: a table, and curves over steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import holoviews as hv
import numpy as np
import pandas as pd

from qlab.views.backends import styled
from qlab.views.palette import Style, styles
from qlab.views.summary import label_methods, label_models

FINAL = (
    "validation_accuracy",
    "retain_accuracy",
    "forget_accuracy_polluted",
    "forget_accuracy_clean",
    "steps_to_oracle",
    "oracle_accuracy",
    "oracle_gap",
    "oracle_kl",
    "oracle_kl_floor",
    "membership_auc",
    "membership_auc_oracle",
    "relearn_steps",
    "unlearning_seconds",
    "loss_evaluations",
)
"""Metrics at the end of an unlearning run, in the order of the table."""

CURVES = (
    ("validation_accuracy", "validation accuracy (clean data)"),
    ("forget_accuracy_polluted", "forget accuracy (polluted labels)"),
)
"""Metrics drawn over steps."""

_GROUP = ["model", "corruption", "ratio", "method"]


def label_runs(frame: pd.DataFrame) -> pd.DataFrame:
    """What an unlearning run belongs to: columns ``model``, ``corruption``, ``ratio`` and ``method``."""
    return pd.DataFrame(
        {
            "model": label_models(frame),
            "corruption": frame["corruption.type"],
            "ratio": pd.to_numeric(frame["corruption.ratio"]),
            "method": label_methods(frame),
        },
        index=frame.index,
    )


def summarize_unlearning(frame: pd.DataFrame) -> pd.DataFrame:
    """One row for each model, corruption, ratio and method.

    Columns: those, then ``<metric>_mean``, ``<metric>_std`` (n - 1) and ``<metric>_n`` of :data:`FINAL` over the runs
    kept, ``kept``, ``runs`` and ``left_out``. A run is kept if it finished and did not diverge.
    ``steps_to_oracle`` and ``relearn_steps`` exist only for runs that got there: ``_n`` says how many did.

    Args:
        frame: one row for each unlearning run.
    """
    work = label_runs(frame)
    diverged = (frame["status"] == "FINISHED") & (frame["health"] == "diverged")
    work["status"] = frame["status"].mask(diverged, "DIVERGED")
    for metric in FINAL:
        work[metric] = pd.to_numeric(frame[metric]) if metric in frame else np.nan
    rows = []
    for group, members in work.groupby(_GROUP, sort=False):
        kept = members[members["status"] == "FINISHED"]
        row: dict[str, object] = dict(zip(_GROUP, group, strict=True))
        for metric in FINAL:
            row |= {
                f"{metric}_mean": kept[metric].mean(),
                f"{metric}_std": kept[metric].std(ddof=1),
                f"{metric}_n": int(kept[metric].notna().sum()),
            }
        others = sorted(set(members.loc[members["status"] != "FINISHED", "status"].str.lower()))
        rows.append(row | {"kept": len(kept), "runs": len(members), "left_out": ", ".join(others)})
    return pd.DataFrame(rows)


def history_of(frame: pd.DataFrame, read: Callable[[str, str], Iterable[tuple[int, float]]]) -> pd.DataFrame:
    """Every value of :data:`CURVES` of the runs that finished: what :func:`curves_of` takes.

    Args:
        frame: one row for each unlearning run.
        read: gives steps and values of a run's metric.
    """
    labels = label_runs(frame)
    return pd.DataFrame(
        [
            {**label, "metric": metric, "step": step, "value": value}
            for label, run_id, status in zip(labels.to_dict("records"), frame["run_id"], frame["status"], strict=True)
            if status == "FINISHED"
            for metric, _ in CURVES
            for step, value in read(str(run_id), metric)
        ]
    )


def curves_of(history: pd.DataFrame) -> pd.DataFrame:
    """Mean and deviation over runs of every metric at every step.

    Args:
        history: columns ``model``, ``corruption``, ``ratio``, ``method``, ``metric``, ``step`` and ``value``.
    """
    grouped = history.groupby([*_GROUP, "metric", "step"], sort=False)["value"]
    return grouped.agg(mean="mean", deviation=lambda values: values.std(ddof=1), kept="count").reset_index()


def accuracy_against_step(
    curves: pd.DataFrame, table: pd.DataFrame, published: pd.DataFrame | None = None
) -> hv.Layout:
    """Accuracy on validation and forget set against the unlearning step: a line per method, a row of panels per model.

    The dotted line is the oracles' validation accuracy.

    Args:
        curves: see :func:`curves_of`.
        table: see :func:`summarize_unlearning`.
        published: curves to show beside ours, dashed: columns ``model`` and ``method`` (as in the table), ``metric``,
            ``step`` and ``mean``.
    """
    by_method = styles(table["method"].unique())
    panels = []
    for (model, corruption, ratio), rows in curves.groupby(_GROUP[:3], sort=False):
        own = table[(table["model"] == model) & (table["corruption"] == corruption) & (table["ratio"] == ratio)]
        for metric, title in CURVES:
            parts = [_oracle_line(own)] if metric == "validation_accuracy" else []
            for method, line in rows[rows["metric"] == metric].groupby("method", sort=False):
                counts = own[own["method"] == method].iloc[0]
                label = f"{method} ({counts['kept']} of {counts['runs']} runs)"
                parts += _line(line, label, by_method[str(method)])
                if published is not None:
                    same = (published["model"] == model) & (published["method"] == method)
                    parts += _dashed(published[same & (published["metric"] == metric)], by_method[str(method)])
            last = metric == CURVES[-1][0]
            shown: dict[str, Any] = {
                "xlabel": "unlearning step",
                "ylabel": title,
                "title": f"{model}, {corruption} {ratio:g}",
            }
            shown |= {"ylim": (-0.03, 1.03), "show_grid": True}
            panels.append(
                styled(
                    hv.Overlay(parts),
                    bokeh={**shown, "legend_position": "bottom", "legend_cols": 2, "width": 420, "height": 460},
                    matplotlib={**shown, "legend_position": "right", "show_legend": last},
                )
            )
    return styled(
        hv.Layout(panels).cols(len(CURVES)),
        bokeh={"shared_axes": False},
        matplotlib={
            "fig_inches": (11, 4 * len(panels) / len(CURVES)),
            "hspace": 0.25,
            "vspace": 0.4,
            "sublabel_format": "",
        },
    )


def _oracle_line(own: pd.DataFrame) -> hv.Element:
    return styled(
        hv.HLine(float(own["oracle_accuracy_mean"].mean())),
        bokeh={"color": "#555555", "line_width": 1, "line_dash": "dotted"},
        matplotlib={"color": "#555555", "linewidth": 1, "linestyle": ":"},
    )


def _line(line: pd.DataFrame, label: str, style: Style) -> list[hv.Element]:
    line = line.sort_values("step")
    step = hv.Dimension("step", label="unlearning step")
    colour = style.colour
    band = hv.Spread((line["step"], line["mean"], line["deviation"].fillna(0.0)), step, ["mean", "deviation"])
    curve = hv.Curve(line[["step", "mean", "deviation", "kept"]], step, ["mean", "deviation", "kept"], label=label)
    return [
        styled(
            band,
            bokeh={"color": colour, "alpha": 0.15, "line_alpha": 0},
            matplotlib={"color": colour, "facecolor": colour, "edgecolor": colour, "alpha": 0.15, "linewidth": 0},
        ),
        styled(
            curve,
            bokeh={"color": colour, "line_width": 2, "tools": ["hover"]},
            matplotlib={"color": colour, "linewidth": 1.8},
        ),
    ]


def _dashed(line: pd.DataFrame, style: Style) -> list[hv.Element]:
    """A published curve."""
    if line.empty:
        return []
    step = hv.Dimension("step", label="unlearning step")
    curve = hv.Curve(line.sort_values("step")[["step", "mean"]], step, "mean")
    return [
        styled(
            curve,
            bokeh={"color": style.colour, "line_width": 1.2, "line_dash": "dashed", "line_alpha": 0.8},
            matplotlib={"color": style.colour, "linewidth": 1.1, "linestyle": "--", "alpha": 0.8},
        )
    ]
