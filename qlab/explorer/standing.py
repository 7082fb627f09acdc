"""How runs are going: how far, how long, how much longer, and whether they still give a sign of life."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any, Final

import pandas as pd

from qlab.tracking import listing, names

SILENT_MINUTES: Final = 5
"""A running run that has logged nothing for so long is said to give no sign of life."""

SHOWN: Final = ("all", "running", "failed", "selected")
"""Which runs are shown, by how they stand."""

COLUMNS: Final = {
    "name": "name",
    "state": "state",
    "progress": "progress",
    "left": "time left",
    "took": "duration",
    "error": "error",
    "validation": "validation accuracy",
    "train": "training accuracy",
    "ratio": "corruption ratio",
    "seed": "seed",
    "model": "model",
    "corruption": "corruption",
    "kind": "kind",
    "health": "health",
    "note": "note",
    "started": "started (UTC)",
    "run": "run",
}
"""Columns of the table, and what they are called."""

DEFAULT: Final = ("name", "state", "validation", "train", "ratio", "seed", "health", "took", "started")
"""Columns that are shown where none are chosen, beside those that say something of running and failed runs."""

_FAILED: Final = ("failed", "killed", "interrupted")


_OF_STANDING: Final = (
    *("run_id", "kind", "status", "start", names.END, names.ERROR, names.SEEN),
    *("unlearner.steps", "training.epochs"),
)


def table_of(frame: pd.DataFrame, now: float) -> pd.DataFrame:
    """Runs for a table, newest first, with the columns of :data:`COLUMNS`.

    Args:
        frame: see :func:`qlab.tracking.frames.runs`.
        now: milliseconds since 1970.
    """
    table = listing.run_table(frame).set_index("run", drop=False)
    own = frame[[name for name in _OF_STANDING if name in frame]]
    rows = {str(row["run_id"]): _standing(row, now) for row in own.to_dict("records")}
    going = pd.DataFrame([rows[str(run)] for run in table["run"]], index=table.index, columns=list(_EMPTY))
    found = pd.concat([table.drop(columns=["status"]), going], axis=1)
    return found[list(COLUMNS)].reset_index(drop=True)


def counts(table: pd.DataFrame) -> dict[str, int]:
    """How many runs there are of each of :data:`SHOWN` but those selected."""
    return {name: int(mask(table, name).sum()) for name in SHOWN if name != "selected"}


def mask(table: pd.DataFrame, shown: str, selected: Collection[str] = ()) -> pd.Series[bool]:
    """Which rows are shown.

    Args:
        table: see :func:`table_of`.
        shown: one of :data:`SHOWN`.
        selected: ids of the runs that are.
    """
    if shown == "selected":
        return table["run"].isin(list(selected))
    state = table["state"].astype(str)
    if shown == "running":
        return state.str.startswith("running")
    if shown == "failed":
        return state.isin(_FAILED)
    return pd.Series(True, index=table.index)


def columns_of(table: pd.DataFrame, chosen: list[str]) -> list[str]:
    """Columns to show: those chosen, else the usual ones and those that have something to say."""
    known = [name for name in chosen if name in COLUMNS]
    if known:
        return list(dict.fromkeys(["name", *known]))
    telling = [name for name in ("progress", "left", "error", "note") if (table[name].fillna("") != "").any()]
    return [name for name in COLUMNS if name in (*DEFAULT, *telling)]


def clock(seconds: float) -> str:
    """Hours, minutes and seconds: 1:02:03."""
    whole = max(0, round(seconds))
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


_EMPTY: Final = {"state": "", "progress": "", "left": "", "took": "", "error": ""}


def _standing(run: Mapping[Any, Any], now: float) -> dict[str, str]:
    status = str(run["status"]).lower()
    started, ended = _number(run["start"]), _number(run.get(names.END))
    error = run.get(names.ERROR)
    found = {**_EMPTY, "state": status, "error": error if isinstance(error, str) else ""}
    if status != "running":
        took = "" if math.isnan(started) or math.isnan(ended) else clock((ended - started) / 1e3)
        return {**found, "took": took}
    seen = run.get(names.SEEN)
    step, last = seen if isinstance(seen, tuple) else (0, started)
    found["took"] = clock((now - started) / 1e3)
    silent = (now - last) / 60e3
    if silent >= SILENT_MINUTES:
        found["state"] = f"running, no sign of life for {int(silent)} min"
    steps = _number(run.get("unlearner.steps" if run.get("kind") == names.UNLEARNING else "training.epochs"))
    if steps > 0 and step > 0:
        found["progress"] = f"{step} of {steps:.0f} {'steps' if run.get('kind') == names.UNLEARNING else 'epochs'}"
        found["left"] = clock((last - started) / step * max(0.0, steps - step) / 1e3)
    return found


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan
