"""The tracking store: an embedded SQLite file or any MLflow server, with runs of either form.

What it does is built up in layers, a file each. :mod:`~qlab.tracking.connection` opens it and asks it patiently;
:mod:`~qlab.tracking.experiments`, :mod:`~qlab.tracking.run_files` and :mod:`~qlab.tracking.mlflow_runs` call MLflow;
here are added the runs that are kept together in groups, see :mod:`~qlab.tracking.grouped`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import mlflow.entities as entities

from qlab.tracking import ending, names
from qlab.tracking.clock import now_ms as now_ms
from qlab.tracking.faults import explain
from qlab.tracking.grouped.address import group_of, is_member
from qlab.tracking.grouped.groups import Groups
from qlab.tracking.grouped.member import DELETED, Member
from qlab.tracking.grouped.selecting import chosen_in_words, groups_asked, runs_asked
from qlab.tracking.mlflow_runs import MlflowRuns
from qlab.tracking.query import Query
from qlab.tracking.redaction import redact
from qlab.tracking.writes import DatasetRecord as DatasetRecord
from qlab.tracking.writes import MetricRow as MetricRow
from qlab.tracking.writes import Status as Status


class Store(MlflowRuns):
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
        super().__init__(uri, create=create, read_only=read_only, tell=tell)
        self.groups = Groups(self)

    # Both forms

    def search(
        self, experiment_ids: Sequence[str], query: Query | str = "", *, claims: bool = False, brief: bool = False
    ) -> Iterator[entities.Run]:
        """Runs that are asked for, oldest first; those that only hold locks if ``claims`` says so.

        Members of groups are among them (those of a group one after the other), their groups' own runs are not. With
        ``brief`` they are without the data sets that they used, which is quicker.
        """
        query = Query.of(query)
        self.groups.flush()
        if (own := runs_asked(query)) is not None:
            for run in self.search_kept(experiment_ids, own, brief=brief):
                if names.MEMBERS not in run.data.tags:
                    if claims or run.data.tags.get(names.KIND) != names.CLAIMS:
                        yield run
                elif not query.filter:
                    yield from self.groups.members(run, query)
        if query.filter and (groups := groups_asked(query)) is not None:
            for run in self.groups_of(experiment_ids, groups):
                yield from self._members(run, query)

    def _members(self, run: entities.Run, query: Query) -> list[Member]:
        found = self.groups.members(run, dataclasses.replace(query, text=""))
        if not query.text:
            return found
        with explain(self.uri, query.filter):
            return chosen_in_words(found, query.text)

    def running(self, experiment_id: str, worker: str) -> list[str]:
        """The runs of an MLflow experiment that a worker has and that are running."""
        if self._file is not None and (sessions := ending.database(self.client)) is not None:
            return self._patiently(lambda again: ending.running_in_database(sessions, experiment_id, worker))
        own = Query({names.WORKER: worker}, status="RUNNING")
        return [str(run.info.run_id) for run in self.search([experiment_id], own)]

    def flush(self, *, due: bool = False) -> None:
        """Writes what is gathered of runs that are kept together and have ended; only if it is time, if ``due``."""
        if not due or self.groups.is_due():
            self.groups.flush()

    # Members of groups, else runs

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
        """Creates a running run, see the base class.

        Args:
            experiment_id: the MLflow experiment.
            name: for people.
            params: what is fixed.
            tags: of a run that is kept together with others, its kind, key and group among them.
            datasets: the data that it uses.
            start: when it began.
            together: what those are called that differ in their seed only, if the run is kept together with them.
        """
        if together is None:
            return super().create_run(experiment_id, name, params=params, tags=tags, datasets=datasets, start=start)
        began = start or now_ms()
        return self.groups.create(experiment_id, name, together, params or {}, tags or {}, datasets, began)

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
            self.groups.log(run_id, metrics=metrics, params=params, tags=tags)
        else:
            super().log(run_id, metrics=metrics, params=params, tags=tags)

    def delete_tag(self, run_id: str, name: str) -> None:
        """Takes a tag off a run; a run without it stays as it is."""
        if is_member(run_id):
            self.groups.log(run_id, tags={name: ""})
        else:
            super().delete_tag(run_id, name)

    def get_run(self, run_id: str) -> entities.Run:
        """A run with its params, tags and last metrics."""
        return self.groups.get(run_id) if is_member(run_id) else super().get_run(run_id)

    def note(self, run_id: str) -> str:
        """A run's description."""
        if is_member(run_id):
            return str(self.get_run(run_id).data.tags.get(names.NOTE, ""))
        return super().note(run_id)

    def metric_history(self, run_id: str, name: str) -> list[tuple[int, float]]:
        """All values of a metric with their steps, in order of steps."""
        if is_member(run_id):
            return self.groups.histories([run_id], name).get(run_id, [])
        return super().metric_history(run_id, name)

    def metric_histories(self, run_ids: Sequence[str], name: str) -> dict[str, list[tuple[int, float]]]:
        """All values of a metric of many runs, by run, see :meth:`metric_history`; runs without it are left out."""
        members, runs = _apart(run_ids)
        return self.groups.histories(members, name) | super().metric_histories(runs, name)

    def finish(self, run_id: str, status: Status = "FINISHED", time: int | None = None) -> None:
        """Ends a run, now or at a time in milliseconds since the epoch (or, with ``"RUNNING"``, starts it again)."""
        if is_member(run_id):
            self.groups.finish(run_id, status, time or now_ms())
        else:
            super().finish(run_id, status, time)

    def end(self, run_ids: Sequence[str], status: Status, reason: str) -> None:
        """Ends runs that did not finish, with a reason of one line, see the base class."""
        members, runs = _apart(run_ids)
        for run_id in members:
            self.groups.log(run_id, tags={names.ERROR: redact(reason, self.uri)})
            self.groups.finish(run_id, status, now_ms())
        super().end(runs, status, reason)

    def delete_run(self, run_id: str) -> None:
        """Marks a run as deleted; MLflow keeps it until ``mlflow gc``."""
        if is_member(run_id):
            self.groups.finish(run_id, DELETED, now_ms())
        else:
            super().delete_run(run_id)

    def log_file(self, run_id: str, file: Path, folder: str | None = None) -> None:
        """Copies a file to a run's artifacts."""
        if is_member(run_id):
            self.groups.add_file(run_id, f"{folder}/{file.name}" if folder else file.name, file.read_bytes())
        else:
            super().log_file(run_id, file, folder)

    def log_content(self, run_id: str, path: str, content: bytes) -> None:
        """Makes a file of a run's artifacts."""
        if is_member(run_id):
            self.groups.add_file(run_id, path, content)
        else:
            super().log_content(run_id, path, content)

    def fetch_file(self, run_id: str, path: str, folder: Path) -> Path:
        """A copy of one of a run's artifacts in a local folder."""
        if not is_member(run_id):
            return super().fetch_file(run_id, path, folder)
        copy = folder / path
        content = self.groups.content(run_id, path)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(content)
        return copy

    def has_file(self, run_id: str, path: str) -> bool:
        """Whether a run has an artifact of this path."""
        return self.groups.has_file(run_id, path) if is_member(run_id) else super().has_file(run_id, path)

    def files(self, run_id: str, folder: str | None = None) -> dict[str, int]:
        """The paths of a run's artifacts below a folder, and their sizes in bytes."""
        if not is_member(run_id):
            return super().files(run_id, folder)
        within = f"{folder}/" if folder else ""
        return {path: size for path, size in self.groups.sizes(run_id).items() if path.startswith(within)}

    def delete_local_folder(self, run_id: str, path: str) -> None:
        """Deletes a folder of a run's artifacts if the store is embedded; on a server it stays."""
        if not is_member(run_id):
            super().delete_local_folder(run_id, path)

    def _place(self, run_id: str) -> str:
        return super()._place(group_of(run_id))


def _apart(run_ids: Sequence[str]) -> tuple[list[str], list[str]]:
    """Members of groups, and runs."""
    members = [run_id for run_id in run_ids if is_member(run_id)]
    return members, [run_id for run_id in run_ids if not is_member(run_id)] if members else list(run_ids)
