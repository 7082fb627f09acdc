"""Deviations around a line: a band, or a bar where there is a single point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import holoviews as hv

from qlab.views.backends import styled


def deviations(data: Sequence[Any], x: hv.Dimension, colour: str, alpha: float = 0.18) -> hv.Element:
    """What is drawn for deviations on both sides of means; a band of one point would have no width.

    Args:
        data: positions, means and deviations, of equal length.
        x: the dimension of positions.
        colour: of the line.
        alpha: how opaque a band is.
    """
    if len(data[0]) == 1:
        return styled(
            hv.ErrorBars(tuple(data), x, ["mean", "deviation"]),
            bokeh={"line_color": colour, "upper_head": None, "lower_head": None, "line_alpha": 0.6},
            matplotlib={"edgecolor": colour, "capthick": 0, "alpha": 0.6, "linewidth": 1},
        )
    return styled(
        hv.Spread(tuple(data), x, ["mean", "deviation"]),
        bokeh={"color": colour, "alpha": alpha, "line_alpha": 0},
        matplotlib={"color": colour, "facecolor": colour, "edgecolor": colour, "alpha": alpha, "linewidth": 0},
    )
