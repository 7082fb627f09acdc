"""Many runs at once out of a database: in a few queries, without what MLflow makes of each param, tag and metric.

MLflow's own search makes an object of each of them, twice, and asks what data every run used: of 3,000 runs it takes
seconds, a table of them needs none of it.
"""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import mlflow.entities as entities
from mlflow.store.tracking.dbmodels.models import SqlLatestMetric, SqlMetric, SqlParam, SqlRun, SqlTag
from mlflow.utils.search_utils import SearchUtils
from sqlalchemy import Select, select

from qlab.tracking.query import Query

try:
    from mlflow.store.tracking.sqlalchemy_store import _get_sqlalchemy_filter_clauses as _clauses
except ImportError:  # another release of MLflow, whose own search is slower and finds the same
    _clauses = None

KNOWS_WORDS: Final = _clauses is not None
"""Whether filters in MLflow's words are understood here."""

AT_ONCE = 500
"""So many runs are in one statement; SQLite takes 999 values in old versions."""

_NAME = "mlflow.runName"
"""The tag in which older versions of MLflow kept a run's name."""


class Sign(NamedTuple):
    """When a metric was logged last.

    Args:
        step: at which step.
        timestamp: in milliseconds since the epoch.
    """

    step: int
    timestamp: int


@dataclasses.dataclass(eq=False)
class Data:
    """What a run holds, by names, as in MLflow's own class.

    Args:
        params: text.
        tags: text.
        metrics: last values.
    """

    params: dict[str, str]
    tags: dict[str, str]
    metrics: dict[str, float]
    _metric_objs: list[Sign]


@dataclasses.dataclass(eq=False)
class BriefRun:
    """A run as MLflow has it, but for the data sets that it used.

    Args:
        info: what it is.
        data: what it holds.
    """

    info: entities.RunInfo
    data: Data


def runs_in_database(sessions: Any, experiment_ids: Sequence[str], query: Query) -> list[entities.RunInfo]:
    """What the runs are that are asked for, oldest first, as MLflow orders them.

    Args:
        sessions: see :func:`qlab.tracking.ending.database`.
        experiment_ids: in which MLflow experiments.
        query: which runs.

    Raises:
        MlflowException: MLflow does not understand the query's words.
    """
    wanted = (
        SqlRun.experiment_id.in_([int(number) for number in experiment_ids]),
        SqlRun.lifecycle_stage == entities.LifecycleStage.ACTIVE,
        *(SqlRun.run_uuid.in_(_tagged(name).where(SqlTag.value == value)) for name, value in query.tags.items()),
        *([SqlRun.run_uuid.in_(_tagged(query.having).where(SqlTag.value != ""))] if query.having is not None else []),
        *([SqlRun.status == query.status] if query.status is not None else []),
        *([SqlRun.start_time >= query.since] if query.since is not None else []),
        *([SqlRun.run_uuid.in_(query.run_ids)] if query.run_ids else []),
    )
    columns = (
        *(SqlRun.run_uuid, SqlRun.experiment_id, SqlRun.user_id, SqlRun.status, SqlRun.start_time, SqlRun.end_time),
        *(SqlRun.lifecycle_stage, SqlRun.artifact_uri, SqlRun.name),
    )
    ordered = select(*columns).distinct().where(*wanted).order_by(SqlRun.start_time, SqlRun.run_uuid)
    with sessions() as session:
        if query.text:
            ordered = _in_words(ordered, query.text, session)
        return [
            entities.RunInfo(
                run_id, str(experiment), user or "", status, start, end, stage, artifact_uri=uri, run_name=name
            )
            for run_id, experiment, user, status, start, end, stage, uri, name in session.execute(ordered)
        ]


def with_data(sessions: Any, infos: Sequence[entities.RunInfo]) -> list[BriefRun]:
    """Runs with their params, tags and last metrics, in the same order, in three queries.

    Args:
        sessions: see :func:`qlab.tracking.ending.database`.
        infos: what they are, at most :data:`AT_ONCE`.
    """
    ids = [info.run_id for info in infos]
    texts: dict[Any, dict[str, dict[str, str]]] = {}
    values: dict[str, dict[str, float]] = collections.defaultdict(dict)
    signs: dict[str, list[Sign]] = collections.defaultdict(list)
    running = {info.run_id for info in infos if info.status == "RUNNING"}
    with sessions() as session:
        for table in (SqlParam, SqlTag):
            own = texts[table] = collections.defaultdict(dict)
            for run_id, name, text in session.execute(
                select(table.run_uuid, table.key, table.value).where(table.run_uuid.in_(ids))
            ):
                own[run_id][name] = text
        metric = SqlLatestMetric
        for run_id, name, value, is_nan, step, time in session.execute(
            select(metric.run_uuid, metric.key, metric.value, metric.is_nan, metric.step, metric.timestamp).where(
                metric.run_uuid.in_(ids)
            )
        ):
            values[run_id][name] = math.nan if is_nan else value
            if run_id in running:
                signs[run_id].append(Sign(step, time))
    found = []
    for info in infos:
        params, tags = (texts[table][info.run_id] for table in (SqlParam, SqlTag))
        if not info.run_name and _NAME in tags:
            info._set_run_name(tags[_NAME])
        found.append(BriefRun(info, Data(params, tags, values[info.run_id], signs[info.run_id])))
    return found


def histories_in_database(sessions: Any, run_ids: Sequence[str], name: str) -> list[tuple[str, int, float]]:
    """All values of a metric of some runs: run, step and value.

    Args:
        sessions: see :func:`qlab.tracking.ending.database`.
        run_ids: at most :data:`AT_ONCE`.
        name: of the metric.
    """
    metric = SqlMetric
    wanted = select(metric.run_uuid, metric.step, metric.value, metric.is_nan).where(
        metric.key == name, metric.run_uuid.in_(run_ids)
    )
    with sessions() as session:
        found = session.execute(wanted).all()
    return [(run_id, step, math.nan if is_nan else value) for run_id, step, value, is_nan in found]


def _in_words(runs: Select[Any], text: str, session: Any) -> Select[Any]:
    """Runs to which a filter of MLflow's applies: with the conditions that its own search makes of it."""
    parsed = SearchUtils.parse_search_filter(text)
    own, joined, datasets = _clauses(parsed, session, session.get_bind().dialect.name)
    for part in joined:
        runs = runs.join(part)
    for part in datasets:
        runs = runs.join(part, SqlRun.run_uuid == part.c.destination_id)
    return runs.where(*own)


def _tagged(name: str) -> Select[Any]:
    return select(SqlTag.run_uuid).where(SqlTag.key == name)
