"""Relearning: how labels come back while known rows are learned anew, beside models that never had them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any, Final

import numpy as np
import pandas as pd

from qlab.tracking.names import TEACHER
from qlab.views.backends import styled
from qlab.views.kept import ending, joined
from qlab.views.labels import ratio_text
from qlab.views.lines import Line, Panel, drawn
from qlab.views.palette import styles
from qlab.views.unlearning import label_runs

ROWS: Final = {"relearning_known": "known rows", "relearning_hidden": "hidden rows"}
"""The metrics that the audit logs over its steps, and the rows that they are of."""

_REFERENCES: Final = {"_teacher": "trained model", "_oracle": "oracle"}
"""The same of models to compare with: how the metrics end, and what the lines are called."""

_GROUP: Final = ["model", "corruption", "ratio"]


def was_audited(frame: pd.DataFrame) -> bool:
    """Whether some unlearning run has relearning curves."""
    return any(name in frame and frame[name].notna().any() for name in ROWS)


def relearning_history(frame: pd.DataFrame, read: Callable[[str, str], Iterable[tuple[int, float]]]) -> pd.DataFrame:
    """Every value of the curves.

    Columns: ``model``, ``corruption``, ``ratio``, ``method``, ``metric``, ``step`` and ``value``. Beside the methods
    there are the ``trained model``, before it was unlearned, and the ``oracle``: once for each model that was trained,
    whichever methods were applied to it. Runs that were not audited have no rows.

    Args:
        frame: one row for each unlearning run.
        read: gives steps and values of a run's metric.
    """
    labels = label_runs(frame)
    rows: list[dict[str, Any]] = []
    seen: set[tuple[Any, ...]] = set()
    for label, run, ended in zip(labels.to_dict("records"), frame.to_dict("records"), ending(frame), strict=True):
        if ended:
            continue
        for metric in ROWS:
            for end, name in {"": str(label["method"]), **_REFERENCES}.items():
                place = (*(str(label[part]) for part in _GROUP), name, metric, run.get(TEACHER) or run["run_id"])
                if pd.isna(run.get(metric + end, np.nan)) or (end and place in seen):
                    continue
                seen.add(place)
                said: dict[str, Any] = {part: label[part] for part in _GROUP} | {"method": name, "metric": metric}
                found = read(str(run["run_id"]), metric + end)
                rows += [{**said, "step": step, "value": value} for step, value in found]
    return pd.DataFrame(rows, columns=[*_GROUP, "method", "metric", "step", "value"])


def relearning_table(history: pd.DataFrame) -> pd.DataFrame:
    """Mean, deviation (n - 1) and number of runs at every step, a row for each line and step.

    Args:
        history: see :func:`relearning_history`.
    """
    grouped = history.groupby([*_GROUP, "method", "metric", "step"], sort=False, dropna=False)["value"]
    return grouped.agg(mean="mean", deviation=lambda values: values.std(ddof=1), runs="count").reset_index()


def relearning_metrics(frame: pd.DataFrame) -> list[str]:
    """The metrics that :func:`relearning_history` reads, of which some run has a value."""
    every = [metric + end for metric in ROWS for end in ("", *_REFERENCES)]
    return [name for name in every if name in frame and frame[name].notna().any()]


def relearning_panels(history: pd.DataFrame, frame: pd.DataFrame) -> list[Panel]:
    """A panel for each model (corruption, ratio) and kind of rows, with a line for each method, deviations around it.

    Args:
        history: see :func:`relearning_history`.
        frame: the runs that it is of; those without curves are counted in the legend.
    """
    counts = _counts(frame)
    methods = list(dict.fromkeys(label_runs(frame)["method"].astype(str)))
    style = styles([*methods, *(name for name in _REFERENCES.values() if (history["method"] == name).any())])
    told = [name for name in _GROUP if history[name].nunique(dropna=False) > 1]
    panels = []
    for key, own in history.groupby(_GROUP, sort=False, dropna=False):
        place: dict[str, Any] = dict(zip(_GROUP, key, strict=True))
        texts = {**place, "ratio": f"ratio {ratio_text(place['ratio'], history['ratio'])}"}
        title = ", ".join(str(texts[name]) for name in _GROUP if name in told or name == "model")
        for metric, rows in ROWS.items():
            lines = []
            for name in style:
                points = own[(own["metric"] == metric) & (own["method"] == name)]
                if points.empty and (name not in methods or (*map(str, key), name) not in counts):
                    continue
                grouped = points.groupby("step")["value"]
                number = int(grouped.count().max()) if len(points) else 0
                said = counts.get((*map(str, key), name), {"runs": number, "left_out": ""})
                found = grouped.agg(["mean", "std"]).sort_index().reset_index()
                step, mean, std = (np.asarray(found[part], dtype=np.float64) for part in ("step", "mean", "std"))
                lines.append(Line(name, style[name], {**said, "kept": number}, step, mean, std))
            if (own["metric"] == metric).any():
                shown = f"polluted labels given, {rows}"
                panels.append(Panel(title, "relearning step", shown, tuple(lines), bounded=True, markers=False))
    return panels


def relearning_curves(history: pd.DataFrame, frame: pd.DataFrame) -> Any:
    """The panels as a HoloViews object: a row for each model, known rows beside hidden ones where there are some.

    Args:
        history: see :func:`relearning_history`.
        frame: the runs that it is of.
    """
    panels = relearning_panels(history, frame)
    # Models whose corrupted rows are all known have one panel, beside others with two; without any they fill rows.
    columns = max((sum(panel.title == other.title for other in panels) for panel in panels), default=1)
    if columns == 1:
        columns = min(len(panels), 2) or 1
    layout = drawn(panels, columns=columns)
    return styled(layout, bokeh={}, matplotlib={"fig_inches": (5.5 * columns, 4.2 * -(-len(panels) // columns))})


def _counts(frame: pd.DataFrame) -> dict[tuple[str, ...], dict[Hashable, Any]]:
    """How many runs there are of each method of a model, and why some are left out."""
    work = label_runs(frame)
    audited = frame.reindex(columns=list(ROWS)).notna().any(axis=1)
    ended = pd.Series(ending(frame), index=frame.index, dtype=object)
    work["reason"] = [reason or ("" if was else "not audited") for reason, was in zip(ended, audited, strict=True)]
    found: dict[tuple[str, ...], dict[Hashable, Any]] = {}
    for key, own in work.groupby([*_GROUP, "method"], sort=False, dropna=False):
        found[tuple(map(str, key))] = {"runs": len(own), "left_out": joined(own["reason"])}
    return found
