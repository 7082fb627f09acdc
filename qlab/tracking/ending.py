"""Ending many runs at once: a command that is stopped has seconds, and may have thousands of runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mlflow import MlflowClient
from mlflow.store.tracking.dbmodels.models import SqlRun, SqlTag

from qlab.tracking import names

if TYPE_CHECKING:
    from qlab.tracking.writes import Status

_AT_ONCE = 500
"""So many runs are in one statement; SQLite takes 999 values in old versions."""


def database(client: MlflowClient) -> Any:
    """What makes sessions of the database that a client writes to itself; None if it talks to a server."""
    return getattr(client._tracking_client.store, "ManagedSessionMaker", None)


def end_in_database(sessions: Any, run_ids: Sequence[str], status: Status, reason: str, time: int) -> None:
    """Ends runs in two statements for each :data:`_AT_ONCE`: all of them, or none.

    Args:
        sessions: see :func:`database`.
        run_ids: the runs.
        status: of all.
        reason: of all, for their tag ``qlab.error``.
        time: in milliseconds since the epoch.
    """
    with sessions(read_only=False) as session:
        for start in range(0, len(run_ids), _AT_ONCE):
            part = list(run_ids[start : start + _AT_ONCE])
            own = session.query(SqlRun).filter(SqlRun.run_uuid.in_(part))
            own.update({"status": status, "end_time": time}, synchronize_session=False)
            old = session.query(SqlTag).filter(SqlTag.run_uuid.in_(part), SqlTag.key == names.ERROR)
            old.delete(synchronize_session=False)
            tags = [{"run_uuid": run_id, "key": names.ERROR, "value": reason} for run_id in part]
            session.bulk_insert_mappings(SqlTag, tags)


def running_in_database(sessions: Any, experiment_id: str, worker: str) -> list[str]:
    """The runs of an MLflow experiment that a worker has and that are running."""
    with sessions() as session:
        found = (
            session.query(SqlRun.run_uuid)
            .join(SqlTag, SqlTag.run_uuid == SqlRun.run_uuid)
            .filter(SqlRun.experiment_id == int(experiment_id), SqlRun.status == "RUNNING")
            .filter(SqlTag.key == names.WORKER, SqlTag.value == worker)
        )
        return [str(run_id) for (run_id,) in found]
