"""Audits side by side: bars of methods beside what oracles and trained models have."""

from __future__ import annotations

from typing import Any

import holoviews as hv
import numpy as np
import pandas as pd

from qlab.tracking.audit_names import FLOORS, SHOWN, TEACHER
from qlab.views.audit_tables import CONFIGURATION
from qlab.views.backends import styled
from qlab.views.labels import ratio_text
from qlab.views.palette import styles
from qlab.views.panels import row

_COLUMNS = 4


def bars_beside_oracles(table: pd.DataFrame) -> hv.Layout:
    """A bar for each method with its deviation over runs, a panel for each number and model.

    The dotted line is what oracles have among themselves, the dashed one what the models had before unlearning: a
    method that has forgotten reaches the dotted line.

    Args:
        table: see :func:`qlab.views.audit_tables.summarize_audits`.
    """
    by_method = styles(table["method"].unique())
    shown_metrics = [name for name in SHOWN if f"{name}_mean" in table]
    panels = []
    groups: Any = table.groupby(CONFIGURATION, sort=False, dropna=False)
    for (model, corruption, ratio), own in groups:
        for metric in shown_metrics:
            rows = own[["method", f"{metric}_mean", f"{metric}_std"]].set_axis(["method", "mean", "deviation"], axis=1)
            rows = rows[np.isfinite(rows["mean"].astype(float))]
            if rows.empty:
                continue
            colours = [by_method[str(method)].colour for method in rows["method"]]
            bars = styled(
                hv.Bars(rows.assign(colour=colours), "method", ["mean", "colour"]),
                bokeh={"color": "colour", "tools": ["hover"]},
                matplotlib={"color": "colour"},
            )
            errors = hv.ErrorBars(rows.fillna({"deviation": 0.0}), "method", ["mean", "deviation"])
            parts = [bars, errors, *_levels(own, metric)]
            shown: dict[str, Any] = {
                "title": f"{model}, {corruption} {ratio_text(ratio, table['ratio'])}",
                "xlabel": "",
                "ylabel": SHOWN[metric],
                "xrotation": 30,
                "show_grid": True,
            }
            panels.append(
                styled(
                    hv.Overlay(parts),
                    bokeh={**shown, "width": 380, "height": 360},
                    matplotlib={**shown, "aspect": 1.2},
                )
            )
    return row(panels, columns=min(_COLUMNS, len(shown_metrics)))


def _levels(own: pd.DataFrame, metric: str) -> list[Any]:
    """Lines at what oracles, and models before unlearning, have: means over methods, which share them."""
    found = []
    for ends, bokeh, matplotlib in ((FLOORS, "dotted", ":"), ((TEACHER,), "dashed", "--")):
        columns = [name for end in ends if (name := f"{metric}{end}_mean") in own]
        level = float(own[columns[0]].astype(float).mean()) if columns else np.nan
        if np.isfinite(level):
            found.append(
                styled(
                    hv.HLine(level),
                    bokeh={"color": "#555555", "line_width": 1.5, "line_dash": bokeh},
                    matplotlib={"color": "#555555", "linewidth": 1.5, "linestyle": matplotlib},
                )
            )
    return found
