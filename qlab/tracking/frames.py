"""Runs as data frames."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from qlab.tracking import names
from qlab.tracking.store import Store

COLUMNS = (
    "run_id",
    "experiment_id",
    "parent_id",
    "name",
    "kind",
    "trial",
    "status",
    "health",
    "start",
    names.ERROR,
    names.WORKER,
    names.TEACHER,
)
"""Columns every frame of runs has, before those of params (dotted names) and metrics (final values)."""

_PLAIN_PARAMS = ("seed", "oracles", "oracle", "repeat")
"""Params without a dot in their name."""


def runs(store: Store, experiment_ids: Sequence[str], filter_string: str = "") -> pd.DataFrame:
    """Runs as rows: identity, status, params under their dotted names, final metrics under theirs.

    Params are strings as stored, but for ``corruption.ratio`` and ``seed``, which are numbers.

    Args:
        store: where to look.
        experiment_ids: in which MLflow experiments.
        filter_string: an MLflow filter, such as ``"params.\\`model.type\\` = 'MLP'"``.
    """
    return _frame(_row(run) for run in store.search(experiment_ids, filter_string))


def runs_of_kind(store: Store, experiment_ids: Sequence[str], kind: str, filter_string: str = "") -> pd.DataFrame:
    """The runs of one kind (see :mod:`qlab.tracking.names`) that match a further filter, see :func:`runs`."""
    own = f"tags.`{names.KIND}` = '{kind}'"
    return runs(store, experiment_ids, f"{own} and {filter_string}" if filter_string else own)


def trials(store: Store, experiment_ids: Sequence[str], filter_string: str = "") -> pd.DataFrame:
    """The trials of some experiments, see :func:`runs`."""
    return runs_of_kind(store, experiment_ids, names.TRIAL, filter_string)


def metric_columns(frame: pd.DataFrame) -> list[str]:
    """The columns that hold metrics: params have dotted names, but for those of :data:`_PLAIN_PARAMS`."""
    return [name for name in frame.columns if "." not in name and name not in (*COLUMNS, *_PLAIN_PARAMS)]


def latest_per_trial(frame: pd.DataFrame) -> pd.DataFrame:
    """One row for each trial: its last finished run, or its last run if none has finished."""
    order = frame.assign(_finished=frame["status"] == "FINISHED").sort_values(["_finished", "start"], kind="stable")
    return order.drop_duplicates("trial", keep="last").drop(columns="_finished").sort_index()


def _row(run: Any) -> dict[str, Any]:
    tags = run.data.tags
    return {
        "run_id": run.info.run_id,
        "experiment_id": run.info.experiment_id,
        "parent_id": tags.get(names.PARENT),
        "name": run.info.run_name,
        "kind": tags.get(names.KIND),
        "trial": tags.get(names.TRIAL_KEY),
        "status": run.info.status,
        "health": tags.get(names.HEALTH),
        "start": run.info.start_time,
        names.ERROR: tags.get(names.ERROR),
        names.WORKER: tags.get(names.WORKER),
        names.TEACHER: tags.get(names.TEACHER),
        **run.data.params,
        **run.data.metrics,
    }


def _frame(rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    frame = pd.DataFrame(list(rows))
    for column in COLUMNS:
        if column not in frame:
            frame[column] = None
    for column in ("corruption.ratio", "seed"):
        if column in frame:
            frame[column] = pd.to_numeric(frame[column], errors="coerce")
    return frame
