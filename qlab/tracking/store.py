"""The tracking store: an embedded SQLite file or any MLflow server."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import logging
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TypeVar
from urllib.parse import urlsplit
from urllib.request import url2pathname

import mlflow.entities as entities
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.entities import PagedList

from qlab import interrupts
from qlab.errors import StoreAwayError, StoreError, nearest
from qlab.tracking import ending, names, params, writes
from qlab.tracking.experiments import find_or_make
from qlab.tracking.faults import explain
from qlab.tracking.grouped.address import group_of, is_member
from qlab.tracking.grouped.groups import Groups
from qlab.tracking.grouped.member import DELETED, Member
from qlab.tracking.grouped.selecting import chosen_in_words, groups_asked, runs_asked
from qlab.tracking.moving import Home, look, settle
from qlab.tracking.opening import (
    be_brief,
    check_file,
    check_login,
    check_server,
    make_database,
    open_client,
    read_only_uri,
)
from qlab.tracking.patience import patiently
from qlab.tracking.query import Query
from qlab.tracking.redaction import redact, shown
from qlab.tracking.refusals import check_access
from qlab.tracking.uri import embedded_file, is_server, resolve
from qlab.tracking.writes import DatasetRecord as DatasetRecord
from qlab.tracking.writes import MetricRow as MetricRow
from qlab.tracking.writes import Status as Status

_ATTEMPTS = 5
"""How often params are tried that nobody else has written and the store refuses nevertheless."""

_RUNS_AT_ONCE = 100
_AT_ONCE = 8
"""Histories are read of so many runs in one query of a database; so many queries are put to a server at a time."""

_EVERY = 10_000_000
"""More values than a query of histories finds."""

_PATIENCE_SECONDS = {"file": 120.0, "server": 30.0}
"""How long a store that is locked or does not answer is tried again, by whether it is an SQLite file."""

_REST_SECONDS = 10.0
"""After patience has ended, or was interrupted, calls fail at once for so long: there may be many to come."""

T = TypeVar("T")


class Store:
    """Writes runs to a tracking store, and finds them there.

    A store that is locked by another process, or a server that does not answer, is tried again for a while.

    Runs have one of two forms, below this interface: a run of MLflow each, or, for thousands that differ in their seed,
    rows in the artifacts of one run, see :mod:`qlab.tracking.grouped`. Whoever reads or writes them sees no difference;
    ids of the latter are ``GROUP:KEY``.

    Args:
        uri: an MLflow tracking URI; by default ``MLFLOW_TRACKING_URI``, else the embedded store under ``mlruns``.
        create: whether to create the embedded store if there is none.
        read_only: nothing is written to it: an SQLite file is opened so that it cannot be, and stays as it is also
            if it was moved.
        tell: is given a line for people when the store is waited for; by default it goes to stderr.

    Raises:
        StoreError: the store cannot be opened, or ``create`` is False and there is none.
    """

    def __init__(
        self,
        uri: str | None = None,
        *,
        create: bool = True,
        read_only: bool = False,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self.uri = resolve(uri)
        self.tell = tell or _to_stderr
        file = embedded_file(self.uri)
        check_server(self.uri)
        if file is not None:
            check_file(file, create=create, read_only=read_only)
        else:
            be_brief()
            check_login(self.uri)
        if is_server(self.uri):
            check_access(self.uri)
        # What SQLAlchemy finds is raised and explained; MLflow would print its traceback too.
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
        if file is not None and not file.exists():
            make_database(file)
        self._file = file
        self._home: Home | None = None
        if file is not None:
            self._home, news = (look(file), None) if read_only else settle(file)
            if news is not None:
                self.tell(news)
        self._patience = _PATIENCE_SECONDS["server" if file is None else "file"]
        self._gave_up: tuple[float, StoreAwayError] | None = None
        self._places: dict[str, str] = {}
        self.groups = Groups(self)
        opened = self.uri if file is None or not read_only else read_only_uri(file)
        self.client = self._patiently(lambda again: open_client(opened))

    @property
    def location(self) -> str:
        """Where the store is, for people: without a password."""
        return shown(self.uri) if self._file is None else str(self._file)

    def experiment_id(self, name: str) -> str:
        """The MLflow experiment of that name, created if there is none."""
        return self._patiently(lambda again: find_or_make(self.client, self.uri, self._home, name))

    def find_experiment(self, name: str) -> str | None:
        """The MLflow experiment of that name, or None."""
        found = self._patiently(lambda again: self.client.get_experiment_by_name(name))
        return str(found.experiment_id) if found is not None and found.lifecycle_stage == "active" else None

    def experiments(self) -> dict[str, str]:
        """The ids of all MLflow experiments that are not deleted, by name."""
        found: dict[str, str] = {}
        token = None
        while True:
            page = self._experiments_page(token)
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

    def experiment_tags(self, experiment_id: str) -> dict[str, str]:
        """The tags of an MLflow experiment."""
        return dict(self._patiently(lambda again: self.client.get_experiment(experiment_id)).tags)

    def set_experiment_tags(self, experiment_id: str, tags: Mapping[str, str]) -> None:
        """Sets tags of an MLflow experiment."""
        self._write(writes.SetExperimentTags(experiment_id, dict(tags)))

    def create_run(
        self,
        experiment_id: str,
        name: str,
        *,
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        datasets: Sequence[DatasetRecord] = (),
        start: int | None = None,
        together: str | None = None,
    ) -> str:
        """Creates a running run, begun now or at a time in milliseconds since the epoch, and returns its id.

        Args:
            experiment_id: the MLflow experiment.
            name: for people.
            params: what is fixed.
            tags: of a run that is kept together with others, its kind, key and group among them.
            datasets: the data that it uses.
            start: when it began.
            together: what those are called that differ in their seed only, if the run is kept together with them.
        """
        if together is not None:
            began = start or now_ms()
            return self.groups.create(experiment_id, name, together, params or {}, tags or {}, datasets, began)
        own = uuid.uuid4().hex
        # What an SQLite file does not confirm it has not done; a server may have, and is asked for this tag.
        traced = {} if self._file is not None else {names.CLIENT: own}
        run_id = self._create(writes.CreateRun(own, experiment_id, name, {**(tags or {}), **traced}, start or now_ms()))
        if params:
            self.log(run_id, params=params)
        if datasets:
            self._write(writes.LogInputs(run_id, [dataclasses.asdict(dataset) for dataset in datasets]))
        return run_id

    def log(
        self,
        run_id: str,
        *,
        metrics: Iterable[MetricRow] = (),
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Logs metric values and params and sets tags of a run, together."""
        if is_member(run_id):
            return self.groups.log(run_id, metrics=metrics, params=params, tags=tags)
        self._write(writes.LogBatch(run_id, list(metrics), dict(params or {}), dict(tags or {})))

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Sets tags of a run."""
        self.log(run_id, tags=tags)

    def touch(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Sets tags if the store can be reached right now: neither tried again nor kept, as a sign of life is not."""
        with explain(self.uri):
            self.client.log_batch(
                self.known_as(run_id), tags=[entities.RunTag(key, value) for key, value in tags.items()]
            )

    def get_run(self, run_id: str) -> entities.Run:
        """A run with its params, tags and last metrics."""
        if is_member(run_id):
            return self.groups.get(run_id)
        run = self._patiently(lambda again: self.client.get_run(self.known_as(run_id)))
        self._places[str(run.info.run_id)] = self._artifacts_of(run.info)
        return run

    def delete_tag(self, run_id: str, name: str) -> None:
        """Takes a tag off a run; a run without it stays as it is."""
        if is_member(run_id):
            return self.groups.log(run_id, tags={name: ""})
        self._write(writes.DeleteTag(run_id, name))

    def log_params(self, run_id: str, params: Mapping[str, str]) -> bool:
        """Logs at most 100 params, all or none: a param is written once, whoever comes second is refused.

        Returns:
            False if one of them has another value already.
        """
        entries = [entities.Param(key, value) for key, value in params.items()]
        for attempt in range(_ATTEMPTS):
            try:
                self._patiently(lambda again: self.client.log_batch(self.known_as(run_id), params=entries))
                return True
            except StoreAwayError:
                raise
            except StoreError:
                known = self.get_run(run_id).data.params
                if any(known.get(key, value) != value for key, value in params.items()):
                    return False
                if attempt == _ATTEMPTS - 1:
                    raise
            time.sleep(0.05 * 2**attempt)
        return False

    def log_file(self, run_id: str, file: Path, folder: str | None = None) -> None:
        """Copies a file to a run's artifacts."""
        if is_member(run_id):
            return self.groups.add_file(run_id, f"{folder}/{file.name}" if folder else file.name, file.read_bytes())
        place = self._places.get(run_id)
        if place is None and self._home is not None:
            place = self._patiently(lambda again: self._place(run_id))  # MLflow would ask too, and not look twice
        self._write(writes.LogFile(run_id, str(file), folder, place))

    def log_content(self, run_id: str, path: str, content: bytes) -> None:
        """Makes a file of a run's artifacts."""
        if is_member(run_id):
            return self.groups.add_file(run_id, path, content)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / PurePosixPath(path).name
            file.write_bytes(content)
            self.log_file(run_id, file, path.rpartition("/")[0] or None)

    def fetch_file(self, run_id: str, path: str, folder: Path) -> Path:
        """A copy of one of a run's artifacts in a local folder."""
        if is_member(run_id):
            copy = folder / path
            content = self.groups.content(run_id, path)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(content)
            return copy
        return Path(self._patiently(lambda again: self._artifacts(run_id).download_artifacts(path, str(folder))))

    def has_file(self, run_id: str, path: str) -> bool:
        """Whether a run has an artifact of this path."""
        if is_member(run_id):
            return self.groups.has_file(run_id, path)
        parent = path.rpartition("/")[0] or None
        return any(item.path == path for item in self._patiently(lambda again: self._files(run_id, parent)))

    def local_file(self, run_id: str, path: str) -> Path | None:
        """Where one of a run's artifacts is on this machine, or would be; None if they are elsewhere."""
        uri = self._places.get(run_id)
        if uri is None and self._file is not None:  # of a server who has made or read the run knows it
            uri = self._patiently(lambda again: self._place(run_id))
        place = None if uri is None else Path(_on_this_machine(uri))
        return place / path if place is not None and place.is_absolute() else None

    def _files(self, run_id: str, folder: str | None) -> list[entities.FileInfo]:
        return list(self._artifacts(run_id).list_artifacts(folder))

    def _artifacts(self, run_id: str) -> ArtifactRepository:
        return get_artifact_repository(self._place(run_id), tracking_uri=self.uri)

    def _place(self, run_id: str) -> str:
        """The URI of a run's artifacts; asked once, as MLflow's client does for some runs only."""
        run_id = group_of(run_id)
        if run_id not in self._places:
            self._places[run_id] = self._artifacts_of(self.client.get_run(self.known_as(run_id)).info)
        return self._places[run_id]

    def _artifacts_of(self, run: entities.RunInfo) -> str:
        return str(run.artifact_uri if self._home is None else self._home.present(run.artifact_uri, run.run_id))

    def delete_local_folder(self, run_id: str, path: str) -> None:
        """Deletes a folder of a run's artifacts if the store is embedded; on a server it stays."""
        if self._file is not None and not is_member(run_id):
            shutil.rmtree(Path(self.artifact_place(run_id)) / path, ignore_errors=True)

    def delete_run(self, run_id: str) -> None:
        """Marks a run as deleted; MLflow keeps it until ``mlflow gc``."""
        if is_member(run_id):
            return self.groups.finish(run_id, DELETED, now_ms())
        self._patiently(lambda again: self.client.delete_run(self.known_as(run_id)))

    def metric_history(self, run_id: str, name: str) -> list[tuple[int, float]]:
        """All values of a metric with their steps, in order of steps."""
        if is_member(run_id):
            return self.groups.histories([run_id], name).get(run_id, [])
        found = self._patiently(lambda again: self.client.get_metric_history(self.known_as(run_id), name))
        return sorted((metric.step, params.metric(metric.value)) for metric in found)

    def metric_histories(self, run_ids: Sequence[str], name: str) -> dict[str, list[tuple[int, float]]]:
        """All values of a metric of many runs, by run, see :meth:`metric_history`; runs without it are left out.

        One query for a hundred runs of a database; a tracking server is asked for several runs at a time.
        """
        members = [run_id for run_id in run_ids if is_member(run_id)]
        if members:
            run_ids = [run_id for run_id in run_ids if not is_member(run_id)]
        found: dict[str, list[tuple[int, float]]] = self.groups.histories(members, name)
        bulk = getattr(self.client._tracking_client.store, "get_metric_history_bulk", None)
        if bulk is None:
            with concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as pool:
                histories = pool.map(lambda run_id: self.metric_history(run_id, name), run_ids)
                found |= {run_id: values for run_id, values in zip(run_ids, histories, strict=True) if values}
                return found
        for start in range(0, len(run_ids), _RUNS_AT_ONCE):
            part = list(run_ids[start : start + _RUNS_AT_ONCE])
            for item in self._patiently(lambda again, part=part: bulk(part, name, _EVERY)):  # type: ignore[misc]
                found.setdefault(item.run_id, []).append((item.step, params.metric(item.value)))
        return {run_id: values if is_member(run_id) else sorted(values) for run_id, values in found.items()}

    def files(self, run_id: str, folder: str | None = None) -> dict[str, int]:
        """The paths of a run's artifacts below a folder, and their sizes in bytes."""
        if is_member(run_id):
            within = f"{folder}/" if folder else ""
            return {path: size for path, size in self.groups.sizes(run_id).items() if path.startswith(within)}
        found: dict[str, int] = {}
        for item in self._patiently(lambda again: self._files(run_id, folder)):
            found |= self.files(run_id, item.path) if item.is_dir else {item.path: int(item.file_size or 0)}
        return found

    def check(self) -> None:
        """Asks for a sign of life.

        Raises:
            StoreError: the server does not answer, or the file is gone.
        """
        check_server(self.uri)
        if self._file is not None and not self._file.exists():
            raise StoreError(f"The store {self._file} is gone.")

    def reopen(self) -> None:
        """Lets go of connections to an embedded store's file: they would go on reading the one that was there."""
        engine = getattr(self.client._tracking_client.store, "engine", None)
        if engine is not None:
            engine.dispose()

    def last_steps(self, run_ids: Sequence[str], metrics: Iterable[str]) -> list[dict[str, int]]:
        """For each of some runs the last step of those of some metrics that it has."""
        found: list[dict[str, int]] = [{} for _ in run_ids]
        for metric in metrics:
            histories = self.metric_histories(run_ids, metric)
            for run_id, steps in zip(run_ids, found, strict=True):
                if run_id in histories:
                    steps[metric] = histories[run_id][-1][0]
        return found

    def note(self, run_id: str) -> str:
        """A run's description."""
        if is_member(run_id):
            return str(self.get_run(run_id).data.tags.get(names.NOTE, ""))
        run = self._patiently(lambda again: self.client.get_run(self.known_as(run_id)))
        return str(run.data.tags.get(names.NOTE, ""))

    def finish(self, run_id: str, status: Status = "FINISHED", time: int | None = None) -> None:
        """Ends a run, now or at a time in milliseconds since the epoch (or, with ``"RUNNING"``, starts it again)."""
        if is_member(run_id):
            return self.groups.finish(run_id, status, time or now_ms())
        self._write(writes.SetStatus(run_id, status, time or now_ms()))

    def end(self, run_ids: Sequence[str], status: Status, reason: str) -> None:
        """Ends runs that did not finish, with a reason of one line; in an embedded store all at once.

        On a server they are ended one after the other. If the command was stopped, that has an end as well: what is
        left is found to be interrupted by whoever reads it.
        """
        reason = redact(reason, self.uri)
        for run_id in filter(is_member, run_ids):
            self.groups.log(run_id, tags={names.ERROR: reason})
            self.groups.finish(run_id, status, now_ms())
        run_ids = [run_id for run_id in run_ids if not is_member(run_id)]
        if self._file is not None and (sessions := ending.database(self.client)) is not None:
            ids = [self.known_as(run_id) for run_id in run_ids]
            self._patiently(lambda again: ending.end_in_database(sessions, ids, status, reason, now_ms()))
            return
        for run_id in run_ids:
            if interrupts.seconds_left() <= 0:
                return
            self.finish(run_id, status)
            self.set_tags(run_id, {names.ERROR: reason})

    def running(self, experiment_id: str, worker: str) -> list[str]:
        """The runs of an MLflow experiment that a worker has and that are running."""
        if self._file is not None and (sessions := ending.database(self.client)) is not None:
            return self._patiently(lambda again: ending.running_in_database(sessions, experiment_id, worker))
        own = Query({names.WORKER: worker}, status="RUNNING")
        return [str(run.info.run_id) for run in self.search([experiment_id], own)]

    def search(
        self, experiment_ids: Sequence[str], query: Query | str = "", *, claims: bool = False
    ) -> Iterator[entities.Run]:
        """Runs that are asked for, oldest first; those that only hold locks if ``claims`` says so.

        Members of groups are among them (those of a group one after the other), their groups' own runs are not.
        """
        query = Query.of(query)
        self.groups.flush()
        if (own := runs_asked(query)) is not None:
            for run in self.search_kept(experiment_ids, own):
                if names.MEMBERS not in run.data.tags:
                    if claims or run.data.tags.get(names.KIND) != names.CLAIMS:
                        yield run
                elif not query.filter:
                    yield from self.groups.members(run, query)
        if query.filter and (groups := groups_asked(query)) is not None:
            for run in self.groups_of(experiment_ids, groups):
                yield from self._members(run, query)

    def search_kept(self, experiment_ids: Sequence[str], query: Query) -> Iterator[entities.Run]:
        """Runs as MLflow has them, oldest first: those of groups instead of their members, and those of locks."""
        token: str | None = None
        while experiment_ids:
            page = self._page(list(experiment_ids), query.filter, token)
            self._places |= {str(run.info.run_id): self._artifacts_of(run.info) for run in page}
            yield from page
            token = page.token
            if not token:
                return

    def groups_of(self, experiment_ids: Sequence[str], query: Query) -> Iterator[entities.Run]:
        """The runs of groups that are asked for, as MLflow has them."""
        having = query if query.tags.keys() & {names.MEMBERS} else dataclasses.replace(query, having=names.MEMBERS)
        return self.search_kept(experiment_ids, having)

    def _members(self, run: entities.Run, query: Query) -> list[Member]:
        found = self.groups.members(run, dataclasses.replace(query, text=""))
        if not query.text:
            return found
        with explain(self.uri, query.filter):
            return chosen_in_words(found, query.text)

    def _page(self, experiment_ids: list[str], filter_string: str, token: str | None) -> PagedList[entities.Run]:
        return self._patiently(
            lambda again: self.client.search_runs(
                experiment_ids,
                filter_string,
                max_results=1000,
                order_by=["attributes.start_time ASC"],
                page_token=token,
            ),
            filter_string=filter_string,
        )

    def artifact_place(self, run_id: str) -> str:
        """Where a run's artifacts are: a folder of this machine, or a URI."""
        return _on_this_machine(self._patiently(lambda again: self._place(run_id)))

    def _experiments_page(self, token: str | None) -> PagedList[entities.Experiment]:
        return self._patiently(lambda again: self.client.search_experiments(page_token=token))

    def known_as(self, run_id: str) -> str:
        """The id that the store knows a run by."""
        return run_id

    def flush(self, *, due: bool = False) -> None:
        """Writes what is gathered of runs that are kept together and have ended; only if it is time, if ``due``."""
        if not due or self.groups.is_due():
            self.groups.flush()

    def settle(self, seconds: float) -> bool:
        """Whether everything written so far is in the store; waits while it gets there, else at most so long.

        To be asked before what a run has written is read back.
        """
        return True

    def unsent(self) -> str | None:
        """What waits on this machine to be sent, in a sentence; None if all is in the store."""
        return None

    def _create(self, write: writes.CreateRun) -> str:
        """Creates a run and returns its id, which is the one its writer made if it is kept and sent later."""
        made = self._write(write)
        if made is None:
            return write.run
        self._places[made.run_id] = self._artifacts_of(made)
        return str(made.run_id)

    def _write(self, write: writes.Write) -> entities.RunInfo | None:
        """Writes to the store; the run that this creates, if it does."""
        return self._patiently(lambda again: write.send(self.client, self.known_as, again=again))

    def _patiently(self, action: Callable[[bool], T], *, filter_string: str = "", seconds: float | None = None) -> T:
        """The result of calls of MLflow, which are tried again while the store is away.

        Args:
            action: see :func:`qlab.tracking.patience.patiently`.
            filter_string: one that it hands to MLflow.
            seconds: how long; by default as suits the store.
        """
        if self._gave_up is not None and time.monotonic() - self._gave_up[0] < _REST_SECONDS:
            raise self._gave_up[1]

        waited = False

        def explained(again: bool) -> T:
            nonlocal waited
            waited = again
            with explain(self.uri, filter_string):
                return action(again)

        patience = min(self._patience if seconds is None else seconds, interrupts.seconds_left())
        try:
            found = patiently(explained, patience, lambda: self.tell(self._waiting(patience)))
        except (StoreAwayError, KeyboardInterrupt) as error:
            if isinstance(error, StoreAwayError):
                self._gave_up = (time.monotonic(), error)
            elif waited:  # the store is away: clean-up does not wait for it as well
                self._gave_up = (time.monotonic(), StoreAwayError(f"Waited for {self.location} in vain."))
            raise
        self._gave_up = None
        return found

    def _waiting(self, patience: float) -> str:
        reason = "does not answer yet" if self._file is None else "is locked by another process, or slow"
        return f"Waiting for the store {self.location}, which {reason}; for up to {patience:.0f} s, then this stops."


def _on_this_machine(uri: str) -> str:
    """A folder of this machine, or the URI."""
    return url2pathname(urlsplit(uri).path) if uri.startswith("file:") else uri


def now_ms() -> int:
    """The time in milliseconds since the epoch."""
    return int(time.time() * 1000)


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
