"""The data as a map, with what a model says of each row: which class, and whether that is right."""

from __future__ import annotations

from typing import Any, Final, Literal

import holoviews as hv
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from qlab.views import verdicts
from qlab.views.backends import styled

Judged = Literal["clean", "given"]

LABELS: Final[dict[Judged, str]] = {"clean": "clean_label", "given": "polluted_label"}
"""Columns of the labels by which a decision is right: those before corruption, or those that are trained on."""

KINDS: Final = (*verdicts.KINDS, ("says nothing", "#999999", ("square", "s")))
"""What there is to see, with colours and both backends' markers."""

VERDICT: Final = "verdict"


def decided(frame: pd.DataFrame, logits: NDArray[np.float64], judged: Judged = "clean") -> pd.DataFrame:
    """A map of rows with the columns ``probability`` (of class 1), ``says`` and :data:`VERDICT`.

    A row is of class 1 where its logit is positive; where it is not a number the model says nothing, which is wrong.

    Args:
        frame: see :func:`qlab.views.data_map.map_frame`.
        logits: of its rows, ``[N]``.
        judged: by which label a decision is right.
    """
    known = np.isfinite(logits) | np.isinf(logits)
    says = np.where(logits > 0, 1, 0)
    right = says == frame[LABELS[judged]].to_numpy()
    corrupted = frame["kind"].str.startswith("corrupted")
    places = np.where(known, verdicts.verdicts(right, corrupted), len(KINDS) - 1)
    told = [KINDS[int(place)][0] for place in places]
    return frame.assign(probability=expit(logits), says=np.where(known, says, -1), **{VERDICT: told})


def counts_of(frame: pd.DataFrame, judged: Judged) -> str:
    """How many rows are right, and how many of the corrupted ones follow either label, in words."""
    right = frame[VERDICT].str.startswith("right")
    words = "clean label" if judged == "clean" else "label given"
    text = f"{right.sum()} of {len(frame)} rows right by the {words}"
    corrupted = frame[frame["polluted_label"] != frame["clean_label"]]
    if len(corrupted):
        given = int((corrupted["says"] == corrupted["polluted_label"]).sum())
        text += f"; of {len(corrupted)} with another label than before, {given} as given"
    return text


def decision_map(frame: pd.DataFrame, title: str) -> hv.Overlay:
    """The map as a HoloViews object.

    Args:
        frame: see :func:`decided`.
        title: above it.
    """
    parts = []
    for kind, colour, (bokeh_marker, matplotlib_marker) in KINDS:
        rows = frame[frame[VERDICT] == kind]
        if rows.empty:
            continue
        told = ["row", "polluted_label", "clean_label", "probability"]
        points = hv.Points(rows, ["x", "y"], told, label=f"{kind} ({len(rows)} of {len(frame)})")
        parts.append(
            styled(
                points,
                bokeh={"color": colour, "marker": bokeh_marker, "size": 6, "tools": ["hover"]},
                matplotlib={"color": colour, "marker": matplotlib_marker, "s": 18},
            )
        )
    shown: dict[str, Any] = {"title": title, "xaxis": None, "yaxis": None}
    return styled(
        hv.Overlay(parts),
        bokeh={**shown, "width": 520, "height": 460, "legend_position": "bottom", "legend_cols": 2},
        matplotlib={**shown, "fig_inches": (6, 5), "aspect": "square", "legend_position": "right"},
    )
