"""The data as two maps, before unlearning and after: which rows a model gets right."""

from __future__ import annotations

from typing import Any, Final

import holoviews as hv
import pandas as pd

from qlab.views.backends import styled
from qlab.views.verdicts import KINDS, verdicts

_SIZES: Final = (6, 7, 8, 8)
"""Of markers, in the order of :data:`qlab.views.verdicts.KINDS`, pixels."""


def before_and_after(rows: pd.DataFrame) -> hv.Layout:
    """Two maps side by side with the same places and one legend.

    Args:
        rows: columns ``x``, ``y``, ``row``, ``polluted_label``, ``clean_label``, ``before`` and ``after`` (whether
            right), see :func:`qlab.reading.before_after.judged`.
    """
    panels = [_map(rows, name) for name in ("before", "after")]
    return styled(
        hv.Layout(panels).cols(2),
        bokeh={"shared_axes": False},
        matplotlib={"fig_inches": (11, 4.6), "sublabel_format": "", "hspace": 0.4},
    )


def _map(rows: pd.DataFrame, name: str) -> hv.Overlay:
    right = rows[name].astype(bool)
    corrupted = rows["polluted_label"] != rows["clean_label"]
    if "corrupted" in rows:
        corrupted = rows["corrupted"].astype(bool)
    parts: list[Any] = []
    places = verdicts(right, corrupted)
    for place, ((words, colour, (bokeh_marker, matplotlib_marker)), size) in enumerate(zip(KINDS, _SIZES, strict=True)):
        own = rows[places == place]
        told = ["row", "polluted_label", "clean_label", f"{name}_class"]
        parts.append(
            styled(
                hv.Points(own, ["x", "y"], told, label=words),
                bokeh={"color": colour, "marker": bokeh_marker, "size": size, "tools": ["hover", "tap"]},
                matplotlib={"color": colour, "marker": matplotlib_marker, "s": 3 * size},
            )
        )
    shown = {
        "title": f"{name} unlearning: {int(right.sum())} of {len(rows)} rows right",
        "xaxis": None,
        "yaxis": None,
    }
    return styled(
        hv.Overlay(parts),
        bokeh={**shown, "width": 520, "height": 460, "legend_position": "bottom", "legend_cols": 2},
        matplotlib={**shown, "aspect": "square", "legend_position": "right", "show_legend": name == "after"},
    )
