"""Margins of single rows as ridges: where unlearned models stand between oracles and models before unlearning."""

from __future__ import annotations

from typing import Any, Final

import holoviews as hv
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qlab.views.backends import literal, styled
from qlab.views.panels import BLUE, ORANGE, coloured, row

Floats = NDArray[np.float64]

_STYLES: Final = {"oracles": ("#777777", 0.45), "before": (ORANGE, 0.25), "unlearned": (BLUE, 0.45)}
"""Colour and opacity of each kind of models, in the order in which they are drawn."""

CLIP: Final = 100.0
"""As of :data:`qlab.audits.klom.CLIP`."""

_POINTS, _HEIGHT, _MARGIN = 160, 0.85, 0.12
_COLUMNS = 4


def ridges(table: pd.DataFrame) -> hv.Layout:
    """Densities of margins of the worst, the median and the best row by KLoM, a panel for each title and set of rows.

    A margin above 0 gives the row the label that it was trained with, true or not. The worst row, whose margins are
    farthest from those of oracles, stands on top. As in KLoM margins are cut off at +-100. Densities are Gaussian
    kernel estimates (Scott's rule), each scaled to the same height: compare where they stand and how wide they are.

    Args:
        table: columns ``title``, ``rows``, ``rank``, ``row``, ``klom``, ``models`` and ``margin``, see
            :func:`qlab.reading.margins.margins_of_runs`.
    """
    groups: Any = table.groupby(["title", "rows"], sort=False)
    panels = [_panel(own, f"{title}: {rows} rows by KLoM") for (title, rows), own in groups]
    methods = len(table["title"].drop_duplicates())
    sets = len(table["rows"].drop_duplicates())
    return row(panels, columns=sets if methods > 1 and sets > 1 else min(_COLUMNS, len(panels)))


def _panel(table: pd.DataFrame, heading: str) -> hv.Overlay:
    table = table.assign(margin=table["margin"].clip(-CLIP, CLIP))
    low, high = float(table["margin"].min()), float(table["margin"].max())
    space = _MARGIN * (high - low) or 1.0
    x = np.linspace(low - space, high + space, _POINTS)
    ranks: Any = table.groupby("rank", sort=False)
    count = ranks.ngroups
    parts: list[Any] = []
    ticks = []
    for place, (rank, own) in enumerate(ranks):
        base = float(count - 1 - place)
        ticks.append((base, f"{rank} {own['klom'].iloc[0]:.1f}"))
        for models, (colour, opacity) in _STYLES.items():
            margins = own.loc[own["models"] == models, "margin"].to_numpy(dtype=float)
            if len(margins):
                top = base + _HEIGHT * density(margins, x)
                label = {"label": literal(models)} if place == 0 else {}
                parts += _filled(x, base, top, colour, opacity, label)
    parts.append(
        styled(
            hv.VLine(0.0),
            bokeh={"color": "#555555", "line_width": 1, "line_dash": "dotted"},
            matplotlib={"color": "#555555", "linewidth": 1, "linestyle": ":"},
        )
    )
    shown: dict[str, Any] = {
        "title": heading,
        "xlabel": "margin",
        "ylabel": "",
        "xticks": 5,
        "yticks": ticks,
        "ylim": (-0.15, count + 0.45),
        "show_legend": True,
        "legend_position": "top_left",
    }
    return styled(
        hv.Overlay(parts),
        bokeh={**shown, "width": 420, "height": 340, "fontsize": {"title": "9pt"}, "legend_cols": len(_STYLES)},
        matplotlib={**shown, "aspect": 1.3, "fontsize": {"title": 8, "legend": 8}, "legend_cols": len(_STYLES)},
    )


def density(margins: Floats, x: Floats) -> Floats:
    """A Gaussian kernel estimate with Scott's bandwidth on a grid, scaled so that its largest value is 1.

    Models that all say the same have no width: they are drawn as wide as two steps of the grid.
    """
    step = float(x[1] - x[0])
    spread = float(margins.std(ddof=1)) if len(margins) > 1 else 0.0
    bandwidth = max(spread * len(margins) ** -0.2, 2.0 * step)
    kernels: Floats = np.exp(-0.5 * ((x[:, None] - margins) / bandwidth) ** 2).sum(1)
    scaled: Floats = kernels / kernels.max()
    return scaled


def _filled(x: Floats, base: float, top: Floats, colour: str, opacity: float, label: dict[str, str]) -> list[Any]:
    """An area and its upper edge, which the legend names."""
    area = styled(
        hv.Area((x, top, np.full(len(x), base)), "margin", ["density", "base"]),
        bokeh={"color": colour, "alpha": opacity, "line_alpha": 0.0},
        # HoloViews' default cycles through colours of both names.
        matplotlib={"color": colour, "facecolor": colour, "alpha": opacity, "linewidth": 0.0},
    )
    return [area, coloured(hv.Curve((x, top), "margin", "density", **label), colour)]
