"""Audits side by side: a table of methods, and bars beside what oracles and trained models have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import holoviews as hv
import numpy as np
import pandas as pd

from qlab.tracking.audit_names import FLOORS, LOGGED, SHOWN, TEACHER
from qlab.views.backends import styled
from qlab.views.kept import ending, numbers_of, spread
from qlab.views.labels import labelled, ratio_text
from qlab.views.palette import styles
from qlab.views.panels import row

_GROUP = ["model", "corruption", "ratio", "method"]

_COLUMNS = 4


def summarize_audits(frame: pd.DataFrame) -> pd.DataFrame:
    """One row for each model, corruption, ratio and method that was audited.

    Columns: those, then ``<metric>_mean``, ``<metric>_std`` (n - 1) and ``<metric>_n`` of what audits log, over the
    runs that finished, did not diverge and have a finite value; ``audited`` and ``runs``.

    Args:
        frame: one row for each unlearning run.
    """
    work = labelled(frame, "method")
    metrics = [name for names in LOGGED.values() for name in names if np.isfinite(numbers_of(frame, name)).any()]
    for metric in metrics:
        work[metric] = numbers_of(frame, metric)
    work["kept"] = [not reason for reason in ending(frame)]
    rows = []
    for group, members in work.groupby(_GROUP, sort=False, dropna=False):
        kept = members[members["kept"]]
        values = {metric: kept.loc[np.isfinite(kept[metric]), metric].to_numpy() for metric in metrics}
        if not any(map(len, values.values())):
            continue
        found: dict[str, object] = dict(zip(_GROUP, group, strict=True))
        for metric, own in values.items():
            found[f"{metric}_mean"], found[f"{metric}_std"] = spread(own)
            found[f"{metric}_n"] = len(own)
        rows.append(found | {"audited": max(map(len, values.values())), "runs": len(members)})
    return pd.DataFrame(rows)


def floor_of(row: Mapping[Any, Any], metric: str) -> float:
    """What oracles have, in a row of :func:`summarize_audits`; NaN if there is none."""
    return next((float(row[name]) for end in FLOORS if (name := f"{metric}{end}_mean") in row), np.nan)


def remarks(table: pd.DataFrame) -> list[str]:
    """What is to be known before numbers of :func:`summarize_audits` are read: which say nothing.

    KLoM of few oracles is large for oracles, too; where it is no smaller than that of the models before unlearning,
    no method can be told from another by it.
    """
    found: dict[str, None] = {}
    if "epsilon_ceiling_mean" in table and not (table["epsilon_ceiling_mean"] > 0.0).any():
        found["epsilon: so few models show nothing above 0; take more oracles, and more models"] = None
    if not {"klom_forget_floor_mean", "klom_forget_teacher_mean"} <= set(table):
        return list(found)
    for own in table.to_dict("records"):
        floor, teacher = own["klom_forget_floor_mean"], own["klom_forget_teacher_mean"]
        if not floor >= teacher:
            continue
        number = own.get("klom_oracles_mean", np.nan)
        oracles = f"{number:g} oracles" if np.isfinite(number) else "oracles"
        where = f"{own['model']}, {own['corruption']} {ratio_text(own['ratio'], table['ratio'])}"
        found[
            f"klom: the floor of {oracles} is above that of models before unlearning ({floor:.2f} and {teacher:.2f} on "
            f"forget rows of {where}), so that it tells nothing; take more oracles"
        ] = None
    return list(found)


def bars_beside_oracles(table: pd.DataFrame) -> hv.Layout:
    """A bar for each method with its deviation over runs, a panel for each number and model.

    The dotted line is what oracles have among themselves, the dashed one what the models had before unlearning: a
    method that has forgotten reaches the dotted line.

    Args:
        table: see :func:`summarize_audits`.
    """
    by_method = styles(table["method"].unique())
    shown_metrics = [name for name in SHOWN if f"{name}_mean" in table]
    panels = []
    groups: Any = table.groupby(_GROUP[:3], sort=False, dropna=False)
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
