"""The data as two maps, before unlearning and after: which rows a model gets right."""

from __future__ import annotations

from typing import Any, Final

import holoviews as hv
import pandas as pd

from qlab.views.backends import styled

_KINDS: Final = (
    ("right", True, False, "#0072B2", ("circle", "o"), 6),
    ("wrong", False, False, "#D55E00", ("circle", "o"), 7),
    ("right, corrupted row", True, True, "#0072B2", ("x", "X"), 8),
    ("wrong, corrupted row", False, True, "#D55E00", ("x", "X"), 8),
)
"""Colour: right or wrong. A cross: a corrupted row, as on the map of the data."""


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
    for words, is_right, is_corrupted, colour, (bokeh_marker, matplotlib_marker), size in _KINDS:
        own = rows[(right == is_right) & (corrupted == is_corrupted)]
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
