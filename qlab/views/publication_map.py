"""Heat maps at the size they are printed, see :mod:`qlab.views.publication`."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from qlab.views.backends import literal
from qlab.views.grids import Grid
from qlab.views.heat_map import CENTRED, COLOURS, MISSING, contours
from qlab.views.publication import Format, write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NARROWEST: Final = 2.4
"""Inches; maps that would be narrower stand below each other."""

_LETTER: Final = 0.6
"""The mean width of a letter in units of the text's size."""


def save(maps: Sequence[Grid], path: Path, form: Format, dpi: int = 300) -> Path:
    """Draws maps into a file of the kind that its suffix says, as wide as asked for.

    Args:
        maps: what to draw, see :func:`qlab.views.grids.grids`.
        path: the file, with one of the suffixes of :data:`qlab.views.publication.FORMATS`.
        form: how it is printed; axes are never logarithmic, whose places are those that were tried.
        dpi: dots per inch of a PNG file.
    """
    return write(lambda: draw(maps, form), path, form, dpi)


def draw(maps: Sequence[Grid], form: Format) -> Figure:
    """Maps as a Matplotlib figure; to be called with :func:`qlab.views.publication.settings` in force.

    Maps of one quantity share a bar of colours; the legend of contours stands below.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(max(1, int(form.width / _NARROWEST)), len(maps))
    if any(grid.centred for grid in maps) and columns > 1:
        columns -= columns % 2  # values beside differences
    rows = -(-len(maps) // columns)
    height = rows * (form.width / columns / form.aspect + 0.35) + 0.35
    figure = Figure(figsize=(form.width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = np.asarray(figure.subplots(rows, columns, squeeze=False)).reshape(-1)
    for own in axes[len(maps) :]:
        own.set_axis_off()
    handles: dict[str, Any] = {}
    for place, (own, grid) in enumerate(zip(axes, maps, strict=False)):
        colours = _fill(own, grid, form, handles)
        own.set_title(textwrap.fill(literal(grid.title), _letters(form.width / columns, form)))
        own.set_ylabel(literal(grid.y.label))
        if place + columns >= len(maps):  # those below have the same axis
            own.set_xlabel(literal(grid.x.label))
        bar = figure.colorbar(colours, ax=own)
        bar.set_label(textwrap.fill(literal(grid.quantity), _letters(form.width / columns / form.aspect, form)))
        bar.outline.set_linewidth(0.4)
    if handles:
        figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=4, frameon=False)
    return figure


def _letters(inches: float, form: Format) -> int:
    return max(10, int(72.0 * inches / (form.font_size * _LETTER)))


def _fill(axes: Any, grid: Grid, form: Format, handles: dict[str, Any]) -> Any:
    """Draws a map; its colours, for a bar."""
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    placed = [(grid.place(row), row["value"]) for row in grid.table.to_dict("records") if np.isfinite(row["value"])]
    cells = PatchCollection(
        [Rectangle((x - 0.5, y - 0.5), 1.0, 1.0) for (x, y), _ in placed],
        cmap=CENTRED if grid.centred else COLOURS,
        edgecolor="#FFFFFF",
        linewidth=0.4,
    )
    cells.set_array(np.array([value for _, value in placed], dtype=float))
    cells.set_clim(*grid.limits)
    axes.add_collection(cells)
    for x, y in grid.missing():
        axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1.0, 1.0, facecolor=MISSING, edgecolor="#FFFFFF", linewidth=0.4))
        axes.plot([x - 0.4, x + 0.4, np.nan, x - 0.4, x + 0.4], [y - 0.4, y + 0.4, np.nan, y + 0.4, y - 0.4], **_CROSS)
    for label, (_, dash), x_line, y_line in contours(grid):
        axes.plot(x_line, y_line, color="#FFFFFF", linewidth=2.4)
        (line,) = axes.plot(x_line, y_line, color="#000000", linewidth=1.2, linestyle=dash)
        handles.setdefault(label, line)
    for x, y, text, dark in grid.texts():
        size = _text_size(form, grid, text)
        axes.text(x, y, text, ha="center", va="center", fontsize=size, color="#FFFFFF" if dark else "#000000")
    axes.set_xlim(*grid.x.limits)
    axes.set_ylim(*grid.y.limits)
    axes.set_xticks(grid.x.centres, [literal(text) for text in grid.x.texts])
    axes.set_yticks(grid.y.centres, [literal(text) for text in grid.y.texts])
    if sum(map(len, grid.x.texts)) > 28:
        axes.tick_params(axis="x", rotation=45)
    return cells


_CROSS: Final[dict[str, Any]] = {"color": "#999999", "linewidth": 0.5, "marker": ""}


def _text_size(form: Format, grid: Grid, text: str) -> float:
    """As large as the cell allows; journals take no less than five points."""
    longest = max(map(len, text.split("\n")))
    width = 72.0 * min(form.width, 3.4) * 0.5 / (len(grid.x.values) * max(longest, 1) * 0.62)
    return float(min(max(width, 4.0), form.font_size - 1.0))
