"""What a process knows of the runs of a store: those it has read, and those it has made."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import mlflow.entities as entities

from qlab.tracking import writes
from qlab.tracking.query import Query


@dataclasses.dataclass
class _Own:
    """A run that this process has made or changed; None where it has not said."""

    run_id: str
    experiment_id: str | None = None
    name: str = ""
    start: int = 0
    status: str | None = None
    tags: dict[str, str] = dataclasses.field(default_factory=dict)
    params: dict[str, str] = dataclasses.field(default_factory=dict)


class Memory:
    """Answers searches while a server is away. Of metrics it knows those it has read, not those it has made."""

    def __init__(self) -> None:
        self._read: dict[str, entities.Run] = {}
        self._own: dict[str, _Own] = {}
        self._searched: set[str] = set()

    def see(self, experiment_ids: Sequence[str], runs: Iterable[entities.Run]) -> None:
        """Takes in what a search of some experiments found."""
        self._searched |= set(experiment_ids)
        self._read |= {str(run.info.run_id): run for run in runs}

    def take(self, write: writes.Write, run_id: str) -> None:
        """Takes in a write to a run."""
        own = self._own.setdefault(run_id, _Own(run_id))
        if isinstance(write, writes.CreateRun):
            own.experiment_id, own.name, own.start = write.experiment_id, write.name, write.start
            own.status = "RUNNING"
            own.tags |= write.tags
        elif isinstance(write, writes.LogBatch):
            own.params |= write.params
            own.tags |= write.tags
        elif isinstance(write, writes.DeleteTag):
            own.tags.pop(write.name, None)
        elif isinstance(write, writes.SetStatus):
            own.status = write.status

    def rename(self, run_id: str, real: str) -> None:
        """A run has got the id that the store knows it by."""
        own = self._own.pop(run_id, None)
        if own is not None:
            own.run_id = real
            self._own[real] = own

    def knows(self, experiment_ids: Sequence[str]) -> bool:
        """Whether these experiments have been searched."""
        return set(experiment_ids) <= self._searched

    def search(self, experiment_ids: Sequence[str], query: Query) -> list[entities.Run] | None:
        """The runs of some experiments that are asked for, oldest first; None if only MLflow understands it."""
        if query.text:
            return None
        found = [self.run(run_id) for run_id in {**self._read, **self._own}]
        return sorted(
            (
                run
                for run in found
                if run is not None and run.info.experiment_id in experiment_ids and query.matches(run)
            ),
            key=lambda run: run.info.start_time,
        )

    def run(self, run_id: str) -> entities.Run | None:
        """A run as it was read, with what was written to it since; None if it was neither read nor made here."""
        read, own = self._read.get(run_id), self._own.get(run_id)
        if own is None:
            return read
        if read is None and own.experiment_id is None:
            return None
        info = entities.RunInfo(
            run_id=run_id,
            experiment_id=read.info.experiment_id if read else own.experiment_id,
            user_id="",
            status=own.status or (read.info.status if read else "RUNNING"),
            start_time=read.info.start_time if read else own.start,
            end_time=None,
            lifecycle_stage="active",
            run_name=read.info.run_name if read else own.name,
        )
        tags = {**(read.data.tags if read else {}), **own.tags}
        params = {**(read.data.params if read else {}), **own.params}
        metrics = read.data.metrics if read else {}
        data = entities.RunData(
            metrics=[entities.Metric(key, value, 0, 0) for key, value in metrics.items()],
            params=[entities.Param(key, value) for key, value in params.items()],
            tags=[entities.RunTag(key, value) for key, value in tags.items()],
        )
        return entities.Run(info, data)
