"""Audits side by side as a table of methods, and what is to be known before it is read. Nothing here draws."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from qlab.tracking.audit_names import FLOORS, LOGGED
from qlab.views.kept import ending, numbers_of, spread
from qlab.views.labels import labelled, ratio_text

CONFIGURATION = ["model", "corruption", "ratio"]
_GROUP = [*CONFIGURATION, "method"]


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
