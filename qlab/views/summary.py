"""From trials to a table: mean and deviation over seeds, and how many trials stand behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from qlab.tracking.groups import OVER
from qlab.tracking.params import shown
from qlab.views.kept import ending, flaws, joined, measured, numbers_of, spread
from qlab.views.labels import in_order, labelled

METRICS = ("train_accuracy", "validation_accuracy")

TEST = "test_accuracy"
"""Only of tasks with a test split, after the last epoch."""

_GROUP = ["model", "corruption", "ratio"]


def summarize(frame: pd.DataFrame, group_by: Sequence[str] = ()) -> pd.DataFrame:
    """One row for each model, corruption and ratio: every trial belongs to one.

    Columns: ``model``, ``corruption``, ``ratio``, then ``<metric>_mean`` and ``<metric>_std`` (n - 1; NaN for one
    trial) of :data:`METRICS` over the trials kept, ``kept`` and ``trials``. A trial is kept if it finished with finite
    values; ``left_out`` says why the others were not. If a trial has :data:`TEST`, there are ``test_accuracy_mean`` and
    ``test_accuracy_std`` over those kept that have it, and so for each metric of one's own; where one is no finite
    number, ``left_out`` names it, and the trial stays. ``chosen`` says what a selection chose, if there was one. Trials
    without params (they ended before they had some) are of an unknown model and have no ratio.

    Args:
        frame: one row for each trial, see :func:`qlab.tracking.frames.latest_per_trial`.
        group_by: params that tell models apart, by default all that differ, see :func:`qlab.views.labels.labelled`.
    """
    work = labelled_trials(frame, group_by)
    metrics = _metrics(frame)
    rows = []
    for key, group in work.groupby(_GROUP, sort=False, dropna=False):
        kept = group[group["kept"]]
        row: dict[str, object] = dict(zip(_GROUP, key, strict=True))
        for metric in metrics:
            values = kept[metric].to_numpy(dtype=float)
            row[f"{metric}_mean"], row[f"{metric}_std"] = spread(values[np.isfinite(values)])
        reasons = joined([*group["reason"], *group["flawed"]])
        if "chosen" in work:
            row["chosen"] = "; ".join(sorted(set(group["chosen"]) - {""}))
        rows.append(row | {"kept": len(kept), "trials": len(group), "left_out": reasons})
    columns = [*_GROUP, *(f"{m}_{s}" for m in metrics for s in ("mean", "std"))]
    columns += ["chosen"] if "chosen" in work else []
    table = pd.DataFrame(rows, columns=[*columns, "kept", "trials", "left_out"])
    return in_order(table, _GROUP)


def labelled_trials(frame: pd.DataFrame, group_by: Sequence[str] = ()) -> pd.DataFrame:
    """One row for each trial: ``model`` (its label), ``corruption``, ``ratio``, ``seed``, ``run_id``, ``status``,
    ``health``, :data:`METRICS`, :data:`TEST` if a trial has it, metrics of one's own, whether it is ``kept``, and the
    ``reason`` if not, and which metrics of one's own are ``flawed``; see :func:`summarize`."""
    work = labelled(frame, group_by=group_by)
    for name in ("seed", "run_id", "status", "health"):
        work[name] = frame.get(name)
    for metric in _metrics(frame):
        work[metric] = numbers_of(frame, metric)
    found = zip(ending(frame), *(flaws(frame, metric) for metric in METRICS), strict=True)
    work["reason"] = pd.Series([ended or _lacking(own) for ended, *own in found], index=frame.index, dtype=str)
    work["kept"] = work["reason"] == ""
    if OVER in frame and frame[OVER].notna().any():
        work["chosen"] = [chosen_text(row) for row in frame.to_dict("records")]
    further = [flaws(frame, metric) for metric in measured(frame)]
    flawed = [[flaw for flaw in own if flaw and not flaw.startswith("no ")] for own in zip(*further, strict=True)]
    work["flawed"] = pd.Series([", ".join(own) for own in flawed] or "", index=frame.index, dtype=str)
    work["flawed"] = work["flawed"].where(work["kept"], "")
    return work


def further_metrics(table: pd.DataFrame) -> tuple[str, ...]:
    """The metrics of one's own in a table that :func:`summarize` made."""
    found = (str(name).removesuffix("_mean") for name in table.columns if str(name).endswith("_mean"))
    return tuple(name for name in found if name not in (*METRICS, TEST))


def rounded(table: pd.DataFrame, digits: int = 4) -> pd.DataFrame:
    """A table to look at: numbers rounded, but for ratios, of which two would look the same."""
    return table.round({name: digits for name in table.columns if name != "ratio"})


def chosen_text(row: Mapping[Any, Any]) -> str:
    """What was chosen for a trial, or for a method: "learning_rate 0.03"; and whether an oracle chose it."""
    over = row[OVER] if isinstance(row[OVER], tuple) else ()
    known = [(name, row.get(name)) for name in over]
    oracle = f" by an oracle: {row.get('select.metric')}" if row.get("select.oracle") is True and over else ""
    return _values(known) + oracle


def _values(known: Sequence[tuple[str, Any]]) -> str:
    return ", ".join(f"{name.partition('.')[2]} {shown(value)}" for name, value in known if value is not None)


def _metrics(frame: pd.DataFrame) -> tuple[str, ...]:
    """The metrics of a table: that of test data if any trial has some, and those of one's own."""
    tested = (TEST,) if np.isfinite(numbers_of(frame, TEST)).any() else ()
    return (*METRICS, *tested, *(name for name in measured(frame) if name not in (*METRICS, TEST)))


def _lacking(wrong: Sequence[str]) -> str:
    """What is wrong with a finished trial's metrics."""
    absent = [f"no {metric}" for metric in METRICS]
    return "no metrics" if list(wrong) == absent else ", ".join(filter(None, wrong))
