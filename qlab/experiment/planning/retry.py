"""Running experiments again from what the store keeps of them."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Sequence, Set
from pathlib import Path
from typing import Any, Self

from qlab.errors import ConfigError, StoreError
from qlab.experiment.asking import schema
from qlab.experiment.asking.experiment import Experiment
from qlab.tracking import names
from qlab.tracking.configs import read_configs
from qlab.tracking.store import Store

_STOPPED = ("FAILED", "KILLED")
"""An experiment whose run ended with one of these lacks at least its summary."""


@dataclasses.dataclass(frozen=True, eq=False)
class Unfinished:
    """The experiments in a store in which something failed, was interrupted or is missing.

    Args:
        experiments: those that can be run again.
        refused: for each of the others, why it cannot.
    """

    experiments: tuple[Experiment, ...]
    refused: tuple[ConfigError, ...]

    @classmethod
    def of(cls, store: Store, wanted: Sequence[str] = ()) -> Self:
        """Looks for them.

        Args:
            store: where they are.
            wanted: the names of MLflow experiments; all by default.

        Raises:
            StoreError: there is no experiment of such a name.
        """
        found: list[Experiment] = []
        refused: list[ConfigError] = []
        for experiment_id in store.experiment_ids(wanted):
            runs = list(store.search([experiment_id]))
            done = {run.data.tags.get(names.TRIAL_KEY) for run in runs if run.info.status == "FINISHED"}
            for run in runs:
                if run.data.tags.get(names.KIND) != names.EXPERIMENT or (
                    run.info.status not in _STOPPED and _is_done(store, run, done)
                ):
                    continue
                try:
                    experiment = _stored(store, run)
                except ConfigError as error:
                    refused.append(error)
                    continue
                if experiment.content == run.data.tags.get(names.CONTENT) or _was_unreadable(run):
                    found.append(experiment)
                elif not done.issuperset(item.key for item in experiment.items):
                    refused.append(_changed(run))
                # Else classes beside the file were edited, and it was run again since.
        return cls(tuple(found), tuple(refused))


def _was_unreadable(run: Any) -> bool:
    """Whether a run stands for a file that could not be read, so that its trials were unknown."""
    tags = run.data.tags
    return names.REFUSED in tags and tags[names.REFUSED] == tags.get(names.CONTENT)


def _is_done(store: Store, run: Any, done: Set[str | None]) -> bool:
    """Whether everything that an experiment lists is done; its file may by now mean other trials."""
    configs = read_configs(store, str(run.info.run_id))
    return configs is not None and configs.keys() <= done


def _stored(store: Store, run: Any) -> Experiment:
    """The experiment that the file of a parent run describes now.

    Raises:
        ConfigError: it is not in the store, or can no longer be read.
    """
    tags, name, run_id = run.data.tags, run.info.run_name, str(run.info.run_id)
    source = tags.get(names.SOURCE, "its file")
    folder = Path(tags[names.FOLDER]) if names.FOLDER in tags else None
    with tempfile.TemporaryDirectory() as place:
        try:
            text = store.fetch_file(run_id, names.TEXT_FILE, Path(place)).read_text(encoding="utf-8")
        except StoreError:
            raise ConfigError(
                f"{name}: run {run_id} has no {names.TEXT_FILE}; run {source} itself: qlab run {source}"
            ) from None
    assignments = [(str(key), value) for key, value in json.loads(tags.get(names.ASSIGNMENTS, "[]"))]
    try:
        return schema.parse(text, source=source, folder=folder, default_name=name, assignments=assignments)
    except ConfigError as error:
        gone = folder is None or not folder.is_dir()
        hint = f" The folder of {source}, which held the classes beside it, is gone; put it back." if gone else ""
        raise ConfigError(f"{name} cannot be run again as it was: {error}{hint}") from error


def _changed(run: Any) -> ConfigError:
    source = run.data.tags.get(names.SOURCE, "its file")
    return ConfigError(
        f"{run.info.run_name} cannot be run again as it was: run {run.info.run_id} was made with other values or "
        f"classes than {source} has now, or other data files. Run the file itself: its trials would be new ones."
    )
