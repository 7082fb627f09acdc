"""Runs as wholes, for who takes them elsewhere: all values of all metrics with their times, all files."""

from __future__ import annotations

import concurrent.futures
import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import mlflow.entities as entities
from mlflow.store.tracking.dbmodels.models import SqlMetric

from qlab.digests import file_digest
from qlab.errors import StoreError
from qlab.tracking import ending, names
from qlab.tracking.grouped.address import is_member
from qlab.tracking.store import DatasetRecord, MetricRow, Store

_AT_ONCE = 8
"""So many metrics of a run are asked a server for at a time."""

_STATES = f"{names.RESUME_SLOTS[0].partition('/')[0]}/"


def history(store: Store, run: entities.Run) -> list[MetricRow]:
    """All values of all metrics of a run, in order of names, steps and times."""
    run_id = str(run.info.run_id)
    if is_member(run_id):
        return store.groups.history(run_id)
    sessions = ending.database(store.client)
    if sessions is not None:
        rows = store._patiently(lambda again: _in_database(sessions, run_id))
    else:
        rows = store._patiently(lambda again: _of_server(store, run))
    return sorted(rows, key=lambda row: (row[0], row[2], row[3]))


def _in_database(sessions: Any, run_id: str) -> list[MetricRow]:
    columns = (SqlMetric.key, SqlMetric.value, SqlMetric.step, SqlMetric.timestamp, SqlMetric.is_nan)
    with sessions() as session:
        found = session.query(*columns).filter(SqlMetric.run_uuid == run_id)
        return [(name, float("nan") if nan else value, step, time) for name, value, step, time, nan in found]


def _of_server(store: Store, run: entities.Run) -> list[MetricRow]:
    run_id = str(run.info.run_id)
    with concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as pool:
        histories = pool.map(lambda name: store.client.get_metric_history(run_id, name), run.data.metrics)
        return [(item.key, item.value, item.step, item.timestamp) for part in histories for item in part]


def log_inputs(store: Store, run_id: str, inputs: list[entities.DatasetInput]) -> None:
    """Logs the data sets that another run used, as they are."""
    if inputs and is_member(run_id):
        store.groups.log_inputs(run_id, [DatasetRecord.of(item) for item in inputs])
    elif inputs:
        store._patiently(lambda again: store.client.log_inputs(run_id, inputs))


@contextlib.contextmanager
def files_of(store: Store, run: entities.Run) -> Iterator[dict[str, Path]]:
    """Files with a run's artifacts that matter, by the artifacts' paths; wherever they are, they are only to be read.

    States of a training are left out where it has finished.

    Raises:
        StoreError: a file that a finished run has to have is missing, or is not the one that was written.
    """
    run_id = str(run.info.run_id)
    place = Path() if is_member(run_id) else Path(store.artifact_place(run_id))
    with contextlib.ExitStack() as stack:
        if place.is_absolute():
            paths = {path.relative_to(place).as_posix(): path for path in sorted(place.rglob("*")) if path.is_file()}
        else:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            paths = {path: folder / _inside(path) for path in store.files(run_id)}
        finished = run.info.status == "FINISHED"
        paths = {name: path for name, path in paths.items() if not (finished and name.startswith(_STATES))}
        if not place.is_absolute():
            for name in paths:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                store.fetch_file(run_id, name, folder)
        _check(run, paths)
        yield paths


def _inside(path: str) -> str:
    """The path, which a server has said, if it stays within a folder."""
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise StoreError(f"its artifact {path} has a path that leads out of its folder")
    return path


def _check(run: entities.Run, paths: dict[str, Path]) -> None:
    if run.info.status != "FINISHED":
        return
    tags = run.data.tags
    expected = tags.get(names.CHECKPOINT_DIGEST)
    of_kind = {names.EXPERIMENT: names.CONFIGS, names.PROBE: names.PROBE_RESULT}
    for name in (names.CHECKPOINT if expected is not None else None, of_kind.get(tags.get(names.KIND, ""))):
        if name is not None and name not in paths:
            raise StoreError(f"its artifact {name} is missing")
    if expected is not None and _digest(paths[names.CHECKPOINT]) != expected:
        raise StoreError(f"its artifact {names.CHECKPOINT} is damaged")


def _digest(path: Path) -> str:
    try:
        return file_digest(path)
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from None
