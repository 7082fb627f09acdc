"""MLflow experiments: found by name, or made, with artifacts in a place that can be written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import mlflow.entities as entities
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.store.entities import PagedList

from qlab.errors import StoreError, StoreShutError, nearest
from qlab.tracking import names, writes
from qlab.tracking.connection import Connection
from qlab.tracking.moving import Home
from qlab.tracking.places import check_place


class Experiments(Connection):
    """What a store does with MLflow experiments. Args: see :class:`qlab.tracking.store.Store`."""

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

    def _experiments_page(self, token: str | None) -> PagedList[entities.Experiment]:
        return self._patiently(lambda again: self.client.search_experiments(page_token=token))


def find_or_make(client: MlflowClient, uri: str, home: Home | None, name: str) -> str:
    """The id of the MLflow experiment of that name, which is made if there is none.

    Args:
        client: of the store.
        uri: of the store.
        home: where it is, if it is embedded: its experiments' artifacts are beside it.
        name: of the experiment.

    Raises:
        StoreError: it was deleted, or its artifacts cannot be written.
    """
    found = client.get_experiment_by_name(name)
    made = None
    if found is None:
        artifacts = None if home is None else home.artifacts.as_uri()
        tags = {names.EXPERIMENT_KIND: names.MODEL_DEVELOPMENT}
        if home is not None:
            tags[names.ARTIFACTS] = names.BESIDE
        try:
            made = str(client.create_experiment(name, artifacts, tags))
        except MlflowException:
            # Somebody else may have created it in the meantime.
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
        if made is not None:
            found = client.get_experiment(made)
    if found.lifecycle_stage != "active":
        raise StoreError(
            f'The MLflow experiment "{name}" was deleted; restore it in the MLflow UI, or rename this one.'
        )
    if home is None:
        _check_place(client, uri, found, made is not None)
    elif names.ARTIFACTS not in found.tags and home.holds(found.artifact_location):
        client.set_experiment_tag(found.experiment_id, names.ARTIFACTS, names.BESIDE)
    return str(found.experiment_id)


def _check_place(client: MlflowClient, uri: str, experiment: entities.Experiment, made: bool) -> None:
    """Raises StoreError if an experiment's artifacts cannot be written; a new one is taken back then."""
    try:
        check_place(uri, experiment.artifact_location)
    except StoreShutError:
        raise
    except StoreError as error:
        number, name = str(experiment.experiment_id), experiment.name
        if not made:
            raise StoreError(
                f'{error} The MLflow experiment "{name}" keeps its artifacts there even when that is mended: rename '
                f"it in the UI, or give "
                "this experiment another name."
            ) from None
        # A deleted experiment keeps its name; the name is to be free when the server has been mended.
        client.rename_experiment(number, f"{name} ({number}, not used)")
        client.delete_experiment(number)
        raise
