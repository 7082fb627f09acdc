"""Means and deviations of any metric against any param: every run is in a row, or the row says why it is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from qlab.reading.axes import Axes, positions
from qlab.reading.tidy import LABELS, Kind
from qlab.tracking.groups import RATIO
from qlab.views.alike import without
from qlab.views.kept import ending, flaws, joined, numbers_of, spread
from qlab.views.labels import in_order, labelled


def summary(frame: pd.DataFrame, axes: Axes, kind: Kind) -> pd.DataFrame:
    """One row for each model, corruption, ratio (method, probe) and value of the param.

    Columns: those; the param under its name (the ratio as ``ratio``), then ``<metric>_mean``, ``<metric>_std`` (n - 1;
    NaN for one run) over the runs kept, ``kept``, ``runs`` and ``left_out``. A run is kept if it finished, did not
    diverge, and has all of the metrics as finite numbers.

    Args:
        frame: one row for each run of the kind.
        axes: what is asked for.
        kind: of the runs.
    """
    labels = grouped(frame, axes, kind)
    keys = [*LABELS[kind], *([] if axes.against_ratio else [axes.x])]
    rows = []
    for key, group in labels.groupby(keys, sort=False, dropna=False):
        kept = group[group["reason"] == ""]
        row: dict[str, Any] = dict(zip(keys, key, strict=True))
        for metric in axes.y:
            row[f"{metric}_mean"], row[f"{metric}_std"] = spread(kept[f"{metric} of"].to_numpy())
        reasons = joined([*group["reason"], *group["unplaced"]])
        rows.append(row | {"kept": len(kept), "runs": len(group), "left_out": reasons})
    columns = [*keys, *(f"{metric}_{part}" for metric in axes.y for part in ("mean", "std"))]
    return in_order(pd.DataFrame(rows, columns=[*columns, "kept", "runs", "left_out"]), keys)


def grouped(frame: pd.DataFrame, axes: Axes, kind: Kind) -> pd.DataFrame:
    """What each run belongs to, its place on the axis, its metrics, and the ``reason`` if it is not kept.

    Args:
        frame: one row for each run of the kind.
        axes: what is asked for.
        kind: of the runs.
    """
    named = {"unlearning": "method", "probes": "probe"}
    alike = frame if axes.against_ratio else without(frame, [axes.x])
    labels = labelled(alike, named.get(kind), axes.by)  # type: ignore[arg-type]
    place = labels["ratio"] if axes.against_ratio else positions(frame, axes.x)
    if not axes.against_ratio:
        labels[axes.x] = place
    labels["unplaced"] = np.where(place.isna(), f"no {'corruption ratio' if axes.against_ratio else axes.x}", "")
    for metric in axes.y:
        labels[f"{metric} of"] = numbers_of(frame, metric)
    found = zip(ending(frame), *(flaws(frame, metric) for metric in axes.y), strict=True)
    reasons = [ended or ", ".join(filter(None, own)) for ended, *own in found]
    return labels.assign(reason=pd.Series(reasons, index=frame.index, dtype=str))


def x_column(axes: Axes) -> str:
    """The column of a summary that holds the places on the axis."""
    return "ratio" if axes.x == RATIO else axes.x
