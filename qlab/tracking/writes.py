"""What is written to a store, one class for each kind: sent at once, or kept as JSON and sent later.

Sending a write again does no harm: a metric that is there already, with its step and time, stays one; params, tags,
files and the status are set to what they are; a run is looked for by an id that its writer made.
"""

from __future__ import annotations

import abc
import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import mlflow.entities as entities
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from qlab.tracking import names
from qlab.tracking.query import Query

MetricRow = tuple[str, float, int, int]
"""Name, value, step, and time in milliseconds since the epoch."""

Status = Literal["FINISHED", "FAILED", "KILLED", "RUNNING"]

KnownAs = Callable[[str], str]
"""From the id a run was given by its writer to the one that the store knows it by."""

_EXISTS = ("UNIQUE constraint", "duplicate key", "Duplicate entry")
"""How SQLite, PostgreSQL and MySQL say that somebody else has just added the same row."""

_ATTEMPTS = 10

_BATCH = 1000
"""MLflow takes so many metrics, params and tags at once."""


@dataclasses.dataclass(frozen=True)
class DatasetRecord:
    """What a run says of the data it used.

    Args:
        name: for people.
        digest: identifies the content.
        context: what it was used for: "training", "validation" or "test".
        source: how it came about, JSON.
        profile: sizes and the like.
    """

    name: str
    digest: str
    context: str
    source: Mapping[str, Any]
    profile: Mapping[str, Any]

    @classmethod
    def of(cls, given: entities.DatasetInput) -> DatasetRecord:
        """The record of MLflow's entity."""
        context = next((tag.value for tag in given.tags if tag.key == names.DATASET_CONTEXT), "")
        made = given.dataset
        return cls(made.name, made.digest, context, json.loads(made.source or "{}"), json.loads(made.profile or "{}"))

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


@dataclasses.dataclass(frozen=True)
class Write(abc.ABC):
    """One write to one run. Fields are what JSON can say, so that a write survives its process.

    Args:
        run: the run, by the id its writer knows.
    """

    run: str

    @abc.abstractmethod
    def send(self, client: MlflowClient, known_as: KnownAs, *, again: bool = False) -> entities.RunInfo | None:
        """Sends it.

        Args:
            client: of the store.
            known_as: see :data:`KnownAs`.
            again: whether an earlier try may have reached the store, though no reply came.

        Returns:
            The run that it creates, if it creates one.
        """

    def to_json(self) -> str:
        """The write as text."""
        return json.dumps({"write": type(self).__name__, **dataclasses.asdict(self)})


@dataclasses.dataclass(frozen=True)
class CreateRun(Write):
    """Creates a run; ``run`` is an id made by its writer, see :data:`qlab.tracking.names.CLIENT`."""

    experiment_id: str
    name: str
    tags: Mapping[str, str]
    start: int

    def send(self, client: MlflowClient, known_as: KnownAs, *, again: bool = False) -> entities.RunInfo:
        """The run in the store: the one that an earlier try made, else a new one."""
        found = _made(client, self.experiment_id, self.run) if again else []
        tags = {key: known_as(value) if key == names.PARENT else value for key, value in self.tags.items()}
        if not found:
            found = [client.create_run(self.experiment_id, self.start, tags, self.name).info]
        if again:
            delete_twins(client, self.experiment_id, self.run, str(found[0].run_id))
        return found[0]


def delete_twins(client: MlflowClient, experiment_id: str, own: str, kept: str) -> None:
    """Deletes runs that a server made of tries it took up after its client had given up on them.

    Args:
        client: of the store.
        experiment_id: the MLflow experiment.
        own: the id that the run's writer made.
        kept: the id of the run that stays.
    """
    for run in _made(client, experiment_id, own):
        if run.run_id != kept:
            client.delete_run(run.run_id)


def _made(client: MlflowClient, experiment_id: str, own: str) -> list[entities.RunInfo]:
    found = client.search_runs([experiment_id], Query({names.CLIENT: own}).filter)
    return [run.info for run in found]


@dataclasses.dataclass(frozen=True)
class LogBatch(Write):
    """Logs metric values and params, and sets tags, in as few calls as MLflow's limits allow: a call costs the most."""

    metrics: Sequence[MetricRow] = ()
    params: Mapping[str, str] = dataclasses.field(default_factory=dict)
    tags: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def send(self, client: MlflowClient, known_as: KnownAs, *, again: bool = False) -> None:
        """See the base class."""
        run = known_as(self.run)
        metrics = [entities.Metric(name, value, time, step) for name, value, step, time in self.metrics]
        params = [entities.Param(key, value) for key, value in self.params.items()]
        tags = [entities.RunTag(key, value) for key, value in self.tags.items()]
        room = _BATCH - len(params) - len(tags)
        client.log_batch(run, metrics=metrics[:room], params=params, tags=tags)
        for start in range(room, len(metrics), _BATCH):
            client.log_batch(run, metrics=metrics[start : start + _BATCH])


@dataclasses.dataclass(frozen=True)
class LogInputs(Write):
    """Logs the data sets a run used; ``datasets`` are the fields of :class:`DatasetRecord`."""

    datasets: Sequence[Mapping[str, Any]]

    def send(self, client: MlflowClient, known_as: KnownAs, *, again: bool = False) -> None:
        """See the base class. MLflow looks for a data set, then adds it: another process may do so in between."""
        datasets = [DatasetRecord(**fields).to_mlflow() for fields in self.datasets]
        for attempt in range(_ATTEMPTS):
            try:
                return client.log_inputs(known_as(self.run), datasets)
            except MlflowException as error:
                if attempt == _ATTEMPTS - 1 or not any(sign in str(error) for sign in _EXISTS):
                    raise


@dataclasses.dataclass(frozen=True)
class DeleteTag(Write):
    """Takes a tag off a run; a run without it stays as it is."""

    name: str

    def send(self, client: MlflowClient, known_as: KnownAs, *, again: bool = False) -> None:
        """See the base class."""
        run_id = known_as(self.run)
        try:
            client.delete_tag(run_id, self.name)
        except MlflowException:
            if self.name in client.get_run(run_id).data.tags:
                raise


@dataclasses.dataclass(frozen=True)
class SetExperimentTags(Write):
    """Sets tags of an MLflow experiment, whose id takes the place of a run's."""

    tags: Mapping[str, str]

    def send(self, client: MlflowClient, known_as: KnownAs, *, again: bool = False) -> None:
        """See the base class."""
        for key, value in self.tags.items():
            client.set_experiment_tag(self.run, key, value)


@dataclasses.dataclass(frozen=True)
class LogFile(Write):
    """Copies a file to a run's artifacts; ``place`` is their URI where the writer knows it, which saves a question."""

    file: str
    folder: str | None
    place: str | None = None

    @property
    def artifact(self) -> str:
        """The artifact's path."""
        name = self.file.replace("\\", "/").rpartition("/")[2]
        return f"{self.folder}/{name}" if self.folder else name

    def send(self, client: MlflowClient, known_as: KnownAs, *, again: bool = False) -> None:
        """See the base class."""
        if self.place is None:
            client.log_artifact(known_as(self.run), self.file, self.folder)
        else:
            get_artifact_repository(self.place, tracking_uri=client.tracking_uri).log_artifact(self.file, self.folder)


@dataclasses.dataclass(frozen=True)
class SetStatus(Write):
    """Ends a run at a time in milliseconds, or starts it again."""

    status: Status
    time: int

    def send(self, client: MlflowClient, known_as: KnownAs, *, again: bool = False) -> None:
        """See the base class."""
        if self.status == "RUNNING":
            client.update_run(known_as(self.run), status=self.status)
        else:
            client.set_terminated(known_as(self.run), self.status, self.time)


_KINDS: dict[str, type[Write]] = {
    kind.__name__: kind for kind in (CreateRun, LogBatch, LogInputs, DeleteTag, SetExperimentTags, LogFile, SetStatus)
}


def from_json(text: str) -> Write:
    """The write that a text says, see :meth:`Write.to_json`.

    Raises:
        ValueError: it says none.
    """
    fields = json.loads(text)
    if not isinstance(fields, dict) or fields.get("write") not in _KINDS:
        raise ValueError("it is not a write that this version of qlab knows")
    try:
        return _KINDS[fields.pop("write")](**fields)
    except TypeError as error:
        raise ValueError(f"a field is missing or unknown: {error}") from None
