"""The tracking store: an embedded SQLite file or any MLflow server."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import json
import logging
import os
import shutil
import socket
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit
from urllib.request import url2pathname

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # a research tool does not phone home
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

import mlflow.entities as entities
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from qlab.errors import StoreError, nearest
from qlab.tracking import names
from qlab.tracking.uri import embedded_file, resolve

MetricRow = tuple[str, float, int, int]
"""Name, value, step, and time in milliseconds since the epoch."""

Status = Literal["FINISHED", "FAILED", "KILLED", "RUNNING"]

_SERVER_SECONDS = 10.0
"""How long a tracking server may take to accept a connection."""

_ATTEMPTS = 5
"""How often params are tried that nobody else has written and the store refuses nevertheless, as when it is locked."""

_BATCH = 1000
"""MLflow takes so many metrics at once."""

_RUNS_AT_ONCE = 100
_AT_ONCE = 8
"""Histories are read of so many runs in one query of a database; so many queries are put to a server at a time."""

_EVERY = 10_000_000
"""More values than a query of histories finds."""


@dataclasses.dataclass(frozen=True)
class DatasetRecord:
    """What a run says of the data it used.

    Args:
        name: for people.
        digest: identifies the content.
        context: what it was used for: "training" or "validation".
        source: how it came about, JSON.
        profile: sizes and the like.
    """

    name: str
    digest: str
    context: str
    source: Mapping[str, Any]
    profile: Mapping[str, Any]

    def to_mlflow(self) -> entities.DatasetInput:
        """The record as MLflow's entity."""
        dataset = entities.Dataset(
            name=self.name,
            digest=self.digest,
            source_type="qlab",
            source=json.dumps(dict(self.source)),
            profile=json.dumps(dict(self.profile)),
        )
        return entities.DatasetInput(dataset=dataset, tags=[entities.InputTag(names.DATASET_CONTEXT, self.context)])


class Store:
    """Writes runs to a tracking store, and finds them there.

    Args:
        uri: an MLflow tracking URI; by default ``MLFLOW_TRACKING_URI``, else the embedded store under ``mlruns``.
        create: whether to create the embedded store if there is none.

    Raises:
        StoreError: the store cannot be opened, or ``create`` is False and there is none.
    """

    def __init__(self, uri: str | None = None, *, create: bool = True) -> None:
        self.uri = resolve(uri)
        file = embedded_file(self.uri)
        _check_server(self.uri)
        if file is not None:
            _check_database(file)
        if file is not None and not file.exists():
            if not create:
                raise StoreError(f"There is no store at {file}; `qlab run` makes one.")
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StoreError(f"The store {file} cannot be made: {error.strerror}: {error.filename}") from None
        if file is not None and not _writable(file):
            raise StoreError(f"The store {file} cannot be written: no permission. Give another with --tracking-uri.")
        self._file = file
        with _explained(self.uri), _quiet():
            self.client = MlflowClient(self.uri)
            self.client.search_experiments(max_results=1)

    @property
    def location(self) -> str:
        """Where the store is, for people."""
        return self.uri if self._file is None else str(self._file)

    def experiment_id(self, name: str) -> str:
        """The MLflow experiment of that name, created if there is none."""
        with _explained(self.uri):
            found = self.client.get_experiment_by_name(name)
            if found is None:
                artifacts = None if self._file is None else self._artifact_root()
                try:
                    return str(self.client.create_experiment(name, artifact_location=artifacts))
                except MlflowException:
                    # Somebody else may have created it in the meantime.
                    found = self.client.get_experiment_by_name(name)
                    if found is None:
                        raise
            if found.lifecycle_stage != "active":
                raise StoreError(
                    f'The MLflow experiment "{name}" was deleted; restore it in the MLflow UI, or rename this one.'
                )
            return str(found.experiment_id)

    def find_experiment(self, name: str) -> str | None:
        """The MLflow experiment of that name, or None."""
        with _explained(self.uri):
            found = self.client.get_experiment_by_name(name)
        return str(found.experiment_id) if found is not None and found.lifecycle_stage == "active" else None

    def experiments(self) -> dict[str, str]:
        """The ids of all MLflow experiments that are not deleted, by name."""
        found: dict[str, str] = {}
        token = None
        while True:
            with _explained(self.uri):
                page = self.client.search_experiments(page_token=token)
            found |= {item.name: str(item.experiment_id) for item in page}
            token = page.token
            if not token:
                return found

    def experiment_names(self) -> set[str]:
        """The names of all MLflow experiments that are not deleted."""
        return set(self.experiments())

    def experiment_ids(self, wanted: Sequence[str] = ()) -> list[str]:
        """The ids of the experiments named, by default of all.

        Raises:
            StoreError: no experiment of such a name.
        """
        every = self.experiments()
        for name in wanted:
            if name not in every:
                choices = ", ".join(sorted(every)) or "none"
                raise StoreError(
                    f'The store {self.location} has no experiment "{name}".{nearest(name, every)} It has: {choices}.'
                )
        return [every[name] for name in wanted or every]

    def create_run(
        self,
        experiment_id: str,
        name: str,
        *,
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        datasets: Sequence[DatasetRecord] = (),
    ) -> str:
        """Creates a running run and returns its id."""
        with _explained(self.uri):
            run = self.client.create_run(experiment_id, run_name=name, tags=dict(tags or {}))
            run_id = str(run.info.run_id)
            if params:
                self.client.log_batch(run_id, params=[entities.Param(key, value) for key, value in params.items()])
            if datasets:
                self.client.log_inputs(run_id, [dataset.to_mlflow() for dataset in datasets])
        return run_id

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Sets tags of a run."""
        with _explained(self.uri):
            self.client.log_batch(run_id, tags=[entities.RunTag(key, value) for key, value in tags.items()])

    def get_run(self, run_id: str) -> entities.Run:
        """A run with its params, tags and last metrics."""
        with _explained(self.uri):
            return self.client.get_run(run_id)

    def delete_tag(self, run_id: str, name: str) -> None:
        """Takes a tag off a run; a run without it stays as it is."""
        with _explained(self.uri):
            if name in self.client.get_run(run_id).data.tags:
                self.client.delete_tag(run_id, name)

    def log_params(self, run_id: str, params: Mapping[str, str]) -> bool:
        """Logs at most 100 params, all or none: a param is written once, whoever comes second is refused.

        Returns:
            False if one of them has another value already.
        """
        entries = [entities.Param(key, value) for key, value in params.items()]
        for attempt in range(_ATTEMPTS):
            with _explained(self.uri):
                try:
                    self.client.log_batch(run_id, params=entries)
                    return True
                except MlflowException:
                    known = self.client.get_run(run_id).data.params
                    if any(known.get(key, value) != value for key, value in params.items()):
                        return False
                    if attempt == _ATTEMPTS - 1:
                        raise
            time.sleep(0.05 * 2**attempt)
        return False

    def log_metrics(self, run_id: str, rows: Iterable[MetricRow]) -> None:
        """Logs metric values, in batches."""
        metrics = [entities.Metric(name, value, time, step) for name, value, step, time in rows]
        with _explained(self.uri):
            for start in range(0, len(metrics), _BATCH):
                self.client.log_batch(run_id, metrics=metrics[start : start + _BATCH])

    def log_file(self, run_id: str, file: Path, folder: str | None = None) -> None:
        """Copies a file to a run's artifacts."""
        with _explained(self.uri):
            self.client.log_artifact(run_id, str(file), folder)

    def fetch_file(self, run_id: str, path: str, folder: Path) -> Path:
        """A copy of one of a run's artifacts in a local folder."""
        with _explained(self.uri):
            return Path(self.client.download_artifacts(run_id, path, str(folder)))

    def has_file(self, run_id: str, path: str) -> bool:
        """Whether a run has an artifact of this path."""
        with _explained(self.uri):
            return any(
                item.path == path for item in self.client.list_artifacts(run_id, path.rpartition("/")[0] or None)
            )

    def delete_local_folder(self, run_id: str, path: str) -> None:
        """Deletes a folder of a run's artifacts if it is on this machine; on a server it stays."""
        place = Path(self.artifact_place(run_id))
        if place.is_absolute():
            shutil.rmtree(place / path, ignore_errors=True)

    def delete_run(self, run_id: str) -> None:
        """Marks a run as deleted; MLflow keeps it until ``mlflow gc``."""
        with _explained(self.uri):
            self.client.delete_run(run_id)

    def metric_history(self, run_id: str, name: str) -> list[tuple[int, float]]:
        """All values of a metric with their steps, in order of steps."""
        with _explained(self.uri):
            return sorted((metric.step, metric.value) for metric in self.client.get_metric_history(run_id, name))

    def metric_histories(self, run_ids: Sequence[str], name: str) -> dict[str, list[tuple[int, float]]]:
        """All values of a metric of many runs, by run, see :meth:`metric_history`; runs without it are left out.

        One query for a hundred runs of a database; a tracking server is asked for several runs at a time.
        """
        found: dict[str, list[tuple[int, float]]] = {}
        bulk = getattr(self.client._tracking_client.store, "get_metric_history_bulk", None)
        if bulk is None:
            with concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as pool:
                histories = pool.map(lambda run_id: self.metric_history(run_id, name), run_ids)
                return {run_id: values for run_id, values in zip(run_ids, histories, strict=True) if values}
        with _explained(self.uri):
            for start in range(0, len(run_ids), _RUNS_AT_ONCE):
                for item in bulk(list(run_ids[start : start + _RUNS_AT_ONCE]), name, _EVERY):
                    found.setdefault(item.run_id, []).append((item.step, item.value))
        return {run_id: sorted(values) for run_id, values in found.items()}

    def files(self, run_id: str, folder: str | None = None) -> dict[str, int]:
        """The paths of a run's artifacts below a folder, and their sizes in bytes."""
        with _explained(self.uri):
            items = self.client.list_artifacts(run_id, folder)
        found: dict[str, int] = {}
        for item in items:
            found |= self.files(run_id, item.path) if item.is_dir else {item.path: int(item.file_size or 0)}
        return found

    def check(self) -> None:
        """Asks for a sign of life.

        Raises:
            StoreError: the server does not answer, or the file is gone.
        """
        _check_server(self.uri)
        if self._file is not None and not self._file.exists():
            raise StoreError(f"The store {self._file} is gone.")

    def last_steps(self, run_id: str) -> dict[str, int]:
        """The last step of every metric that a run has."""
        return {name: self.metric_history(run_id, name)[-1][0] for name in self.get_run(run_id).data.metrics}

    def note(self, run_id: str) -> str:
        """A run's description."""
        with _explained(self.uri):
            return str(self.client.get_run(run_id).data.tags.get(names.NOTE, ""))

    def finish(self, run_id: str, status: Status = "FINISHED") -> None:
        """Ends a run (or, with ``"RUNNING"``, starts it again)."""
        with _explained(self.uri):
            if status == "RUNNING":
                self.client.update_run(run_id, status=status)
            else:
                self.client.set_terminated(run_id, status)

    def search(
        self, experiment_ids: Sequence[str], filter_string: str = "", *, claims: bool = False
    ) -> Iterator[entities.Run]:
        """Runs that match an MLflow filter, oldest first; those that only hold claims if they are asked for."""
        token = None
        while experiment_ids:
            with _explained(self.uri, filter_string):
                page = self.client.search_runs(
                    list(experiment_ids),
                    filter_string,
                    max_results=1000,
                    order_by=["attributes.start_time ASC"],
                    page_token=token,
                )
            yield from (run for run in page if claims or run.data.tags.get(names.KIND) != names.CLAIMS)
            token = page.token
            if not token:
                return

    def artifact_place(self, run_id: str) -> str:
        """Where a run's artifacts are: a folder of this machine, or a URI."""
        with _explained(self.uri):
            uri = str(self.client.get_run(run_id).info.artifact_uri)
        return url2pathname(urlsplit(uri).path) if uri.startswith("file:") else uri

    def _artifact_root(self) -> str:
        assert self._file is not None
        return (self._file.parent / "artifacts").resolve().as_uri()


def now_ms() -> int:
    """The time in milliseconds since the epoch."""
    return int(time.time() * 1000)


def _writable(file: Path) -> bool:
    places = [file, file.parent] if file.exists() else [file.parent]
    return all(os.access(place, os.W_OK) for place in places)


@contextlib.contextmanager
def _explained(uri: str, filter_string: str = "") -> Iterator[None]:
    """Turns what MLflow raises into one message about the store (or about a filter that it does not understand)."""
    try:
        yield
    except StoreError:
        raise
    except MlflowException as error:
        if filter_string and error.error_code == "INVALID_PARAMETER_VALUE":
            raise StoreError(f"MLflow does not accept the filter {filter_string!r}: {error.message}") from None
        raise StoreError(f"The tracking store {uri} cannot be used: {str(error).strip().splitlines()[0]}") from error
    except (SQLAlchemyError, OSError, ImportError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise StoreError(f"The tracking store {uri} cannot be used: {reason}") from error


def _check_server(uri: str) -> None:
    """Asks a tracking server for a sign of life: MLflow itself would try for minutes before it says that there is none.

    Raises:
        StoreError: nobody answers at that address.
    """
    address = urlsplit(uri)
    if address.scheme not in ("http", "https"):
        return
    try:
        port = address.port or (443 if address.scheme == "https" else 80)
        socket.create_connection((address.hostname or "", port), timeout=_SERVER_SECONDS).close()
    except (OSError, ValueError) as error:
        raise StoreError(
            f"The tracking server {uri} does not answer: {error}. Is it running, and the address right?"
        ) from None


def _check_database(file: Path) -> None:
    """Raises StoreError for a path that exists and is no SQLite file; MLflow would retry for a minute."""
    if file.is_dir():
        raise StoreError(f"The store {file} is a folder; name a file in it: sqlite:///{file / 'mlflow.db'}")
    if not file.exists():
        return
    try:
        with file.open("rb") as opened:
            start = opened.read(16)
    except OSError as error:
        raise StoreError(f"The store {file} cannot be read: {error.strerror}.") from None
    if start not in (b"", b"SQLite format 3\0"):
        raise StoreError(f"The store {file} is not a database (no SQLite file); give another with --tracking-uri.")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silences the log of schema migrations, which a new store runs through."""
    loggers = [logging.getLogger(name) for name in ("alembic", "mlflow.store.db.utils", "mlflow")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
