"""Accuracy against corruption ratio: the figure of a resilience study."""

from __future__ import annotations

import holoviews as hv
import numpy as np
import pandas as pd

from qlab.views.backends import literal, styled
from qlab.views.behind import pointed
from qlab.views.deviations import deviations
from qlab.views.dots import mean_dots
from qlab.views.kept import joined
from qlab.views.palette import Style, styles
from qlab.views.summary import TEST, further_metrics

PANELS = (("validation_accuracy", "validation accuracy (clean data)"), ("train_accuracy", "training accuracy"))
"""Metrics drawn, a column of panels for each, and what to write beside their axes."""

MOST_PLACES = 20_000
"""So many places of single runs are drawn of a model in a panel: more make a page heavy, and nobody sees them."""


def panels_of(table: pd.DataFrame) -> tuple[tuple[str, str], ...]:
    """What is drawn of a table, a column of panels for each metric: :data:`PANELS`, then metrics of one's own.

    First comes test accuracy if something was chosen, as it was chosen by the others.
    """
    tested = ((TEST, "test accuracy (clean data)"),) if "chosen" in table and f"{TEST}_mean" in table else ()
    return (*tested, *PANELS, *((name, name.replace("_", " ")) for name in further_metrics(table)))


def accuracy_against_ratio(
    table: pd.DataFrame, published: pd.DataFrame | None = None, traces: pd.DataFrame | None = None
) -> hv.Layout:
    """Validation and training accuracy against ratio, mean and standard deviation over seeds, a line per model.

    Beside them metrics of one's own, if the table has some. One row of panels for each corruption, which the title
    says, and the model if there is one alone. The legend says how many trials are shown of how many there are.

    Args:
        table: see :func:`qlab.views.summary.summarize`, perhaps :func:`qlab.views.behind.with_behind`.
        published: points to show beside ours, as open markers with their standard deviation: columns ``model`` (as in
            the table), ``corruption``, ``ratio``, ``metric``, ``mean`` and ``std``.
        traces: single trials to draw as thin lines, one for each seed, see
            :func:`qlab.views.summary.labelled_trials`.
    """
    by_model = styles(table["model"].unique())
    shown = panels_of(table)
    alone = f"{next(iter(by_model))}, " if len(by_model) == 1 else ""
    panels = [
        _panel(rows, metric, title, str(corruption), alone, by_model, published, traces, last=metric == shown[-1][0])
        for corruption, rows in table.groupby("corruption", sort=False, dropna=False)
        for metric, title in shown
    ]
    return styled(
        hv.Layout(panels).cols(len(shown)),
        bokeh={"shared_axes": False},
        matplotlib={"fig_inches": (5.5 * len(shown), 4), "hspace": 0.25, "vspace": 0.4, "sublabel_format": ""},
    )


def _panel(
    rows: pd.DataFrame,
    metric: str,
    title: str,
    corruption: str,
    alone: str,
    by_model: dict[str, Style],
    published: pd.DataFrame | None,
    traces: pd.DataFrame | None,
    *,
    last: bool,
) -> hv.Overlay:
    chance = styled(
        hv.HLine(0.5),
        bokeh={"color": "#999999", "line_width": 1, "line_dash": "dotted"},
        matplotlib={"color": "#999999", "linewidth": 1, "linestyle": ":"},
    )
    accuracy = "accuracy" in metric
    parts = [chance] if accuracy else []
    for model, group in rows.groupby("model", sort=False, dropna=False):
        if traces is not None:
            runs = traces[traces["kept"] & (traces["model"] == model) & (traces["corruption"] == corruption)]
            parts += _traces(runs, metric, str(model), by_model[str(model)])
        parts += _line(group, metric, str(model), by_model[str(model)])
        if published is not None:
            own = (published["model"] == model) & (published["corruption"] == corruption)
            parts += _open_markers(published[own & (published["metric"] == metric)], by_model[str(model)])
    shown = {
        "xlabel": "corruption ratio",
        "ylabel": title,
        "title": f"{alone}{corruption}",
        "show_grid": True,
        "xticks": 6,
    }
    shown |= {"ylim": (-0.03, 1.03)} if accuracy else _limits(rows, metric)
    # On paper one legend serves a row of panels; on a page each panel may be alone on the screen.
    return styled(
        hv.Overlay(parts),
        bokeh={**shown, "legend_position": "bottom", "legend_cols": 1, "width": 420, "height": 430},
        matplotlib={**shown, "legend_position": "right", "show_legend": last},
    )


def _limits(rows: pd.DataFrame, metric: str) -> dict[str, tuple[float, float]]:
    """The room that a metric of one's own takes, of any size: panels would otherwise share that of the largest."""
    deviation = rows[f"{metric}_std"].fillna(0.0)
    ends = {
        "xlim": rows["ratio"],
        "ylim": pd.concat([rows[f"{metric}_mean"] - deviation, rows[f"{metric}_mean"] + deviation]),
    }
    found = {name: (float(values.min()), float(values.max())) for name, values in ends.items() if values.notna().any()}
    rooms = {name: 0.05 * (high - low) or 0.05 for name, (low, high) in found.items()}
    return {name: (low - rooms[name], high + rooms[name]) for name, (low, high) in found.items()}


def _line(group: pd.DataFrame, metric: str, model: str, style: Style) -> list[hv.Element]:
    """Band, line and markers of one model. Ratios without a kept trial are gaps, not zeros."""
    reasons = joined(group["left_out"])
    label = f"{model} ({group['kept'].sum()} of {group['trials'].sum()} trials{reasons and f'; left out: {reasons}'})"
    group = group.sort_values("ratio")
    if not group["kept"].any() or not (group["ratio"].notna() & group[f"{metric}_mean"].notna()).any():
        group = group.iloc[:0]
    mean, deviation = group[f"{metric}_mean"], group[f"{metric}_std"].fillna(0.0)
    x = hv.Dimension("ratio", label="corruption ratio")
    points = pd.DataFrame({"ratio": group["ratio"], "mean": mean})
    line = hv.Curve(points, x, "mean", label=literal(label))
    told, said = pointed("corruption ratio", "ratio", group, "mean", f"{metric}_std", "kept", "trials")
    colour = style.colour
    return [
        deviations((group["ratio"], mean, deviation), x, colour),
        styled(line, bokeh={"color": colour, "line_width": 2}, matplotlib={"color": colour, "linewidth": 1.8}),
        mean_dots(points.join(told), x, label, style, said),
    ]


def _traces(trials: pd.DataFrame, metric: str, model: str, style: Style) -> list[hv.Element]:
    """A thin line for each seed: one element with gaps between them, as thousands of elements take seconds."""
    if trials.empty:
        return []
    seeds, names = pd.factorize(trials["seed"], use_na_sentinel=False)
    every = -(-len(trials) // MOST_PLACES)  # of many seeds only each so many-th is drawn, whole
    order = np.lexsort((trials["ratio"], seeds))
    order = order[seeds[order] % every == 0]
    gaps = 1 + np.flatnonzero(np.diff(seeds[order]))
    columns = {"ratio": trials["ratio"], "mean": trials[metric], "seed": trials["seed"]}
    lines = {name: np.insert(own.to_numpy(dtype=float)[order], gaps, np.nan) for name, own in columns.items()}
    x = hv.Dimension("ratio", label="corruption ratio")
    label = "" if every == 1 else f"{model}: single runs of {-(-len(names) // every)} of {len(names)} seeds"
    return [
        styled(
            hv.Curve(pd.DataFrame(lines), x, ["mean", "seed"], label=literal(label)),
            bokeh={"color": style.colour, "line_width": 0.8, "line_alpha": 0.5, "tools": ["hover"]},
            matplotlib={"color": style.colour, "linewidth": 0.7, "alpha": 0.5},
        )
    ]


def _open_markers(points: pd.DataFrame, style: Style) -> list[hv.Element]:
    """Published points of one model with their deviation."""
    if points.empty:
        return []
    x = hv.Dimension("ratio", label="corruption ratio")
    data = points[["ratio", "mean", "std"]].fillna(0.0)
    colour = style.colour
    return [
        styled(
            hv.ErrorBars(data, x, ["mean", "std"]),
            bokeh={"line_color": colour, "upper_head": None, "lower_head": None, "line_alpha": 0.6},
            matplotlib={"edgecolor": colour, "capthick": 0, "alpha": 0.6, "linewidth": 1},
        ),
        styled(
            hv.Scatter(data, x, ["mean", "std"]),
            bokeh={
                "fill_color": "#FFFFFF",
                "line_color": colour,
                "marker": style.bokeh_marker,
                "size": 8,
                "tools": ["hover"],
            },
            matplotlib={"facecolors": "#FFFFFF", "edgecolors": colour, "marker": style.matplotlib_marker, "s": 36},
        ),
    ]
