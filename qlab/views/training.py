"""Training curves: loss and accuracy over epochs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import holoviews as hv
import numpy as np
import pandas as pd

from qlab.views.backends import literal, styled
from qlab.views.labels import UNKNOWN
from qlab.views.palette import Style, styles
from qlab.views.panels import row

METRICS = ("train_loss", "validation_loss", "train_accuracy", "validation_accuracy")
"""Metrics a training run logs as it goes."""

_PANELS = (("loss", "loss"), ("accuracy", "accuracy"))
_DASHES = (("train", "solid", "-"), ("validation", "dashed", "--"))


def curves_over_epochs(
    history: pd.DataFrame, labels: pd.Series[str], colours: Mapping[str, str] | None = None, title: str = ""
) -> hv.Layout:
    """Loss and accuracy against the epoch: mean over the runs of a label, and each run as a thin line.

    Training is drawn solid, validation dashed. Metrics of one's own that have more than a last value get a panel each.

    Args:
        history: columns ``run_id``, ``metric``, ``step`` and ``value``.
        labels: by run id, what each run belongs to.
        colours: by label, hexadecimal; by default those of models that labels begin with, then others.
        title: what the runs are of, above each panel.
    """
    work = history.assign(label=history["run_id"].map(labels).fillna(UNKNOWN))
    by_label = styles([*labels.unique(), UNKNOWN])
    for own, colour in (colours or {}).items():
        if own in by_label:
            by_label[own] = by_label[own]._replace(colour=colour)
    panels = []
    for quantity, ylabel in _PANELS:
        parts: list[Any] = []
        for split, dash, mpl_dash in _DASHES:
            rows = work[work["metric"] == f"{split}_{quantity}"]
            for label, group in rows.groupby("label", sort=False):
                of = max(int((labels == label).sum()), group["run_id"].nunique())
                parts += _lines(group, f"{label}, {split}", by_label[str(label)], dash, mpl_dash, of)
        if not parts:
            parts = [hv.Curve([], "epoch", ylabel)]
        panels.append(_panel(parts, quantity, ylabel, title))
    for metric, rows in work[~work["metric"].isin(METRICS)].groupby("metric"):
        if rows["step"].nunique() > 1:
            parts = []
            for label, group in rows.groupby("label", sort=False):
                of = max(int((labels == label).sum()), group["run_id"].nunique())
                parts += _lines(group, str(label), by_label[str(label)], "solid", "-", of)
            panels.append(_panel(parts, str(metric), str(metric).replace("_", " "), title))
    return row(panels)


def last_of(history: pd.DataFrame, labels: pd.Series[str]) -> pd.DataFrame:
    """The last values of runs' metrics: mean and deviation (n - 1) over the runs of a label, a row for each.

    Args:
        history: see :func:`curves_over_epochs`.
        labels: by run id, what each run belongs to.
    """
    last = history.sort_values("step").groupby(["run_id", "metric"], sort=False)["value"].last().unstack("metric")
    of = labels.reindex(last.index).fillna(UNKNOWN)
    rows: list[dict[str, Any]] = []
    for label, own in last.groupby(of, sort=False):
        row: dict[str, Any] = {"training": label}
        for metric in own.columns:
            row[f"{metric}_mean"], row[f"{metric}_std"] = own[metric].mean(), own[metric].std(ddof=1)
        rows.append(row | {"kept": len(own), "runs": int((labels == label).sum()), "left_out": ""})
    return pd.DataFrame(rows)


def _panel(parts: list[Any], quantity: str, ylabel: str, title: str) -> hv.Overlay:
    # Losses fall, accuracies rise: their legends stand where the curves are not.
    corner = "top_right" if quantity.endswith("loss") else "bottom_right"
    limits = {"ylim": (-0.03, 1.03)} if "accuracy" in quantity else {}
    shown = {"xlabel": "epoch", "ylabel": ylabel, "show_grid": True, **limits, **({"title": title} if title else {})}
    return styled(
        hv.Overlay(parts),
        bokeh={**shown, "width": 460, "height": 340, "legend_position": corner},
        matplotlib={**shown, "aspect": 1.25},
    )


def _lines(group: pd.DataFrame, label: str, style: Style, dash: str, mpl_dash: str, of: int) -> list[Any]:
    epoch = hv.Dimension("step", label="epoch")
    group = group.assign(value=group["value"].where(np.isfinite(group["value"].astype(float))))
    runs = [run.sort_values("step")[["step", "value"]] for _, run in group.groupby("run_id", sort=False)]
    mean = group.groupby("step")["value"].mean().reset_index()
    broken = sum(bool(run["value"].isna().any()) for run in runs)
    counts = str(len(runs)) if of == len(runs) else f"{len(runs)} of {of}"
    label = f"{label} ({counts}{f', {broken} not finite to the end' if broken else ''})"
    colour = style.colour
    traces = styled(
        hv.Path(runs, [epoch, "value"]),
        bokeh={"color": colour, "line_width": 0.7, "line_alpha": 0.4},
        matplotlib={"color": colour, "linewidth": 0.6, "alpha": 0.4},
    )
    line = styled(
        hv.Curve(mean, epoch, "value", label=literal(label)),
        bokeh={"color": colour, "line_width": 2, "line_dash": dash, "tools": ["hover"]},
        matplotlib={"color": colour, "linewidth": 1.8, "linestyle": mpl_dash},
    )
    return [traces, line] if len(runs) > 1 else [line]
