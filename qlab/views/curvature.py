"""Probes over seeds: a table, Hessian traces and the landscape roughening ratio against the corruption ratio."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import holoviews as hv
import numpy as np
import pandas as pd

from qlab.statistics import bootstrap_interval, resolved
from qlab.tracking.names import NOT_FINITE
from qlab.views.backends import boxed, literal, styled
from qlab.views.behind import pointed, with_behind
from qlab.views.dots import mean_dots
from qlab.views.kept import ending, flaws, joined, numbers_of, spread
from qlab.views.labels import UNKNOWN, labelled
from qlab.views.palette import Style, styles

_GROUP = ["model", "corruption", "ratio", "probe"]

_RATIO, _TRACES = "lrr", ("hessian_trace", "hessian_trace_clean")
"""The roughening ratio, and the traces that it is of."""

_COLUMNS = [*_GROUP, "probe_type", "metric", "mean", "std", "low", "high", "n", "kept", "runs", "left_out"]


def label_probe_runs(frame: pd.DataFrame) -> pd.DataFrame:
    """What a probe's run belongs to: columns ``model``, ``corruption``, ``ratio`` and ``probe``."""
    return labelled(frame, "probe")


def summarize_probes(frame: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """One row for each model, corruption, ratio, probe and metric that the probe has.

    Columns: those, ``probe_type``, then ``mean``, ``std`` (n - 1), ``low`` and ``high`` (95 % bootstrap interval of the
    mean) over the runs kept that have a finite value, ``n`` (how many these are), ``kept``, ``runs`` and ``left_out``:
    why the others are not among them. A run is kept if it finished, its model did not diverge, and (only if its probe
    says ``keep_collapsed = false``) did not collapse. A ratio of traces of the order of rounding is none, see
    :func:`qlab.statistics.resolved`. A group of which no run has a metric is a row without one.

    Args:
        frame: one row for each run of a probe.
        metrics: the metrics' columns.
    """
    if frame.empty:
        return pd.DataFrame(columns=_COLUMNS)
    work = label_probe_runs(frame)
    types = frame["probe.type"] if "probe.type" in frame else pd.Series(None, index=frame.index, dtype=object)
    work["probe_type"] = [UNKNOWN if pd.isna(kind) else str(kind) for kind in types]
    work["reason"] = pd.Series(_left_out(frame), index=frame.index, dtype=str)
    rows = []
    for group, members in work.groupby([*_GROUP, "probe_type"], sort=False, dropna=False):
        own = frame.loc[members.index]
        kept = members["reason"] == ""
        # A probe of which no run finished has no metric: a row without one says so.
        for metric in _metrics(own, metrics, str(group[-1])) or [""]:
            flawed = _ratio_flaws(own) if metric == _RATIO else flaws(own, metric) if metric else [""] * len(own)
            sound = [not reason and not flaw for reason, flaw in zip(members["reason"], flawed, strict=True)]
            values = numbers_of(own, metric)[sound] if metric else np.empty(0)
            mean, deviation = spread(values)
            low, high = bootstrap_interval(values)
            reasons = joined([reason or flaw for reason, flaw in zip(members["reason"], flawed, strict=True)])
            counts = (len(values), int(kept.sum()), len(members), reasons)
            rows.append((*group, metric, mean, deviation, low, high, *counts))
    return pd.DataFrame(rows, columns=_COLUMNS)


def with_probed(table: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame:
    """A summary with the runs behind each row, see :func:`qlab.views.behind.with_behind`.

    Args:
        table: see :func:`summarize_probes`.
        frame: what it was made of.
    """
    runs = label_probe_runs(frame).assign(run_id=frame["run_id"], seed=frame.get("seed"))
    return with_behind(table, runs.assign(kept=[not reason for reason in _left_out(frame)]), _GROUP)


def left_out(frame: pd.DataFrame, metric: str) -> list[str]:
    """For each run of probes why it does not count in the mean of a metric; "" if it does."""
    flawed = _ratio_flaws(frame) if metric == _RATIO else flaws(frame, metric)
    return [reason or flaw for reason, flaw in zip(_left_out(frame), flawed, strict=True)]


def _left_out(frame: pd.DataFrame) -> list[str]:
    """For each run why it is left out; "" if it is kept."""
    strict = frame["probe.keep_collapsed"] if "probe.keep_collapsed" in frame else [None] * len(frame)
    found = zip(ending(frame), frame["health"], strict, strict=True)
    return [ended or ("collapsed" if health == "collapsed" and keep is False else "") for ended, health, keep in found]


def _metrics(own: pd.DataFrame, metrics: Sequence[str], probe_type: str) -> list[str]:
    """The metrics of a group of runs: those measured in one of them, whatever came of it."""
    measured = {name for names in own.get(NOT_FINITE, ()) for name in names}
    found = [metric for metric in metrics if metric in measured or (metric in own and own[metric].notna().any())]
    ratio = probe_type == "RougheningProbe" and _RATIO not in found and _TRACES[0] in found
    return [_RATIO, *found] if ratio else found


def _ratio_flaws(own: pd.DataFrame) -> list[str]:
    """For each run why it has no roughening ratio; "" if it has one."""
    found = flaws(own, _RATIO)
    for name, trace in zip(("polluted", "clean"), _TRACES, strict=True):
        columns = [numbers_of(own, column) for column in (trace, f"{trace}_a", f"{trace}_b", f"{trace}_error")]
        for row, (total, a, b, error) in enumerate(zip(*columns, strict=True)):
            if np.isfinite(total) and not resolved(total, (a, b), error):
                found[row] = f"no {_RATIO}: the {name} trace is of the order of rounding"
    return found


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
    ratio = _of_metric(rows, _RATIO)
    traces = [_of_metric(rows, "hessian_trace_clean"), _of_metric(rows, "hessian_trace")]
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
    titles = {
        "hessian_trace": "Hessian trace A + B",
        "hessian_trace_a": "term A",
        "hessian_trace_b": "term B",
    }
    return _metrics_of(table, "HessianProbe", titles)


def accuracy_under_noise(table: pd.DataFrame) -> hv.Layout:
    """Accuracy under other noise than a circuit was trained with, and how it changed; mean and 95 % bootstrap interval.

    Args:
        table: see :func:`summarize_probes`.
    """
    titles = {"landscape_accuracy": "accuracy", "accuracy_change": "change of accuracy"}
    return _metrics_of(table, "UnderNoise", titles, may_be_log=False)


def _metrics_of(table: pd.DataFrame, probe_type: str, titles: Mapping[str, str], may_be_log: bool = True) -> hv.Layout:
    """A panel for each metric of a type of probe, the legend in the last."""
    rows = table[table["probe_type"] == probe_type]
    rows = rows.assign(line=_lines(rows))
    by_line, last = _styles(rows), list(titles)[-1]
    return _layout(
        [
            _panel([], [(_of_metric(rows, metric), "", "solid")], by_line, title, metric == last, may_be_log)
            for metric, title in titles.items()
        ]
    )


def figures_of(table: pd.DataFrame) -> dict[str, Callable[[pd.DataFrame], hv.Layout]]:
    """By name the functions that draw what a table of probes holds."""
    found: dict[str, Callable[[pd.DataFrame], hv.Layout]] = {}
    if (table["probe_type"] == "RougheningProbe").any():
        found["roughening"] = roughening_against_ratio
    if (table["probe_type"] == "HessianProbe").any():
        found["hessian"] = traces_against_ratio
    if (table["probe_type"] == "UnderNoise").any():
        found["under_noise"] = accuracy_under_noise
    return found


DRAWN: Final[Mapping[str, tuple[str, tuple[tuple[str, ...], ...]]]] = {
    "roughening": ("RougheningProbe", ((_RATIO,), _TRACES)),
    "hessian": ("HessianProbe", (("hessian_trace",), ("hessian_trace_a",), ("hessian_trace_b",))),
    "under_noise": ("UnderNoise", (("landscape_accuracy",), ("accuracy_change",))),
}
"""By the names of :func:`figures_of` the type of probe, and the metrics in each panel."""


def _of_metric(rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The rows of a metric, and those of groups of which no run has any: the legend counts them too."""
    return rows[(rows["metric"] == metric) | (rows["metric"] == "")]


def _lines(rows: pd.DataFrame) -> pd.Series[str]:
    """The model; with corruption and probe where there are several."""
    lines = rows["model"].astype(str)
    for column in ("corruption", "probe"):
        if rows[column].nunique(dropna=False) > 1:
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
    may_be_log: bool = True,
) -> hv.Overlay:
    values = np.concatenate([group["mean"].to_numpy(dtype=float) for group, _, _ in groups])
    log = (
        may_be_log
        and len(values) > 0
        and bool((values[np.isfinite(values)] > 0).all())
        and bool(np.isfinite(values).any())
    )
    for group, suffix, dash in groups:
        for name, line in group.groupby("line", sort=False, dropna=False):
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
    reasons = joined(line["left_out"])
    label = f"{label} ({line['n'].sum()} of {line['runs'].sum()} kept{reasons and f'; left out: {reasons}'})"
    x = hv.Dimension("ratio", label="corruption ratio")
    line = line[
        np.isfinite(line["mean"]) & line["ratio"].notna()
    ]  # where nothing is kept there is no point, but the legend says so
    data = pd.DataFrame(
        {
            "ratio": line["ratio"],
            "mean": line["mean"],
            "below": _below(line, log),
            "above": (line["high"] - line["mean"]).fillna(0.0),
        }
    )
    told, said = pointed("corruption ratio", "ratio", line, "mean", "std", "n", "runs")
    colour = style.colour
    mpl_dash = {"solid": "-", "dotted": ":"}[dash]
    return [
        styled(
            hv.ErrorBars(data, x, ["mean", "below", "above"]),
            bokeh={"line_color": colour, "upper_head": None, "lower_head": None},
            matplotlib={"edgecolor": colour, "capthick": 0},
        ),
        styled(
            hv.Curve(data, x, "mean", label=literal(label)),
            bokeh={"color": colour, "line_dash": dash, "line_width": 2},
            matplotlib={"color": colour, "linestyle": mpl_dash, "linewidth": 1.8},
        ),
        mean_dots(data[["ratio", "mean"]].join(told), x, label, style, said),
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
