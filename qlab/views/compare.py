"""Groups of runs side by side: curves overlaid, their differences by seed, and who gets which samples right."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, Final

import holoviews as hv
import numpy as np
import pandas as pd

from qlab.views.backends import literal, styled
from qlab.views.lines import Line, Panel, drawn
from qlab.views.palette import Style, styles
from qlab.views.panels import row
from qlab.views.words import named

_COLUMNS: Final = 2

_OUTCOMES: Final = {
    "both": ("#999999", ("circle", "o"), 5, 14),
    "first": ("#0072B2", ("square", "s"), 9, 40),
    "second": ("#D55E00", ("triangle", "^"), 9, 40),
    "neither": ("#CC79A7", ("x", "X"), 9, 40),
}
"""Colour, markers and sizes of samples by who gets them right."""


def compared_curves(
    table: pd.DataFrame,
    groups: Mapping[str, str],
    counts: Mapping[str, Mapping[Hashable, Any]],
    looks: Mapping[str, Style],
    xlabel: str,
) -> hv.Layout:
    """A panel for each metric, with a line for each group and a band of the standard deviation over seeds.

    Args:
        table: columns ``letter``, ``metric``, ``step``, ``mean`` and ``deviation``.
        groups: names by letter, in order.
        counts: by letter, see :class:`qlab.views.lines.Line`.
        looks: by letter, see :func:`looks_of`.
        xlabel: what a step is.
    """
    panels = []
    for metric, own in table.groupby("metric", sort=False):
        lines = []
        for letter, name in groups.items():
            points = own[own["letter"] == letter].sort_values("step")
            step, mean, deviation = (points[own].to_numpy(dtype=float) for own in ("step", "mean", "deviation"))
            lines.append(Line(name, looks[letter], counts[letter], step, mean, deviation))
        marked = any(len(line.x) == 1 for line in lines)  # of which a line shows nothing
        panels.append(Panel("", xlabel, named(str(metric)), tuple(lines), "accuracy" in str(metric), marked))
    return drawn(panels, columns=min(_COLUMNS, len(panels)))


def compared_differences(table: pd.DataFrame, reference: str, looks: Mapping[str, Style], xlabel: str) -> hv.Layout:
    """A panel for each metric: differences from the reference by seed, with their intervals as bands.

    Args:
        table: columns ``letter``, ``metric``, ``step``, ``difference``, ``low``, ``high`` and ``n``.
        reference: letter of what was subtracted.
        looks: by letter.
        xlabel: what a step is.
    """
    panels = []
    for metric, own in table.groupby("metric", sort=False):
        quantity = f"{named(str(metric)).partition(' (')[0]}, difference"
        parts: list[Any] = [
            styled(
                hv.HLine(0.0),
                bokeh={"color": "#888888", "line_dash": "dotted", "line_width": 1.5},
                matplotlib={"color": "#888888", "linestyle": ":", "linewidth": 1.2},
            )
        ]
        for letter, points in own.groupby("letter", sort=False):
            pairs = table.loc[table["letter"] == letter, "n"]
            said = str(pairs.max()) if pairs.min() == pairs.max() else f"{pairs.min()} to {pairs.max()}"
            band = ", 95 % interval" if points["low"].notna().any() else ""
            label = f"{letter} − {reference} (n = {said} seeds in common{band})"
            parts += _difference(points.sort_values("step"), label, looks[str(letter)], xlabel)
        shown = {"xlabel": xlabel, "ylabel": quantity, "show_grid": True}
        panels.append(
            styled(
                hv.Overlay(parts),
                bokeh={**shown, "width": 420, "height": 400, "legend_position": "bottom", "legend_cols": 1},
                matplotlib={**shown, "aspect": 1.25},
            )
        )
    return row(panels, columns=_COLUMNS)


def sample_map(frame: pd.DataFrame, words: Mapping[str, str], title: str) -> hv.Overlay:
    """Samples in two dimensions by who gets them right; hover for row and labels.

    Args:
        frame: columns ``x``, ``y``, ``row``, ``outcome`` (a key of ``words``), ``polluted_label`` and ``clean_label``.
        words: outcomes in words, in the order of the legend.
        title: above the map.
    """
    parts = []
    for outcome, said in words.items():
        rows = frame[frame["outcome"] == outcome]
        if rows.empty:
            continue
        colour, (bokeh_marker, matplotlib_marker), size, area = _OUTCOMES[outcome]
        parts.append(
            styled(
                hv.Points(
                    rows,
                    ["x", "y"],
                    ["row", "polluted_label", "clean_label"],
                    label=literal(f"{said} ({len(rows)} of {len(frame)})"),
                ),
                bokeh={"color": colour, "marker": bokeh_marker, "size": size, "tools": ["hover", "tap"]},
                matplotlib={"color": colour, "marker": matplotlib_marker, "s": area},
            )
        )
    shown = {"title": title, "xaxis": None, "yaxis": None}
    return styled(
        hv.Overlay(parts),
        bokeh={**shown, "width": 520, "height": 460, "legend_position": "bottom", "legend_cols": 2},
        matplotlib={**shown, "fig_inches": (6, 5), "aspect": "square", "legend_position": "right"},
    )


def looks_of(groups: Mapping[str, str], models: Mapping[str, str]) -> dict[str, Style]:
    """A colour for each group: that which its model has in every figure, where all are of different models.

    Args:
        groups: names by letter.
        models: labels of models by letter.
    """
    labels = dict(models) if len(set(models.values())) == len(models) else dict(groups)
    found = styles(labels.values())
    return {letter: found[label] for letter, label in labels.items()}


def _difference(points: pd.DataFrame, label: str, look: Style, xlabel: str) -> list[hv.Element]:
    x = hv.Dimension("step", label=xlabel)
    step, value = points["step"].to_numpy(dtype=float), points["difference"].to_numpy(dtype=float)
    low, high = (np.where(np.isfinite(points[name]), points[name], value) for name in ("low", "high"))
    curve = hv.Curve((step, value), x, "difference", label=literal(label))
    found = [
        styled(
            hv.Area((step, low, high), x, ["low", "high"]),
            bokeh={"color": look.colour, "alpha": 0.18, "line_alpha": 0},
            matplotlib={"facecolor": look.colour, "edgecolor": look.colour, "alpha": 0.18, "linewidth": 0},
        ),
        styled(
            curve,
            bokeh={"color": look.colour, "line_width": 2, "tools": ["hover"]},
            matplotlib={"color": look.colour, "linewidth": 1.8},
        ),
    ]
    return found if len(step) > 1 else [_bar(points, look, x), *found[1:], _point(curve, look)]


def _bar(points: pd.DataFrame, look: Style, x: hv.Dimension) -> hv.Element:
    reach = np.nan_to_num(0.5 * (points["high"] - points["low"]).to_numpy(dtype=float))
    return styled(
        hv.ErrorBars((points["step"], points["difference"], reach), x, ["difference", "reach"]),
        bokeh={"line_color": look.colour, "upper_head": None, "lower_head": None, "line_alpha": 0.6},
        matplotlib={"edgecolor": look.colour, "capthick": 0, "alpha": 0.6, "linewidth": 1},
    )


def _point(curve: hv.Curve, look: Style) -> hv.Element:
    return styled(
        hv.Scatter(curve.data, curve.kdims, curve.vdims, label=curve.label),
        bokeh={"color": look.colour, "marker": look.bokeh_marker, "size": 8, "tools": ["hover"]},
        matplotlib={"color": look.colour, "marker": look.matplotlib_marker, "s": 36},
    )
