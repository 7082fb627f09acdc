"""Lines with deviations, in panels: what a figure says, before either backend draws it."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import holoviews as hv
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qlab.views.backends import literal, styled
from qlab.views.behind import pointed
from qlab.views.deviations import deviations
from qlab.views.dots import mean_dots
from qlab.views.kept import joined
from qlab.views.labels import ratio_text
from qlab.views.palette import Style, styles
from qlab.views.unlearning import counted
from qlab.views.words import named

RATIO = "ratio"

_DEVIATION = "deviation"


@dataclasses.dataclass(frozen=True, eq=False)
class Line:
    """One line of a panel; runs without a place or a value are not among its points, but counted.

    Args:
        name: for the legend.
        style: colour and marker.
        counts: how many runs are ``kept`` of how many ``runs``, and why others are ``left_out``.
        x: places, in order.
        mean: of the runs at each place.
        deviation: of the runs at each place, NaN for one run.
        points: the rows of the table behind the points, if they are to be told of.
    """

    name: str
    style: Style
    counts: Mapping[Hashable, Any]
    x: NDArray[np.float64]
    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    points: pd.DataFrame | None = None

    @property
    def label(self) -> str:
        """The name with the counts."""
        return counted(self.name, self.counts)


@dataclasses.dataclass(frozen=True, eq=False)
class Panel:
    """Lines over one axis.

    Args:
        title: what the panel shows that others do not; empty for the only one.
        xlabel: of the axis.
        ylabel: of the metric.
        lines: in the order of the legend.
        bounded: whether the metric is between 0 and 1.
        markers: whether points are marked.
    """

    title: str
    xlabel: str
    ylabel: str
    lines: tuple[Line, ...]
    bounded: bool
    markers: bool = True


def metric_panels(table: pd.DataFrame, x: str, metrics: Sequence[str], line: str = "model") -> list[Panel]:
    """A panel for each metric and everything else that the table tells apart.

    Args:
        table: see :func:`qlab.reading.summaries.summary`: columns for labels, ``x``, means and deviations of the
            metrics, ``kept``, ``runs`` and ``left_out``.
        x: the column over which lines run.
        metrics: whose means and deviations to draw.
        line: the column that tells lines apart.
    """
    by_line = styles(str(name) for name in table[line].unique())
    return [
        Panel(
            title,
            named("corruption.ratio" if x == RATIO else x),
            named(metric),
            tuple(
                _line(own, x, metric, str(name), by_line[str(name)])
                for name, own in rows.groupby(line, sort=False, dropna=False)
            ),
            "accuracy" in metric,
        )
        for title, rows in panel_groups(table, x, line)
        for metric in metrics
    ]


def panel_groups(table: pd.DataFrame, x: str, line: str = "model") -> list[tuple[str, pd.DataFrame]]:
    """The rows of a table by what its panels are of, with their titles, in the order of :func:`metric_panels`."""
    apart = [name for name in ("experiment", "model", "corruption", "ratio", "probe") if name in table]
    told = [name for name in apart if name not in (line, x) and table[name].nunique(dropna=False) > 1]
    if not told:
        return [("", table)]
    grouped = table.groupby(told, sort=False, dropna=False)
    return [(_title(dict(zip(told, _tuple(key), strict=True)), table), rows) for key, rows in grouped]


def step_panels(curves: pd.DataFrame, table: pd.DataFrame, metrics: Sequence[str]) -> list[Panel]:
    """A panel for each metric, model, corruption and ratio: a line over steps for each unlearning method.

    Args:
        curves: see :func:`qlab.views.unlearning.curves_of`.
        table: see :func:`qlab.views.unlearning.summarize_unlearning`.
        metrics: which.
    """
    by_method = styles(table["method"].unique())
    told = [name for name in ("experiment", "model", "corruption", "ratio") if name in table]
    panels = []
    for key, own in table.groupby(told, sort=False, dropna=False):
        values = dict(zip(told, _tuple(key), strict=True))
        here = np.ones(len(curves), dtype=bool)
        for name, value in values.items():
            here &= (curves[name].isna() if pd.isna(value) else curves[name] == value).to_numpy()
        rows = curves[here]
        for metric in metrics:
            lines = []
            for counts in own.to_dict("records"):
                method = str(counts["method"])
                points = rows[(rows["metric"] == metric) & (rows["method"] == method)].sort_values("step")
                x, mean, deviation = (_floats(points[name]) for name in ("step", "mean", "deviation"))
                lines.append(Line(method, by_method[method], counts, x, mean, deviation))
            title = _title({name: value for name, value in values.items() if table[name].nunique() > 1}, table)
            panels.append(Panel(title, "unlearning step", named(metric), tuple(lines), "accuracy" in metric, False))
    return panels


def legend(panels: Sequence[Panel]) -> dict[str, str]:
    """A label for each name of a line, one for all panels: runs that are in several metrics' panels count once."""
    counts: dict[str, dict[str, Mapping[Hashable, Any]]] = {}
    for panel in panels:
        for line in panel.lines:
            counts.setdefault(line.name, {}).setdefault(panel.title, line.counts)
    return {
        name: counted(
            name,
            {
                "kept": sum(int(own["kept"]) for own in parts.values()),
                "runs": sum(int(own["runs"]) for own in parts.values()),
                "left_out": joined(str(own["left_out"]) for own in parts.values()),
            },
        )
        for name, parts in counts.items()
    }


def drawn(panels: Sequence[Panel], *, log_x: bool = False, columns: int = 2) -> hv.Layout:
    """Panels as a HoloViews object, on a page or in a notebook."""
    found = []
    for place, panel in enumerate(panels):
        parts: list[Any] = [part for line in panel.lines for part in _parts(line, panel)]
        shown: dict[str, Any] = {
            **{"xlabel": panel.xlabel, "ylabel": panel.ylabel, "title": panel.title, "logx": log_x, "show_grid": True},
            **({"ylim": (-0.03, 1.03)} if panel.bounded else {}),
        }
        last = place % columns == min(columns, len(panels)) - 1
        found.append(
            styled(
                hv.Overlay(parts),
                bokeh={**shown, "legend_position": "bottom", "legend_cols": 1, "width": 420, "height": 430},
                matplotlib={**shown, "legend_position": "right", "show_legend": last},
            )
        )
    return styled(
        hv.Layout(found).cols(columns),
        bokeh={"shared_axes": False},
        matplotlib={"fig_inches": (11, 4), "hspace": 0.25, "vspace": 0.4, "sublabel_format": ""},
    )


def _parts(line: Line, panel: Panel) -> list[hv.Element]:
    x = hv.Dimension("x", label=panel.xlabel)
    colour = line.style.colour
    curve = hv.Curve((line.x, line.mean), x, "mean", label=literal(line.label))
    found = [
        deviations((line.x, line.mean, np.nan_to_num(line.deviation)), x, colour),
        styled(curve, bokeh={"color": colour, "line_width": 2}, matplotlib={"color": colour, "linewidth": 1.8}),
    ]
    if panel.markers:
        places = pd.DataFrame({"x": line.x, "mean": line.mean})
        said = None
        if line.points is not None:
            told, said = pointed(panel.xlabel, "x", line.points, "mean", _DEVIATION, "kept", "runs")
            places = places.join(told.reset_index(drop=True))
        found.append(mean_dots(places, x, line.label, line.style, said))
    return found


def _line(rows: pd.DataFrame, x: str, metric: str, name: str, style: Style) -> Line:
    placed = rows[rows[x].notna() & (rows["kept"] > 0)].sort_values(x)
    counts: dict[Hashable, Any] = {
        "kept": placed["kept"].sum(),
        "runs": rows["runs"].sum(),
        "left_out": joined(rows["left_out"]),
    }
    return Line(
        name,
        style,
        counts,
        _floats(placed[x]),
        _floats(placed[f"{metric}_mean"]),
        _floats(placed[f"{metric}_std"]),
        placed.assign(**{_DEVIATION: placed[f"{metric}_std"]}),
    )


def _title(values: dict[str, Any], table: pd.DataFrame) -> str:
    """What a panel is of, in words."""
    texts = {name: ratio_text(value, table["ratio"]) if name == RATIO else str(value) for name, value in values.items()}
    if "corruption" not in texts and RATIO in texts:
        texts[RATIO] = f"corruption ratio {texts[RATIO]}"
    corruption = " ".join(texts[name] for name in ("corruption", RATIO) if name in texts)
    others = [text for name, text in texts.items() if name not in ("corruption", RATIO)]
    return ", ".join([*others, *([corruption] if corruption else [])])


def _tuple(key: Any) -> tuple[Any, ...]:
    return key if isinstance(key, tuple) else (key,)


def _floats(values: Any) -> NDArray[np.float64]:
    return np.asarray(values, dtype=float)
