"""Panels that pictures of landscapes are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import holoviews as hv
import numpy as np
from numpy.typing import NDArray

from qlab.views.backends import literal, styled
from qlab.views.drawn import Drawn
from qlab.views.limits import finite_limits

BLUE, ORANGE = "#0072B2", "#E69F00"
"""Colours of a first and a second curve."""


def title(result: Drawn) -> str:
    """Model, point and samples of a result, in a line."""
    about = result.about
    model = about.get("model", {}).get("type", "model") if isinstance(about.get("model"), dict) else "model"
    return f"{model} at {about.get('centre', '?')}, {about.get('rows', '?')} {about.get('samples', '')} samples"


def line(
    x: NDArray[np.float64],
    losses: Mapping[str, NDArray[np.float64]],
    accuracies: Mapping[str, NDArray[np.float64]],
    xlabel: str,
    heading: str,
    places: Mapping[float, str],
) -> hv.Layout:
    """Loss and accuracy along one axis, side by side."""
    return row(
        [
            curves(x, losses, xlabel, "loss", heading, places),
            curves(x, accuracies, xlabel, "accuracy", heading, places, (-0.03, 1.03)),
        ]
    )


def curves(
    x: NDArray[np.float64],
    values: Mapping[str, NDArray[np.float64]],
    xlabel: str,
    ylabel: str,
    heading: str,
    places: Mapping[float, str],
    ylim: tuple[float, float] | None = None,
) -> hv.Overlay:
    """One or two curves over one axis, with vertical lines at named places.

    Args:
        x: the axis, shape ``[n]``.
        values: curves by name, ``[n]`` each; a single one gets no legend.
        xlabel: of the axis.
        ylabel: of the curves.
        heading: above the panel.
        places: what lies where on the axis.
        ylim: of the curves' axis.
    """
    parts: list[Any] = []
    for (name, y), colour in zip(values.items(), (BLUE, ORANGE), strict=False):
        labelled = {"label": literal(name)} if len(values) > 1 else {}
        parts.append(coloured(hv.Curve((x, y), xlabel, ylabel, **labelled), colour))
    top = ylim[1] if ylim else max(finite_limits(y)[1] for y in values.values())
    for place, name in places.items():
        parts.append(
            styled(
                hv.VLine(place),
                bokeh={"color": "#999999", "line_dash": "dotted", "line_width": 1},
                matplotlib={"color": "#999999", "linestyle": ":", "linewidth": 1},
            )
        )
        parts.append(
            styled(
                # The last name stands to the left of its line, to stay inside the panel.
                hv.Text(place, top, f" {name} ", halign="right" if place >= x[-1] else "left", valign="top"),
                bokeh={"text_font_size": "9pt", "text_color": "#555555"},
                matplotlib={"fontsize": 9, "color": "#555555"},
            )
        )
    shown: dict[str, Any] = {"title": heading, "xlabel": xlabel, "ylabel": ylabel}
    if ylim is not None:
        shown["ylim"] = ylim
    return styled_panel(hv.Overlay(parts), shown)


def styled_panel(overlay: hv.Overlay, shown: dict[str, Any]) -> hv.Overlay:
    """An overlay with options of both backends, as large as the other panels of landscapes."""
    return styled(
        overlay,
        bokeh={**shown, "show_grid": True, "width": 460, "height": 360},
        matplotlib={**shown, "show_grid": True, "aspect": 1.25},
    )


def row(panels: list[Any], columns: int | None = None) -> hv.Layout:
    """Panels side by side, each with its own axes; in several rows if ``columns`` says so."""
    columns = min(columns or len(panels), len(panels))
    rows = -(-len(panels) // columns)
    return styled(
        hv.Layout(panels).cols(columns),
        bokeh={"shared_axes": False},
        matplotlib={
            "shared_axes": False,
            "fig_inches": (5.5 * columns, 4.2 * rows),
            "hspace": 0.3,
            "vspace": 0.4,
            "sublabel_format": "",
            "tight": True,
        },
    )


def coloured(curve: hv.Curve, colour: str) -> hv.Curve:
    """A curve of a colour."""
    return styled(
        curve,
        bokeh={"color": colour, "line_width": 2, "tools": ["hover"]},
        matplotlib={"color": colour, "linewidth": 1.8},
    )
