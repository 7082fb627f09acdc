"""Heat maps of a metric over two swept params, for pages and pictures."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, Final

import holoviews as hv
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qlab.views.backends import literal, styled
from qlab.views.behind import BEHIND
from qlab.views.grids import Axis, Grid
from qlab.views.readable import spread_text

COLOURS: Final = "viridis"
"""Of values: told apart with every common colour vision, and brighter the higher."""

CENTRED: Final = "RdBu"
"""Of differences: red below zero, blue above, which no common colour vision confuses; white at zero."""

MISSING: Final = "#E4E4E4"

DASHES: Final = (("solid", "-"), ("dashed", "--"), ("dotted", ":"), ("dashdot", "-."))
"""How contours are drawn, from the highest on: in Bokeh's words and in Matplotlib's."""


def drawn(maps: Sequence[Grid]) -> hv.Layout:
    """Maps as a HoloViews object: in rows of two, values beside differences, whose colours are centred at zero.

    Places on the axes are those that were tried, equally far from each other; cells without a value are crossed out.
    Contours run along the edges of cells.
    """
    columns = min(2, len(maps))
    width = 2.6 + 0.55 * max((len(grid.x.values) for grid in maps), default=1)
    width = min(max(width, 5.2), 9.0)
    return styled(
        hv.Layout([_panel(grid) for grid in maps]).cols(columns),
        bokeh={"shared_axes": False},
        matplotlib={
            "shared_axes": False,
            "fig_inches": (width * columns, 4.2 * -(-len(maps) // columns)),
            "hspace": 0.5,
            "vspace": 0.6,
            "sublabel_format": "",
        },
    )


def _panel(grid: Grid) -> hv.Overlay:
    parts: list[Any] = [*_rectangles(grid), *_crosses(grid), *_contours(grid), *_texts(grid)]
    shown: dict[str, Any] = {
        "title": "\n".join(filter(None, (grid.title, grid.quantity))),
        "xlabel": grid.x.label,
        "ylabel": grid.y.label,
        "xticks": _ticks(grid.x),
        "yticks": _ticks(grid.y),
        "xlim": grid.x.limits,
        "ylim": grid.y.limits,
        "show_legend": bool(grid.levels),
        "xrotation": 45 if sum(map(len, grid.x.texts)) > 40 else 0,
    }
    legend = {"legend_position": "bottom"}
    return styled(
        hv.Overlay(parts),
        bokeh={**shown, **legend, "legend_cols": 4, "width": 460, "height": 400},
        matplotlib={**shown, **legend, "legend_cols": 2, "aspect": 1.25, "fontsize": {"title": 10, "legend": 8}},
    )


def _ticks(axis: Axis) -> list[tuple[float, str]]:
    return [(float(place), literal(text)) for place, text in zip(axis.centres, axis.texts, strict=True)]


def _rectangles(grid: Grid) -> list[hv.Rectangles]:
    """The cells, with what is said of them when the pointer is on one; those without a value in grey."""
    said = [
        (literal(grid.x.label), "@across"),
        (literal(grid.y.label), "@up"),
        ("difference, same seeds" if grid.centred else "mean ± s.d.", "@said"),
        ("runs", "@counts"),
        *([("which", f"@{BEHIND}")] if BEHIND in grid.table else []),
        *([("control", "@note")] if grid.centred else []),
    ]
    hover: dict[str, Any] = {"line_color": "#FFFFFF", "line_width": 0.5, "tools": ["hover"], "hover_tooltips": said}
    edges: dict[str, Any] = {"edgecolor": "#FFFFFF", "linewidth": 0.5}
    coloured: dict[str, Any] = {
        "color": "value",
        "cmap": CENTRED if grid.centred else COLOURS,
        "clim": grid.limits,
        "colorbar": True,
        "clabel": "difference" if grid.centred else "mean",
    }
    every = _told(grid)
    known = np.isfinite(every["value"].to_numpy(dtype=float))
    found = []
    for own, colours in ((every[known], coloured), (every[~known], {"color": MISSING})):
        if len(own):
            names = list(own.columns)
            cells = hv.Rectangles(own, kdims=names[:4], vdims=names[4:])
            found.append(styled(cells, bokeh={**colours, **hover}, matplotlib={**colours, **edges}))
    return found


def _told(grid: Grid) -> pd.DataFrame:
    """Corners of cells, their values, and these with counts as text; of pairs that were not tried, too."""
    rows = []
    x_texts, y_texts = (dict(zip(axis.values, axis.texts, strict=True)) for axis in (grid.x, grid.y))
    known = {(row["x"], row["y"]): row for row in grid.table.to_dict("records")}
    untried = {"value": np.nan, "std": np.nan, "n": 0, "runs": 0, "left_out": "", "note": "not tried"}
    for pair in itertools.product(grid.x.values, grid.y.values):
        row = known.get(pair, untried | dict(zip("xy", pair, strict=True)))
        x, y = grid.place(row)
        lost = f"; left out: {row['left_out']}" if row["left_out"] else ""
        of = f" of {row['runs']}" if row["runs"] != row["n"] or not grid.centred else ""
        rows.append(
            {"x0": x - 0.5, "y0": y - 0.5, "x1": x + 0.5, "y1": y + 0.5, "value": row["value"]}
            | {"across": x_texts[row["x"]], "up": y_texts[row["y"]]}
            | {"said": str(spread_text(row["value"], row["std"], row["n"] or None))}
            | {"counts": f"{row['n']}{of}{lost}", "note": row["note"], BEHIND: row.get(BEHIND, "")}
        )
    return pd.DataFrame(rows)


def _crosses(grid: Grid) -> list[hv.Element]:
    """A cross through each cell without a value."""
    lines: list[tuple[float, float]] = []
    for x, y in grid.missing():
        for sign in (-1.0, 1.0):
            lines += [(x - 0.4, y - 0.4 * sign), (x + 0.4, y + 0.4 * sign), (np.nan, np.nan)]
    if not lines:
        return []
    points = np.array(lines[:-1])
    return [
        styled(
            hv.Curve((points[:, 0], points[:, 1]), "x", "y"),
            bokeh={"color": "#999999", "line_width": 1},
            matplotlib={"color": "#999999", "linewidth": 0.8},
        )
    ]


def contours(grid: Grid) -> Iterator[tuple[str, tuple[str, str], NDArray[np.float64], NDArray[np.float64]]]:
    """The contours that there are, from the highest on: label, dashes of both backends, and lines."""
    for level, dashes in zip(sorted(grid.levels, reverse=True), DASHES * len(grid.levels), strict=False):
        x, y = grid.contour(level)
        if len(x):
            yield literal(f"contour {level:g}"), dashes, x, y


def _contours(grid: Grid) -> list[hv.Element]:
    """Black on white, to be seen on all colours."""
    found = []
    for label, (dash, mpl_dash), x, y in contours(grid):
        found += [
            styled(
                hv.Curve((x, y), "x", "y"),
                bokeh={"color": "#FFFFFF", "line_width": 5},
                matplotlib={"color": "#FFFFFF", "linewidth": 3.6},
            ),
            styled(
                hv.Curve((x, y), "x", "y", label=label),
                bokeh={"color": "#000000", "line_width": 2.5, "line_dash": dash},
                matplotlib={"color": "#000000", "linewidth": 1.8, "linestyle": mpl_dash},
            ),
        ]
    return found


def _texts(grid: Grid) -> list[hv.Element]:
    written = list(grid.texts())
    found = []
    for dark, colour in ((False, "#000000"), (True, "#FFFFFF")):
        own = [(x, y, text) for x, y, text, is_dark in written if is_dark == dark]
        if own:
            found.append(
                styled(
                    hv.Labels(own, ["x", "y"], "text"),
                    bokeh={"text_color": colour, "text_font_size": "8pt"},
                    matplotlib={"color": colour, "size": 7.5},
                )
            )
    return found
