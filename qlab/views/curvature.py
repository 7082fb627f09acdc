"""Probes over seeds: a table, Hessian traces and the landscape roughening ratio against the corruption ratio."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import holoviews as hv
import numpy as np
import pandas as pd

from qlab.statistics import bootstrap_interval
from qlab.views.backends import boxed, styled
from qlab.views.palette import Style, styles
from qlab.views.summary import label_models, label_probes

_GROUP = ["model", "corruption", "ratio", "probe"]

_COLUMNS = [*_GROUP, "probe_type", "metric", "mean", "std", "low", "high", "n", "kept", "runs", "left_out"]


def label_probe_runs(frame: pd.DataFrame) -> pd.DataFrame:
    """What a probe's run belongs to: columns ``model``, ``corruption``, ``ratio`` and ``probe``."""
    return pd.DataFrame(
        {
            "model": label_models(frame),
            "corruption": frame["corruption.type"],
            "ratio": pd.to_numeric(frame["corruption.ratio"]),
            "probe": label_probes(frame),
        },
        index=frame.index,
    )


def summarize_probes(frame: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """One row for each model, corruption, ratio, probe and metric that the probe has.

    Columns: those, ``probe_type``, then ``mean``, ``std`` (n - 1), ``low`` and ``high`` (95 % bootstrap interval of the
    mean) over the runs kept, ``n`` (runs that have the metric), ``kept``, ``runs`` and ``left_out``. A run is kept if
    it finished, its model did not diverge, and (only if its probe says ``keep_collapsed = false``) did not collapse.

    Args:
        frame: one row for each run of a probe.
        metrics: the metrics' columns.
    """
    if frame.empty:
        return pd.DataFrame(columns=_COLUMNS)
    work = label_probe_runs(frame)
    work["probe_type"] = frame["probe.type"]
    strict = frame["probe.keep_collapsed"] == "false" if "probe.keep_collapsed" in frame else False
    reason = frame["status"].str.lower().mask(frame["status"] == "FINISHED", "")
    reason = reason.mask((reason == "") & (frame["health"] == "diverged"), "diverged")
    work["reason"] = reason.mask((reason == "") & (frame["health"] == "collapsed") & strict, "collapsed")
    for metric in metrics:
        work[metric] = pd.to_numeric(frame[metric])
    rows = []
    for group, members in work.groupby([*_GROUP, "probe_type"], sort=False):
        kept = members[members["reason"] == ""]
        left_out = ", ".join(sorted(set(members["reason"]) - {""}))
        # A probe of which no run finished has no metric: a row without one says so.
        own = [metric for metric in metrics if members[metric].notna().any()] or [""]
        for metric in own:
            values = kept[metric].dropna().to_numpy(dtype=float) if metric else np.empty(0)
            low, high = bootstrap_interval(values)
            mean = values.mean() if len(values) else np.nan
            deviation = values.std(ddof=1) if len(values) > 1 else np.nan
            counts = (len(values), len(kept), len(members), left_out)
            rows.append((*group, metric, mean, deviation, low, high, *counts))
    return pd.DataFrame(rows, columns=_COLUMNS)


def roughening_against_ratio(table: pd.DataFrame) -> hv.Layout:
    """The roughening ratio (95 % bootstrap interval of the mean over pairs) and, beside it, the absolute traces.

    The legend says how many pairs are kept of how many. Axes are logarithmic if all values are positive.

    Args:
        table: see :func:`summarize_probes`.
    """
    rows = table[table["probe_type"] == "RougheningProbe"]
    rows = rows.assign(line=_lines(rows))
    by_line = _styles(rows)
    one = styled(
        hv.HLine(1.0),
        bokeh={"color": "#999999", "line_width": 1, "line_dash": "dashed"},
        matplotlib={"color": "#999999", "linewidth": 1, "linestyle": "--"},
    )
    ratio = rows[rows["metric"] == "lrr"]
    traces = [rows[rows["metric"] == "hessian_trace_clean"], rows[rows["metric"] == "hessian_trace"]]
    return _layout(
        [
            _panel([one], [(ratio, "", "solid")], by_line, "LRR = Tr H(polluted) / Tr H(clean)", False),
            _panel(
                [], [(traces[1], "polluted", "solid"), (traces[0], "clean", "dotted")], by_line, "Hessian trace", True
            ),
        ]
    )


def traces_against_ratio(table: pd.DataFrame) -> hv.Layout:
    """The Hessian trace and its two terms against the corruption ratio, mean and 95 % bootstrap interval.

    Args:
        table: see :func:`summarize_probes`.
    """
    rows = table[table["probe_type"] == "HessianProbe"]
    rows = rows.assign(line=_lines(rows))
    by_line = _styles(rows)
    titles = {
        "hessian_trace": "Hessian trace A + B",
        "hessian_trace_a": "term A",
        "hessian_trace_b": "term B",
    }
    return _layout(
        [
            _panel([], [(rows[rows["metric"] == metric], "", "solid")], by_line, title, metric == "hessian_trace_b")
            for metric, title in titles.items()
        ]
    )


def figures_of(table: pd.DataFrame) -> dict[str, Callable[[pd.DataFrame], hv.Layout]]:
    """By name the functions that draw what a table of probes holds."""
    found: dict[str, Callable[[pd.DataFrame], hv.Layout]] = {}
    if ((table["metric"] == "lrr") & (table["probe_type"] == "RougheningProbe")).any():
        found["roughening"] = roughening_against_ratio
    if (table["probe_type"] == "HessianProbe").any():
        found["hessian"] = traces_against_ratio
    return found


def _lines(rows: pd.DataFrame) -> pd.Series[str]:
    """The model; with corruption and probe where there are several."""
    lines = rows["model"].astype(str)
    for column in ("corruption", "probe"):
        if rows[column].nunique() > 1:
            lines = lines + ", " + rows[column].astype(str)
    return lines


def _styles(rows: pd.DataFrame) -> dict[str, Style]:
    return styles(rows["line"].unique())


def _panel(
    parts: list[Any],
    groups: list[tuple[pd.DataFrame, str, str]],
    by_line: dict[str, Style],
    ylabel: str,
    legend: bool,
) -> hv.Overlay:
    values = np.concatenate([group["mean"].to_numpy(dtype=float) for group, _, _ in groups])
    log = len(values) > 0 and bool((values[np.isfinite(values)] > 0).all()) and bool(np.isfinite(values).any())
    for group, suffix, dash in groups:
        for name, line in group.groupby("line", sort=False):
            parts = parts + _line(line, f"{name} {suffix}".strip(), by_line[str(name)], dash, log)
    if not parts:
        parts = [hv.Scatter([], "ratio", "mean")]
    shown: dict[str, Any] = {
        "xlabel": "corruption ratio",
        "ylabel": ylabel,
        "logy": log,
        "show_grid": True,
        "title": "",
    }
    if log:
        lows = np.concatenate([group["mean"] - _below(group, log) for group, _, _ in groups])
        highs = np.concatenate([group["high"].fillna(group["mean"]) for group, _, _ in groups])
        finite = np.concatenate([lows[np.isfinite(lows)], highs[np.isfinite(highs)]])
        shown["ylim"] = (0.7 * float(finite.min()), 1.4 * float(finite.max()))
    return styled(
        hv.Overlay(parts),
        bokeh={**shown, "width": 440, "height": 420, "legend_position": "bottom", "legend_cols": 1},
        matplotlib={**shown, "show_legend": legend, "legend_position": "right", "aspect": "square", "hooks": [boxed]},
    )


def _line(line: pd.DataFrame, label: str, style: Style, dash: str, log: bool) -> list[Any]:
    line = line.sort_values("ratio")
    label = f"{label} ({line['n'].sum()} of {line['runs'].sum()} kept)"
    x = hv.Dimension("ratio", label="corruption ratio")
    line = line[np.isfinite(line["mean"])]  # where nothing is kept there is no point, but the legend says so
    data = pd.DataFrame(
        {
            "ratio": line["ratio"],
            "mean": line["mean"],
            "below": _below(line, log),
            "above": (line["high"] - line["mean"]).fillna(0.0),
            "kept": line["n"],
            "of": line["runs"],
        }
    )
    colour = style.colour
    mpl_dash = {"solid": "-", "dotted": ":"}[dash]
    return [
        styled(
            hv.ErrorBars(data, x, ["mean", "below", "above"]),
            bokeh={"line_color": colour, "upper_head": None, "lower_head": None},
            matplotlib={"edgecolor": colour, "capthick": 0},
        ),
        styled(
            hv.Curve(data, x, "mean", label=label),
            bokeh={"color": colour, "line_dash": dash, "line_width": 2},
            matplotlib={"color": colour, "linestyle": mpl_dash, "linewidth": 1.8},
        ),
        styled(
            hv.Scatter(data, x, ["mean", "kept", "of"], label=label),
            bokeh={"color": colour, "marker": style.bokeh_marker, "size": 8, "tools": ["hover"]},
            matplotlib={"color": colour, "marker": style.matplotlib_marker, "s": 36},
        ),
    ]


def _below(line: pd.DataFrame, log: bool) -> pd.Series[float]:
    """How far intervals reach below the mean; on a logarithmic axis down to a tenth of it at most."""
    below = (line["mean"] - line["low"]).fillna(0.0)
    return below.clip(upper=0.9 * line["mean"]) if log else below


def _layout(panels: list[Any]) -> hv.Layout:
    return styled(
        hv.Layout(panels).cols(len(panels)),
        bokeh={"shared_axes": False},
        matplotlib={
            "shared_axes": False,
            "fig_inches": (5.2 * len(panels), 4),
            "hspace": 0.35,
            "sublabel_format": "",
            "tight": True,
        },
    )
