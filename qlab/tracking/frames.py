"""Runs as data frames."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import mlflow.entities as entities
import numpy as np
import pandas as pd

from qlab.tracking import names, params
from qlab.tracking.audit_names import LOGGED
from qlab.tracking.groups import RATIO, keys_of_params
from qlab.tracking.missing import is_missing
from qlab.tracking.query import Query
from qlab.tracking.standing import with_interrupted
from qlab.tracking.store import Store
from qlab.tracking.unstated import OWNERS, state


def runs(store: Store, experiment_ids: Sequence[str], query: Query | str = "") -> pd.DataFrame:
    """Runs as rows: identity, status, params under their dotted names, final metrics under theirs.

    The status of a run that says it is running while its worker is gone is ``INTERRUPTED``.

    Params have the types they were written with (see :mod:`qlab.tracking.params`), lists as tuples, in columns of
    objects; ``corruption.ratio`` and ``seed`` are numbers, or missing. ``qlab.group`` and ``qlab.curve`` are there for
    every run, see :mod:`qlab.tracking.groups`. A param that a run has only with another value than
    :data:`qlab.tracking.names.UNSTATED` says has that value where other runs of the model's type have the param.

    Args:
        store: where to look.
        experiment_ids: in which MLflow experiments.
        query: which runs, or an MLflow filter, such as ``"params.\\`model.type\\` = 'MLP'"``.
    """
    return frame_of(store, store.search(experiment_ids, query, brief=True))


def frame_of(store: Store, found: Iterable[entities.Run], tags: Sequence[str] = ()) -> pd.DataFrame:
    """Runs that a search of a store found as rows, see :func:`runs`; some of their tags in columns named like these."""
    rows = [_row(run) | {tag: run.data.tags.get(tag) for tag in tags} for run in found]
    state(rows)
    return with_interrupted(store, _frame(rows))


def runs_of_kind(store: Store, experiment_ids: Sequence[str], kind: str, query: Query | str = "") -> pd.DataFrame:
    """The runs of one kind (see :mod:`qlab.tracking.names`) among those asked for, see :func:`runs`."""
    return runs(store, experiment_ids, Query.of(query).tagged({names.KIND: kind}))


def trials(store: Store, experiment_ids: Sequence[str], query: Query | str = "") -> pd.DataFrame:
    """The trials of some experiments, see :func:`runs`."""
    return runs_of_kind(store, experiment_ids, names.TRIAL, query)


def restated(frame: pd.DataFrame) -> pd.DataFrame:
    """Runs that were read at several times: what one does not state is filled in where another read states it.

    See :func:`runs`, which does so among the runs that are read together.
    """
    told = [name for name in frame if name in names.UNSTATED or name in OWNERS]
    rows = [
        {name: value for name, value in zip(told, values, strict=True) if not is_missing(value)}
        for values in frame[told].itertuples(index=False, name=None)
    ]
    before = [set(row) for row in rows]
    state(rows)
    filled = {name for row, had in zip(rows, before, strict=True) for name in row.keys() - had}
    columns = {name: pd.Series([row.get(name) for row in rows], index=frame.index, dtype=object) for name in filled}
    return frame.assign(**columns)


def metric_columns(frame: pd.DataFrame) -> list[str]:
    """The columns that hold metrics: params have dotted names, but for :data:`qlab.tracking.names.PLAIN_PARAMS`."""
    return [name for name in frame.columns if "." not in name and name not in (*names.COLUMNS, *names.PLAIN_PARAMS)]


def param_columns(frame: pd.DataFrame) -> list[str]:
    """The columns that hold params with dotted names: what a run's configuration says, other than its seeds."""
    return [name for name in frame.columns if "." in name and name not in names.COLUMNS]


def latest_per_trial(frame: pd.DataFrame) -> pd.DataFrame:
    """One row for each trial: its last finished run, or its last run if none has finished.

    Runs that do not say of which trial they are stand for themselves.
    """
    known = frame["trial"].where(frame["trial"].notna(), frame["run_id"])
    order = frame.assign(_finished=frame["status"] == "FINISHED", _of=known)
    order = order.sort_values(["_finished", "start"], kind="stable")
    return order.drop_duplicates("_of", keep="last").drop(columns=["_finished", "_of"]).sort_index()


def _row(run: Any) -> dict[str, Any]:
    tags, texts = run.data.tags, run.data.params
    audited = _below(tags, names.AUDIT)
    # A store deletes no metric: what an audit that has failed since found before, with other settings, is no result.
    stale = {own for metric, said in audited if said.startswith(names.METRIC_FAILED) for own in LOGGED.get(metric, ())}
    metrics = {name: params.metric(value) for name, value in run.data.metrics.items() if name not in stale}
    group, curve = tags.get(names.GROUP), tags.get(names.CURVE)
    if group is None or curve is None:  # of an older store
        derived = keys_of_params(texts, str(run.info.run_id))
        group = derived.group if group is None else group
        curve = derived.curve if curve is None else curve
    return {
        # What identifies a run comes last: no param or metric of others takes its place.
        **metrics,
        **{name: params.read(text) for name, text in texts.items()},
        "run_id": run.info.run_id,
        "experiment_id": run.info.experiment_id,
        "parent_id": tags.get(names.PARENT),
        "name": run.info.run_name,
        "kind": tags.get(names.KIND),
        "trial": tags.get(names.TRIAL_KEY),
        "status": run.info.status,
        "health": tags.get(names.HEALTH),
        "start": run.info.start_time,
        names.END: run.info.end_time,
        names.SEEN: _seen(run),
        names.ERROR: tags.get(names.ERROR),
        names.WORKER: tags.get(names.WORKER),
        names.TEACHER: tags.get(names.TEACHER),
        names.GROUP: group,
        names.CURVE: curve,
        names.NOT_FINITE: tuple(sorted(name for name, value in metrics.items() if not np.isfinite(value))),
        names.MEASURED: _below(tags, names.METRIC),
        names.AUDITED: audited,
    }


def _seen(run: Any) -> tuple[int, int] | None:
    """The last step and time of a running run's metrics."""
    if run.info.status != "RUNNING":
        return None
    signs = [(metric.step, metric.timestamp) for metric in run.data._metric_objs]
    return (max(step for step, _ in signs), max(time for _, time in signs)) if signs else None


def _below(tags: Mapping[str, str], start: str) -> tuple[tuple[str, str], ...]:
    """The tags whose names begin so: the rest of each name, and what the tag says."""
    return tuple(sorted((tag.removeprefix(start), said) for tag, said in tags.items() if tag.startswith(start)))


def _frame(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    found = dict.fromkeys(name for row in rows for name in row)
    ordered = (*names.COLUMNS, *(name for name in found if name not in names.COLUMNS))
    columns = {name: [row.get(name) for row in rows] for name in ordered}
    for name in (RATIO, "seed"):
        if name in columns:
            columns[name] = [params.number(value) for value in columns[name]]
    # Columns of params hold objects: pandas would make 4 beside a missing value 4.0, and of a long integer a float.
    return pd.DataFrame({name: _column(name, values) for name, values in columns.items()})


def _column(name: str, values: list[Any]) -> pd.Series[Any]:
    if name == RATIO:
        return pd.Series(values, dtype=float)
    whole = name == "seed" and all(isinstance(value, int) and abs(value) < 2**63 for value in values)
    is_param = "." in name or name in names.PLAIN_PARAMS
    return pd.Series(values, dtype=object if is_param and name not in names.COLUMNS and not whole else None)
