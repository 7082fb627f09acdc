"""What is in a store, as tables for people."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from qlab.fields import show
from qlab.tracking import frames, names
from qlab.tracking.missing import is_missing
from qlab.tracking.standing import INTERRUPTED
from qlab.tracking.store import Store

_TRIAL_COLUMNS = {
    "model.type": "model",
    "corruption.type": "corruption",
    "corruption.ratio": "ratio",
    "seed": "seed",
    "status": "status",
    "health": "health",
    "train_accuracy": "train",
    "validation_accuracy": "validation",
    "test_accuracy": "test",
    "run_id": "run",
}


_SETTINGS = ("task.", "corruption.", "model.", "training.")

_ABSENT_ROWS = {0.0: "forget_", 1.0: "retain_"}
"""By ratio, the metrics of rows that there are none of: that they have no value says nothing about a trial."""

_STOPPED = ("FAILED", "KILLED", INTERRUPTED)

_RUN_COLUMNS = (
    *("name", "kind", "status", "health", "note", "validation", "train", "ratio", "seed", "model", "corruption"),
    *("started", "run"),
)


def experiment_rows(store: Store, experiment_ids: Sequence[str]) -> pd.DataFrame:
    """One row for each parent run: name, status, how many of its trial runs are in which state, and when it began."""
    frame = frames.runs(store, experiment_ids)
    parents = frame[frame["kind"] == names.EXPERIMENT]
    trials = frame[frame["kind"] == names.TRIAL]
    rows = []
    for parent in parents.to_dict("records"):
        own = trials[trials["parent_id"] == parent["run_id"]]
        states = own["status"].str.lower().value_counts()
        rows.append(
            {
                "experiment": parent["name"],
                "status": str(parent["status"]).lower(),
                "own trials": ", ".join(f"{count} {state}" for state, count in states.items()) or "none",
                "started": _time(parent["start"]),
                "run": parent["run_id"],
            }
        )
    return pd.DataFrame(rows)


def failed_rows(store: Store, experiment_ids: Sequence[str]) -> pd.DataFrame:
    """One row for each run that failed or was stopped, and did not finish another time: what, how and why.

    An experiment's own run is among them if it has no such run, so if it ended before its first or after its last.
    """
    frame = frames.runs(store, experiment_ids)
    trials = frame[frame["trial"].notna()]
    finished = trials[trials["status"] == "FINISHED"]["trial"]
    left = frames.latest_per_trial(trials[~trials["trial"].isin(finished)])
    left = left[left["status"].isin(_STOPPED)]
    parents = frame[(frame["kind"] == names.EXPERIMENT) & frame["status"].isin(_STOPPED)]
    above = set(left["parent_id"])  # unlearning runs, oracles and probes are below a trial
    above |= set(frame[frame["run_id"].isin(above)]["parent_id"])
    parents = parents[~parents["run_id"].isin(above)]
    names_of = {number: name for name, number in store.experiments().items()}
    rows = [
        {
            "experiment": names_of.get(str(row["experiment_id"]), ""),
            "run of": row["name"] if row["kind"] != names.EXPERIMENT else "the experiment itself",
            "status": str(row["status"]).lower(),
            "error": row[names.ERROR],
            "started": _time(row["start"]),
            "run": row["run_id"],
        }
        for row in [*parents.to_dict("records"), *left.to_dict("records")]
    ]
    return pd.DataFrame(rows)


def trial_rows(store: Store, experiment_ids: Sequence[str], filter_string: str = "") -> pd.DataFrame:
    """One row for each trial run that matches an MLflow filter."""
    frame = frames.trials(store, experiment_ids, filter_string)
    return frame if frame.empty else trial_table(frame)


def trial_table(frame: pd.DataFrame) -> pd.DataFrame:
    """The columns of trials that people look at first, under short names, and the settings in which they differ."""
    found = frame[[column for column in _TRIAL_COLUMNS if column in frame]].rename(columns=_TRIAL_COLUMNS)
    settings = _settings(frame)
    if any(settings):
        found.insert(1, "settings", settings)
    notes = _notes(frame)
    if any(notes):
        found.insert(len(found.columns) - 1, "note", notes)
    return found


def run_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Runs of every kind for a table to look at: what they are of, how they stand, how good they are.

    Columns: ``name``, ``kind``, ``status``, ``health``, ``note`` (which metrics are not finite), ``validation``,
    ``train``, ``ratio``, ``seed``, ``model``, ``corruption``, ``started`` and ``run``; newest first.
    """
    found = pd.DataFrame(index=frame.index)
    for column, name in {"kind": "kind", "name": "name", **_TRIAL_COLUMNS}.items():
        found[name] = frame.get(column)
    found["note"] = _notes(frame)
    for name in ("train", "validation"):
        found[name] = pd.to_numeric(found[name]).round(4)
    found = found.astype(object).where(found.notna(), None)  # a cell without a value is empty, not "NaN"
    found["status"] = found["status"].str.lower()
    found["started"] = pd.to_datetime(pd.to_numeric(frame["start"]), unit="ms").dt.strftime("%Y-%m-%d %H:%M:%S")
    return found.loc[frame["start"].sort_values(ascending=False, kind="stable").index, list(_RUN_COLUMNS)].reset_index(
        drop=True
    )


def _notes(frame: pd.DataFrame) -> list[str]:
    """For each run which of its metrics are not finite: cells of a table would only be empty."""
    measured = frame[names.NOT_FINITE] if names.NOT_FINITE in frame else [()] * len(frame)
    ratios = frame["corruption.ratio"] if "corruption.ratio" in frame else [None] * len(frame)
    told = [
        [name for name in metrics if not name.startswith(_ABSENT_ROWS.get(ratio, "-"))]
        for metrics, ratio in zip(measured, ratios, strict=True)
    ]
    return [f"not finite: {', '.join(found)}" if found else "" for found in told]


def _settings(frame: pd.DataFrame) -> list[str]:
    """For each trial what tells it from others of its experiment with the same class of model, such as "depth=2"."""
    frame = frame.reset_index(drop=True)
    found = [""] * len(frame)
    params = [column for column in map(str, frame) if column.startswith(_SETTINGS) and column not in _TRIAL_COLUMNS]
    sharing = [column for column in ("experiment_id", "model.type") if column in frame]
    for _, rows in frame.groupby(sharing, dropna=False) if sharing else [((), frame)]:
        own = [column for column in params if rows[column].map(repr).nunique() > 1]
        for index in rows.index:
            values = {column: rows.at[index, column] for column in own}
            found[index] = " ".join(
                f"{column.partition('.')[2]}={show(list(value) if isinstance(value, tuple) else value)}"
                for column, value in values.items()
                if not is_missing(value)
            )
    return found


def _time(milliseconds: int) -> str:
    return pd.Timestamp(milliseconds, unit="ms", tz="UTC").strftime("%Y-%m-%d %H:%M UTC")
