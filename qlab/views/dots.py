"""Markers of means, which say of what they are when they are pointed at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import holoviews as hv
import pandas as pd

from qlab.views.backends import literal, styled
from qlab.views.palette import Style


def mean_dots(
    places: pd.DataFrame, x: hv.Dimension, label: str, style: Style, said: Sequence[tuple[str, str]] | None = None
) -> hv.Scatter:
    """A marker for each row.

    Args:
        places: a column named as ``x``, then the means, then what is said of them (:func:`qlab.views.behind.pointed`).
        x: across.
        label: in the legend.
        style: colour and markers.
        said: what pointing at one tells, and in which words; None: all that is there.
    """
    bokeh: dict[str, Any] = {"color": style.colour, "marker": style.bokeh_marker, "size": 8, "tools": ["hover"]}
    return styled(
        hv.Scatter(places, x, [name for name in places if name != x.name], label=literal(label)),
        bokeh=bokeh if said is None else {**bokeh, "hover_tooltips": said},
        matplotlib={"color": style.colour, "marker": style.matplotlib_marker, "s": 36},
    )
