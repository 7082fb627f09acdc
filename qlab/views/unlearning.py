"""Unlearning methods side by side: a table, and curves over steps."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import holoviews as hv
import numpy as np
import pandas as pd

from qlab.tracking.groups import OVER
from qlab.views.backends import literal, styled
from qlab.views.deviations import deviations
from qlab.views.kept import ending, flaws, joined, measured, numbers_of, spread
from qlab.views.labels import labelled, ratio_text
from qlab.views.palette import Style, styles
from qlab.views.panels import row
from qlab.views.summary import TEST, chosen_text
from qlab.views.words import APART, TITLES

FINAL = (
    "validation_accuracy",
    "retain_accuracy",
    "forget_accuracy_polluted",
    "forget_accuracy_clean",
    "steps_to_oracle",
    "oracle_accuracy",
    "oracle_accuracy_std",
    "oracle_gap",
    "oracle_kl",
    "oracle_kl_floor",
    "membership_auc",
    "membership_auc_oracle",
    "relearn_steps",
    "unlearning_seconds",
    "loss_evaluations",
    "gradient_evaluations",
)
"""Metrics at the end of an unlearning run, in the order of the table; that of test data, those of one's own and
:data:`PARTIAL` are added if there are some."""

PARTIAL = (
    "corrective_accuracy",
    "corrective_accuracy_teacher",
    "corrective_accuracy_oracle",
    "corrective_accuracy_reachable",
    *APART,
    "reachable_accuracy",
    "reachable_accuracy_std",
    "reachable_gap",
    "reachable_kl",
    "reachable_kl_floor",
    "membership_auc_reachable",
)
"""Metrics of what is done about rows that are hidden."""

_ALWAYS = ("validation_accuracy",)
"""Metrics at the end that every run has; others may have no meaning for some, or were not asked for."""

_FLAW = "flaw of "

DRAWN = ("validation_accuracy", "forget_accuracy_polluted")
"""The metrics drawn over steps where nothing else is asked for."""

MOST_ROWS: Final = 6
"""So many rows of panels over steps has one figure at most: more take minutes to draw, and nobody finds theirs."""

_STEP = hv.Dimension("step", label="unlearning step")

_GROUP = ["model", "corruption", "ratio", "method"]


def label_runs(frame: pd.DataFrame) -> pd.DataFrame:
    """What an unlearning run belongs to: columns ``model``, ``corruption``, ``ratio`` and ``method``."""
    return labelled(frame, "method")


def summarize_unlearning(frame: pd.DataFrame) -> pd.DataFrame:
    """One row for each model, corruption, ratio and method: every run belongs to one.

    Columns: those, then ``<metric>_mean``, ``<metric>_std`` (n - 1) and ``<metric>_n`` of :data:`FINAL`, and of
    :data:`PARTIAL` where some run has them, over the runs kept that have a finite value, ``kept``, ``runs`` and
    ``left_out``. A run is kept if it finished and did not diverge; ``left_out`` says why others were not, and which
    metrics of those kept are no finite numbers. ``chosen`` says what a selection chose, if there was one, and whether
    it saw what is hidden. ``steps_to_oracle`` and ``relearn_steps`` exist only for runs that got
    there: ``_n`` says how many did.

    Args:
        frame: one row for each unlearning run.
    """
    work = label_runs(frame)
    tested = tuple(name for name in (*PARTIAL, TEST) if np.isfinite(numbers_of(frame, name)).any())
    metrics = (*FINAL, *tested, *(name for name in measured(frame) if name not in (*FINAL, *PARTIAL, TEST)))
    work["reason"] = pd.Series(ending(frame), index=frame.index, dtype=str)
    if is_chosen := OVER in frame and bool(frame[OVER].notna().any()):
        work["chosen"] = [chosen_text(row) for row in frame.to_dict("records")]
    for metric in metrics:
        work[metric] = numbers_of(frame, metric)
        found = [flaw if not ended else "" for flaw, ended in zip(flaws(frame, metric), work["reason"], strict=True)]
        # Not every run has every metric, but one that was measured is there or said to be missing.
        expected = metric in _ALWAYS
        work[_FLAW + metric] = [flaw if expected or not flaw.startswith("no ") else "" for flaw in found]
    rows = []
    for group, members in work.groupby(_GROUP, sort=False, dropna=False):
        kept = members[members["reason"] == ""]
        summary: dict[str, object] = dict(zip(_GROUP, group, strict=True))
        reasons = [*members["reason"], *(flaw for metric in metrics for flaw in members[_FLAW + metric])]
        for metric in metrics:
            values = kept[metric].to_numpy()
            values = values[np.isfinite(values)]
            summary[f"{metric}_mean"], summary[f"{metric}_std"] = spread(values)
            summary[f"{metric}_n"] = len(values)
        if is_chosen:
            summary["chosen"] = "; ".join(sorted(set(members["chosen"]) - {""}))
        rows.append(summary | {"kept": len(kept), "runs": len(members), "left_out": joined(reasons)})
    return pd.DataFrame(rows)


def history_of(
    frame: pd.DataFrame, read: Callable[[str, str], Iterable[tuple[int, float]]], metrics: Sequence[str] = DRAWN
) -> pd.DataFrame:
    """Every value of some metrics of the runs that are kept: what :func:`curves_of` takes.

    Args:
        frame: one row for each unlearning run.
        read: gives steps and values of a run's metric.
        metrics: which ones.
    """
    labels = label_runs(frame)
    rows: list[int] = []
    own: list[str] = []
    points: list[tuple[int, float]] = []
    for place, (run_id, ended) in enumerate(zip(frame["run_id"], ending(frame), strict=True)):
        for metric in metrics if not ended else ():
            found = list(read(str(run_id), metric))
            points += found
            rows += [place] * len(found)
            own += [metric] * len(found)
    if not points:
        return pd.DataFrame()
    steps, values = zip(*points, strict=True)
    return labels.iloc[rows].reset_index(drop=True).assign(metric=own, step=steps, value=values)


def curves_of(history: pd.DataFrame) -> pd.DataFrame:
    """Mean and deviation over runs of every metric at every step, and how many runs have a finite value there.

    Args:
        history: columns ``model``, ``corruption``, ``ratio``, ``method``, ``metric``, ``step`` and ``value``.
    """
    finite = history.assign(value=history["value"].where(np.isfinite(history["value"].astype(float))))
    grouped = finite.groupby([*_GROUP, "metric", "step"], sort=False, dropna=False)["value"]
    return grouped.agg(mean="mean", deviation="std", kept="count").reset_index()


def accuracy_against_step(
    curves: pd.DataFrame,
    table: pd.DataFrame,
    published: pd.DataFrame | None = None,
    metrics: Sequence[str] = DRAWN,
    rows: slice = slice(None),
) -> hv.Layout:
    """Metrics against the unlearning step: a line per method, a row of panels for each model, corruption and ratio.

    The dotted line is the oracles' validation accuracy, the band around it their standard deviation.

    Args:
        curves: see :func:`curves_of`.
        table: see :func:`summarize_unlearning`.
        published: curves to show beside ours, dashed: columns ``model``, ``corruption``, ``ratio`` and ``method`` (as
            in the table), ``metric``, ``step`` and ``mean``.
        metrics: which ones, a panel for each.
        rows: which rows of panels, see :func:`figures_over_steps`.
    """
    by_method = styles(table["method"].unique())
    panels = []
    for (model, corruption, ratio), own in list(_groups(table))[rows]:
        here = curves[_same(curves, model, corruption, ratio)]
        for metric in metrics:
            title = (TITLES | APART).get(metric, metric)
            steps = (here["step"].min(), here["step"].max()) if len(here) else (0, 1)
            parts = _oracle_level(own, steps) if metric == "validation_accuracy" else []
            for counts in own.to_dict("records"):
                method = str(counts["method"])
                line = here[(here["metric"] == metric) & (here["method"] == method)]
                parts += _line(line, counted(method, counts), by_method[method])
                if published is not None:
                    same = _same(published, model, corruption, ratio) & (published["method"] == method)
                    parts += _dashed(published[same & (published["metric"] == metric)], by_method[method])
            last = metric == metrics[-1]
            shown: dict[str, Any] = {
                "xlabel": "unlearning step",
                "ylabel": title,
                "title": _heading(table, model, corruption, ratio),
            }
            shown |= {"show_grid": True} | ({"ylim": (-0.03, 1.03)} if "accuracy" in metric else {})
            panels.append(
                styled(
                    hv.Overlay(parts),
                    bokeh={**shown, "legend_position": "bottom", "legend_cols": 1, "width": 420, "height": 460},
                    matplotlib={**shown, "legend_position": "right", "show_legend": last, "aspect": 1.4},
                )
            )
    return styled(
        hv.Layout(panels).cols(len(metrics)),
        bokeh={"shared_axes": False},
        matplotlib={
            "fig_inches": (5.5 * len(metrics), 4 * len(panels) / len(metrics)),
            "hspace": 0.1,
            "vspace": 0.4,
            "sublabel_format": "",
        },
    )


def figures_over_steps(table: pd.DataFrame) -> dict[str, slice]:
    """The figures of :func:`accuracy_against_step` by name, each with the rows of panels that it has.

    One, ``unlearning``; with more than :data:`MOST_ROWS` rows of panels also ``unlearning_2`` and so on.

    Args:
        table: see :func:`summarize_unlearning`.
    """
    starts = range(0, max(table.groupby(_GROUP[:3], sort=False, dropna=False).ngroups, 1), MOST_ROWS)
    return {
        "unlearning" if number == 1 else f"unlearning_{number}": slice(start, start + MOST_ROWS)
        for number, start in enumerate(starts, 1)
    }


def final_bars(table: pd.DataFrame, metrics: Sequence[str] = DRAWN) -> hv.Layout:
    """Metrics at the last step, a bar for each method with its standard deviation over runs, a row of panels per model.

    Args:
        table: see :func:`summarize_unlearning`.
        metrics: which of :data:`FINAL`, a panel for each.
    """
    by_method = styles(table["method"].unique())
    panels = []
    for (model, corruption, ratio), own in _groups(table):
        named = [counted(str(row["method"]), row) for row in own.to_dict("records")]
        for metric in metrics:
            rows = own[["method", f"{metric}_mean", f"{metric}_std", "kept", "runs"]].set_axis(
                ["method", "mean", "deviation", "kept", "of"], axis=1
            )
            colours = [by_method[str(method)].colour for method in rows["method"]]
            rows = rows.assign(method=named)
            bars = hv.Bars(rows.assign(colour=colours), "method", ["mean", "kept", "of", "colour"])
            errors = hv.ErrorBars(rows.fillna({"deviation": 0.0}), "method", ["mean", "deviation"])
            shown: dict[str, Any] = {
                "title": _heading(table, model, corruption, ratio),
                "xlabel": "",
                "show_grid": True,
            }
            shown |= {"ylabel": (TITLES | APART).get(metric, metric), "xrotation": 30}
            shown |= {"ylim": (0.0, 1.03)} if "accuracy" in metric else {}
            bars = styled(bars, bokeh={"color": "colour", "tools": ["hover"]}, matplotlib={"color": "colour"})
            panels.append(
                styled(
                    bars * errors, bokeh={**shown, "width": 420, "height": 360}, matplotlib={**shown, "aspect": 1.25}
                )
            )
    return row(panels, columns=len(metrics))


def trade_off(frame: pd.DataFrame) -> hv.Layout:
    """Forgetting against what is kept: a point for each run at its last step, a panel for each model.

    Across: accuracy on the forget set's polluted labels, which should fall. Up: validation accuracy, which should
    rise: the best corner is the upper left.

    Args:
        frame: one row for each unlearning run.
    """
    table = summarize_unlearning(frame)
    work = label_runs(frame).assign(seed=frame.get("seed"))
    for name in DRAWN:
        work[name] = numbers_of(frame, name)
    found = zip(ending(frame), *(flaws(frame, name) for name in DRAWN), strict=True)
    work["reason"] = [ended or ", ".join(filter(None, own)) for ended, *own in found]
    placed = work[work["reason"] == ""]
    by_method = styles(table["method"].unique())
    x, y = (hv.Dimension(name, label=TITLES[name]) for name in reversed(DRAWN))
    panels = []
    for (model, corruption, ratio), own in _groups(table):
        here, all_here = (runs[_same(runs, model, corruption, ratio)] for runs in (placed, work))
        parts = []
        for counts in own.to_dict("records"):
            method = str(counts["method"])
            rows = here[here["method"] == method]
            style = by_method[method]
            reasons = joined(all_here.loc[all_here["method"] == method, "reason"])
            label = counted(method, counts | {"kept": len(rows), "left_out": reasons})
            points = hv.Points(rows, [x, y], ["method", "seed"], label=literal(label))
            parts.append(
                styled(
                    points,
                    bokeh={"color": style.colour, "marker": style.bokeh_marker, "size": 9, "tools": ["hover"]},
                    matplotlib={"color": style.colour, "marker": style.matplotlib_marker, "s": 40},
                )
            )
        shown = {"title": _heading(table, model, corruption, ratio), "xlim": (-0.03, 1.03), "ylim": (-0.03, 1.03)}
        panels.append(
            styled(
                hv.Overlay(parts),
                bokeh={**shown, "show_grid": True, "width": 440, "height": 420, "legend_position": "bottom_left"},
                matplotlib={**shown, "show_grid": True, "aspect": 1.0},
            )
        )
    return row(panels, columns=2)


def counted(name: str, counts: Mapping[Hashable, Any]) -> str:
    """A name for a legend, with how many runs are kept of how many and why the others are not."""
    reasons = f"; left out: {counts['left_out']}" if counts["left_out"] else ""
    return f"{name} ({counts['kept']} of {counts['runs']} runs{reasons})"


def _groups(table: pd.DataFrame) -> Iterator[tuple[tuple[str, str, float], pd.DataFrame]]:
    """The rows of each model, corruption and ratio: a panel or a row of panels."""
    keys: Any = table.groupby(_GROUP[:3], sort=False, dropna=False)
    yield from keys


def _same(rows: pd.DataFrame, model: str, corruption: str, ratio: float) -> pd.Series[bool]:
    """Which rows are of these; a ratio that is not known is the same as another."""
    if rows.empty:
        return pd.Series(dtype=bool, index=rows.index)
    at = rows["ratio"].isna() if np.isnan(ratio) else rows["ratio"] == ratio
    return (rows["model"] == model) & (rows["corruption"] == corruption) & at


def _heading(table: pd.DataFrame, model: str, corruption: str, ratio: float) -> str:
    return f"{model}, {corruption} {ratio_text(ratio, table['ratio'])}"


def _oracle_level(own: pd.DataFrame, steps: tuple[int, int]) -> list[hv.Element]:
    level = float(own["oracle_accuracy_mean"].mean())
    if not np.isfinite(level):
        return []
    # The oracles' own spread is the noise floor; with one oracle for each run, that over runs stands for it.
    among, over = own["oracle_accuracy_std_mean"].mean(), own["oracle_accuracy_std"].mean()
    deviation = float(np.nan_to_num(among if np.isfinite(among) else over))
    return [
        deviations((list(steps), [level] * 2, [deviation] * 2), _STEP, "#555555", alpha=0.12),
        styled(
            hv.HLine(level),
            bokeh={"color": "#555555", "line_width": 1, "line_dash": "dotted"},
            matplotlib={"color": "#555555", "linewidth": 1, "linestyle": ":"},
        ),
    ]


def _line(line: pd.DataFrame, label: str, style: Style) -> list[hv.Element]:
    line = line.sort_values("step")
    colour = style.colour
    curve = hv.Curve(
        line[["step", "mean", "deviation", "kept"]], _STEP, ["mean", "deviation", "kept"], label=literal(label)
    )
    return [
        deviations((line["step"], line["mean"], line["deviation"].fillna(0.0)), _STEP, colour, alpha=0.15),
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
    curve = hv.Curve(line.sort_values("step")[["step", "mean"]], _STEP, "mean")
    return [
        styled(
            curve,
            bokeh={"color": style.colour, "line_width": 1.2, "line_dash": "dashed", "line_alpha": 0.8},
            matplotlib={"color": style.colour, "linewidth": 1.1, "linestyle": "--", "alpha": 0.8},
        )
    ]
