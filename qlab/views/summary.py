"""From trials to a table: mean and deviation over seeds, and how many trials stand behind them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

METRICS = ("train_accuracy", "validation_accuracy")

_TABLES = ("task.", "corruption.", "model.", "training.")

_CURVE = ("corruption.type", "corruption.ratio")
"""Params that a panel and its axis stand for."""


def varying(frame: pd.DataFrame) -> list[str]:
    """The params in which trials differ, other than the seed and what a curve runs over: what can tell groups apart."""
    columns = [name for name in frame.columns if name.startswith(_TABLES) and name not in _CURVE]
    different = [name for name in columns if frame[name].nunique(dropna=False) > 1]
    return ["model.type", *(name for name in different if name != "model.type")] if columns else []


def label_models(frame: pd.DataFrame, group_by: Sequence[str] = ()) -> pd.Series[str]:
    """A name for each trial's model: its type, and those settings in which trials of the type differ.

    Settings are params of task, model and training, and the corruption's except its type and ratio: whatever
    makes trials differ other than what a curve runs over. The seed never does.

    Args:
        frame: trials with dotted params as columns, see :mod:`qlab.tracking.frames`.
        group_by: name these params instead, whatever else differs.
    """
    if group_by:
        shown = [name for name in group_by if name in frame]
        parts = [
            frame[name].astype(str)
            if name == "model.type"
            else f"{name.removeprefix('model.')}=" + frame[name].astype(str)
            for name in shown
        ]
        return pd.Series([" ".join(row) for row in zip(*parts, strict=True)] if parts else "all", index=frame.index)
    labels = _labels(frame, "model", _TABLES)
    if "task.type" in frame and frame["task.type"].nunique() > 1:
        labels += " on " + frame["task.type"].astype(str)
    return labels


def label_methods(frame: pd.DataFrame) -> pd.Series[str]:
    """A name for each run's unlearning method: its type, and those settings in which runs of the type differ."""
    return _labels(frame, "unlearner", ("unlearner.",))


def label_probes(frame: pd.DataFrame) -> pd.Series[str]:
    """A name for each run's probe: its type and label, and those settings in which runs with both the same differ."""
    labelled = frame["probe.label"].fillna("") if "probe.label" in frame else ""
    types = (frame["probe.type"].astype(str) + " " + labelled).str.strip()
    return _labels(
        frame.assign(**{"probe.type": types}).drop(columns="probe.label", errors="ignore"), "probe", ("probe.",)
    )


def _labels(frame: pd.DataFrame, kind: str, tables: tuple[str, ...]) -> pd.Series[str]:
    """The type of a kind, followed by the settings in these tables that differ among rows of the type."""
    if f"{kind}.type" not in frame:  # no runs, or none that has its params yet
        return pd.Series("unknown", index=frame.index, dtype=str)
    labels = frame[f"{kind}.type"].astype(str)
    own = {f"{kind}.type", "corruption.type", "corruption.ratio", "task.type"}
    settings = [column for column in frame.columns if column.startswith(tables) and column not in own]
    for _, group in frame.groupby(f"{kind}.type"):
        for column in settings:
            if group[column].nunique(dropna=False) > 1:
                labels.loc[group.index] += f" {column.removeprefix(f'{kind}.')}=" + group[column].astype(str)
    return labels


def summarize(frame: pd.DataFrame, group_by: Sequence[str] = ()) -> pd.DataFrame:
    """One row for each model, corruption and ratio.

    Columns: ``model``, ``corruption``, ``ratio``, then ``<metric>_mean`` and ``<metric>_std`` (n - 1; NaN for one
    trial) of :data:`METRICS` over the trials kept, ``kept`` and ``trials``. A trial is kept if it finished with finite
    values; ``left_out`` says why the others were not.

    Args:
        frame: one row for each trial, see :func:`qlab.tracking.frames.latest_per_trial`.
        group_by: params that tell models apart, by default all that differ, see :func:`label_models`.
    """
    work = labelled_trials(frame, group_by)
    rows = []
    for (model, corruption, ratio), group in work.groupby(["model", "corruption", "ratio"], sort=False):
        kept = group[group["kept"]]
        row: dict[str, object] = {"model": model, "corruption": corruption, "ratio": ratio}
        for metric in METRICS:
            row[f"{metric}_mean"] = kept[metric].mean()
            row[f"{metric}_std"] = kept[metric].std(ddof=1)
        reasons = group.loc[~group["kept"]].apply(_reason, axis=1) if len(kept) < len(group) else pd.Series(dtype=str)
        row |= {"kept": len(kept), "trials": len(group), "left_out": ", ".join(sorted(set(reasons)))}
        rows.append(row)
    columns = ["model", "corruption", "ratio", *(f"{m}_{s}" for m in METRICS for s in ("mean", "std"))]
    table = pd.DataFrame(rows, columns=[*columns, "kept", "trials", "left_out"])
    return table.sort_values(["model", "corruption", "ratio"], ignore_index=True)


def labelled_trials(frame: pd.DataFrame, group_by: Sequence[str] = ()) -> pd.DataFrame:
    """One row for each trial: ``model`` (its label), ``corruption``, ``ratio``, ``seed``, ``run_id``, ``status``,
    ``health``, :data:`METRICS`, and whether it is ``kept``; see :func:`summarize`."""
    work = pd.DataFrame(
        {
            "model": label_models(frame, group_by),
            "corruption": frame.get("corruption.type"),
            "ratio": pd.to_numeric(frame["corruption.ratio"]) if "corruption.ratio" in frame else float("nan"),
            "seed": frame.get("seed"),
            "run_id": frame.get("run_id"),
            "status": frame.get("status"),
            "health": frame.get("health"),
            **{metric: pd.to_numeric(frame[metric]) if metric in frame else float("nan") for metric in METRICS},
        }
    )
    values = work[list(METRICS)]
    work["kept"] = (
        (work["status"] == "FINISHED")
        & (work["health"] != "diverged")
        & np.isfinite(values.to_numpy(dtype=float)).all(axis=1)
    )
    return work


def _reason(row: pd.Series[str]) -> str:
    if row["status"] != "FINISHED":
        return str(row["status"]).lower()
    return "diverged" if row["health"] == "diverged" else "no metrics"
