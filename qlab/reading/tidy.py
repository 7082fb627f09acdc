"""Runs as tidy data frames: a row for each run, columns with types, and for each run whether it counts and why not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

import pandas as pd

from qlab.errors import ConfigError, unknown
from qlab.tracking import frames, names
from qlab.tracking.names import ERROR
from qlab.views.kept import ending
from qlab.views.labels import labelled
from qlab.views.summary import labelled_trials

Kind = Literal["trials", "unlearning", "probes"]

KINDS: Final[dict[Kind, str]] = {"trials": names.TRIAL, "unlearning": names.UNLEARNING, "probes": names.PROBE}
"""What can be asked for, and the kinds of runs in the store."""

LABELS: Final[dict[Kind, tuple[str, ...]]] = {
    "trials": ("model", "corruption", "ratio"),
    "unlearning": ("model", "corruption", "ratio", "method"),
    "probes": ("model", "corruption", "ratio", "probe"),
}
"""Columns that are equal for runs that belong together, see :mod:`qlab.views.labels`."""

_ALL_LABELS = ("model", "corruption", "ratio", "method", "probe")

_FIXED = (
    *("experiment", "run_id", *_ALL_LABELS, "seed"),
    *("kept", "left_out", "status", "health", "error", "start", "teacher_run"),
)
"""Columns before those of params and metrics."""


def kind_of(given: str, option: str = "of") -> Kind:
    """The kind of runs that is meant.

    Raises:
        ConfigError: there is no such kind.
    """
    for kind in KINDS:
        if given == kind:
            return kind
    raise ConfigError(f"{option}: {unknown('kind', given, KINDS)}")


def tidy(frame: pd.DataFrame, kind: Kind, experiment: str) -> pd.DataFrame:
    """One row for each run, in order: what it is, whether it is kept, its params and its last metrics.

    Columns: ``experiment``, ``run_id``, the labels of :data:`LABELS`, ``seed``, ``kept``, ``left_out`` (why it is not
    kept, else empty), ``status``, ``health``, ``error``, ``start`` (UTC), of unlearning runs and probes
    ``teacher_run``, then params under their dotted names and metrics under theirs.

    Args:
        frame: one row for each run of the kind, see :func:`qlab.tracking.frames.latest_per_trial`.
        kind: of the runs.
        experiment: its name.
    """
    labels = _labels(frame, kind)
    own = pd.DataFrame({"experiment": experiment, "run_id": frame["run_id"]}, index=frame.index)
    own = own.join(labels[list(LABELS[kind])])
    own["seed"] = frame.get("seed")
    own["kept"] = labels["reason"] == ""
    own["left_out"] = labels["reason"]
    for name, column in {"status": "status", "health": "health", "error": ERROR}.items():
        own[name] = frame[column]
    own["start"] = pd.to_datetime(pd.to_numeric(frame["start"]), unit="ms", utc=True)
    if kind != "trials":
        own["teacher_run"] = frame["parent_id"]
    params = [*(name for name in names.PLAIN_PARAMS if name in frame and name != "seed"), *frames.param_columns(frame)]
    measured = [name for name in frames.metric_columns(frame) if name not in own]
    return pd.concat([own, frame[params], frame[measured]], axis=1)


def joined(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Frames of several experiments as one, with columns of one type where all their values have it.

    Integers, floats, booleans and texts get pandas' types, which have missing values; what is mixed, or a list, stays a
    column of objects. Columns that only some have come in the order of params, then metrics.
    """
    filled = [part for part in parts if not part.empty] or list(parts[:1])
    columns = list(dict.fromkeys(name for part in filled for name in part.columns))
    fixed = [name for name in columns if name in _FIXED]
    rest = [name for name in columns if name not in fixed]
    params = sorted(name for name in rest if "." in name or name in names.PLAIN_PARAMS)
    metrics = sorted(name for name in rest if name not in params)

    def values(name: str) -> list[Any]:
        return [value for part in filled for value in (part[name] if name in part else [None] * len(part))]

    found = {name: typed(values(name)) for name in [*fixed, *params]}
    return pd.DataFrame(found | {name: pd.Series(values(name), dtype=float) for name in metrics})


def measured(frame: pd.DataFrame) -> list[str]:
    """The columns of a tidy frame that hold metrics."""
    return [name for name in frame.columns if "." not in name and name not in (*_FIXED, *names.PLAIN_PARAMS)]


def typed(values: Sequence[Any]) -> pd.Series[Any]:
    """Values as a column of the type that they all have."""
    own = [None if value is None or value is pd.NA or value is pd.NaT or value != value else value for value in values]
    known = [value for value in own if value is not None]
    kinds = {type(value) for value in known}
    missing = len(known) < len(own)
    if kinds == {bool}:
        return pd.Series(own, dtype="boolean" if missing else bool)
    if kinds == {int} and all(-(2**63) <= value < 2**63 for value in known):
        return pd.Series(own, dtype="Int64" if missing else "int64")
    if kinds and kinds <= {int, float}:
        return pd.Series(own, dtype=float)
    if kinds == {str}:
        return pd.Series(own, dtype="string")
    if kinds == {pd.Timestamp}:
        return pd.to_datetime(pd.Series(own), utc=True)
    return pd.Series(own, dtype=object)


def _labels(frame: pd.DataFrame, kind: Kind) -> pd.DataFrame:
    if kind == "trials":
        return labelled_trials(frame)
    labels = labelled(frame, "method" if kind == "unlearning" else "probe")
    labels["reason"] = pd.Series(ending(frame), index=frame.index, dtype=str)
    return labels
