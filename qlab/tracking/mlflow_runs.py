"""Runs as MLflow has them: written, found and ended."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import mlflow.entities as entities
from mlflow.store.entities import PagedList

from qlab import interrupts
from qlab.errors import StoreAwayError, StoreError
from qlab.tracking import bulk, ending, names, params, writes
from qlab.tracking.clock import now_ms
from qlab.tracking.faults import explain
from qlab.tracking.query import Query
from qlab.tracking.redaction import redact
from qlab.tracking.run_files import RunFiles
from qlab.tracking.writes import DatasetRecord, MetricRow, Status

_ATTEMPTS = 5
"""How often params are tried that nobody else has written and the store refuses nevertheless."""

_RUNS_AT_ONCE = 100
_AT_ONCE = 8
"""Histories are read of so many runs in one query of a database; so many queries are put to a server at a time."""

_EVERY = 10_000_000
"""More values than a query of histories finds."""


class MlflowRuns(RunFiles):
    """What a store does with runs, each of which is one of MLflow's. Args: see :class:`qlab.tracking.store.Store`."""

    def create_run(
        self,
        experiment_id: str,
        name: str,
        *,
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        datasets: Sequence[DatasetRecord] = (),
        start: int | None = None,
    ) -> str:
        """Creates a running run, begun now or at a time in milliseconds since the epoch, and returns its id.

        Args:
            experiment_id: the MLflow experiment.
            name: for people.
            params: what is fixed.
            tags: of the run.
            datasets: the data that it uses.
            start: when it began.
        """
        own = uuid.uuid4().hex
        # What an SQLite file does not confirm it has not done; a server may have, and is asked for this tag.
        traced = {} if self._file is not None else {names.CLIENT: own}
        run_id = self._create(writes.CreateRun(own, experiment_id, name, {**(tags or {}), **traced}, start or now_ms()))
        if params:
            self.log(run_id, params=params)
        if datasets:
            self._write(writes.LogInputs(run_id, [dataclasses.asdict(dataset) for dataset in datasets]))
        return run_id

    def _create(self, write: writes.CreateRun) -> str:
        """Creates a run and returns its id, which is the one its writer made if it is kept and sent later."""
        made = self._write(write)
        if made is None:
            return write.run
        self._places[made.run_id] = self._artifacts_of(made)
        return str(made.run_id)

    def log(
        self,
        run_id: str,
        *,
        metrics: Iterable[MetricRow] = (),
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Logs metric values and params and sets tags of a run, together."""
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

    def delete_tag(self, run_id: str, name: str) -> None:
        """Takes a tag off a run; a run without it stays as it is."""
        self._write(writes.DeleteTag(run_id, name))

    def get_run(self, run_id: str) -> entities.Run:
        """A run with its params, tags and last metrics."""
        run = self._patiently(lambda again: self.client.get_run(self.known_as(run_id)))
        self._places[str(run.info.run_id)] = self._artifacts_of(run.info)
        return run

    def note(self, run_id: str) -> str:
        """A run's description."""
        run = self._patiently(lambda again: self.client.get_run(self.known_as(run_id)))
        return str(run.data.tags.get(names.NOTE, ""))

    def metric_history(self, run_id: str, name: str) -> list[tuple[int, float]]:
        """All values of a metric with their steps, in order of steps."""
        found = self._patiently(lambda again: self.client.get_metric_history(self.known_as(run_id), name))
        return sorted((metric.step, params.metric(metric.value)) for metric in found)

    def metric_histories(self, run_ids: Sequence[str], name: str) -> dict[str, list[tuple[int, float]]]:
        """All values of a metric of many runs, by run, see :meth:`metric_history`; runs without it are left out.

        One query for a hundred runs of a database; a tracking server is asked for several runs at a time.
        """
        sessions = ending.database(self.client) if self._file is not None else None
        in_bulk: Any = getattr(self.client._tracking_client.store, "get_metric_history_bulk", None)
        if sessions is None and in_bulk is None:
            with concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as pool:
                histories = pool.map(lambda run_id: self.metric_history(run_id, name), run_ids)
                return {run_id: values for run_id, values in zip(run_ids, histories, strict=True) if values}

        def read(part: list[str]) -> list[tuple[str, int, float]]:
            if sessions is not None:
                return bulk.histories_in_database(sessions, part, name)
            return [(item.run_id, item.step, item.value) for item in in_bulk(part, name, _EVERY)]

        most = bulk.AT_ONCE if sessions is not None else _RUNS_AT_ONCE
        found: dict[str, list[tuple[int, float]]] = {}
        for start in range(0, len(run_ids), most):
            part = list(run_ids[start : start + most])
            for run_id, step, value in self._patiently(lambda again, part=part: read(part)):  # type: ignore[misc]
                found.setdefault(run_id, []).append((step, params.metric(value)))
        return {run_id: sorted(values) for run_id, values in found.items()}

    def last_steps(self, run_ids: Sequence[str], metrics: Iterable[str]) -> list[dict[str, int]]:
        """For each of some runs the last step of those of some metrics that it has."""
        found: list[dict[str, int]] = [{} for _ in run_ids]
        for metric in metrics:
            histories = self.metric_histories(run_ids, metric)
            for run_id, steps in zip(run_ids, found, strict=True):
                if run_id in histories:
                    steps[metric] = histories[run_id][-1][0]
        return found

    def search_kept(
        self, experiment_ids: Sequence[str], query: Query, *, brief: bool = False
    ) -> Iterator[entities.Run]:
        """Runs as MLflow has them, oldest first: those of groups instead of their members, and those of locks.

        Args:
            experiment_ids: in which MLflow experiments.
            query: which runs.
            brief: without the data sets that they used, which is quicker.
        """
        quickly = brief and self._file is not None and (bulk.KNOWS_WORDS or not query.text)
        sessions = ending.database(self.client) if quickly else None
        if sessions is not None:
            yield from self._search_in_database(sessions, experiment_ids, query)
            return
        token: str | None = None
        while experiment_ids:
            page = self._page(list(experiment_ids), query.filter, token)
            self._places |= {str(run.info.run_id): self._artifacts_of(run.info) for run in page}
            yield from page
            token = page.token
            if not token:
                return

    def _search_in_database(self, sessions: Any, experiment_ids: Sequence[str], query: Query) -> Iterator[entities.Run]:
        infos = self._patiently(
            lambda again: bulk.runs_in_database(sessions, experiment_ids, query), filter_string=query.filter
        )
        for start in range(0, len(infos), bulk.AT_ONCE):
            part = infos[start : start + bulk.AT_ONCE]
            found = self._patiently(lambda again, part=part: bulk.with_data(sessions, part))  # type: ignore[misc]
            # Where that is now is worked out for those whose files are read.
            self._stated |= {info.run_id: info.artifact_uri for info in part}
            yield from found

    def groups_of(self, experiment_ids: Sequence[str], query: Query) -> Iterator[entities.Run]:
        """The runs of groups that are asked for, as MLflow has them."""
        having = query if query.tags.keys() & {names.MEMBERS} else dataclasses.replace(query, having=names.MEMBERS)
        return self.search_kept(experiment_ids, having)

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

    def finish(self, run_id: str, status: Status = "FINISHED", time: int | None = None) -> None:
        """Ends a run, now or at a time in milliseconds since the epoch (or, with ``"RUNNING"``, starts it again)."""
        self._write(writes.SetStatus(run_id, status, time or now_ms()))

    def end(self, run_ids: Sequence[str], status: Status, reason: str) -> None:
        """Ends runs that did not finish, with a reason of one line; in an embedded store all at once.

        On a server they are ended one after the other. If the command was stopped, that has an end as well: what is
        left is found to be interrupted by whoever reads it.
        """
        reason = redact(reason, self.uri)
        if self._file is not None and (sessions := ending.database(self.client)) is not None:
            ids = [self.known_as(run_id) for run_id in run_ids]
            self._patiently(lambda again: ending.end_in_database(sessions, ids, status, reason, now_ms()))
            return
        for run_id in run_ids:
            if interrupts.seconds_left() <= 0:
                return
            self.finish(run_id, status)
            self.set_tags(run_id, {names.ERROR: reason})

    def delete_run(self, run_id: str) -> None:
        """Marks a run as deleted; MLflow keeps it until ``mlflow gc``."""
        self._patiently(lambda again: self.client.delete_run(self.known_as(run_id)))
