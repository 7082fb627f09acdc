"""Running experiments again from what the store has of them."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qlab.errors import ConfigError, StoreError
from qlab.experiment import schema
from qlab.experiment.parent import TEXT_FILE
from qlab.experiment.plan import Plan
from qlab.experiment.schema import Experiment
from qlab.tracking import names
from qlab.tracking.store import Store


def unfinished_experiments(store: Store, wanted: Sequence[str] = ()) -> list[Experiment]:
    """The experiments in a store of which something failed, was interrupted or is missing.

    Args:
        store: where they are.
        wanted: the names of MLflow experiments, by default of all.

    Raises:
        StoreError: there is no experiment of such a name.
        ConfigError: one cannot be made again from what the store has; the message says why.
    """
    found = []
    for experiment_id in store.experiment_ids(wanted):
        own = f"tags.`{names.KIND}` = '{names.EXPERIMENT}'"
        for run in store.search([experiment_id], own):
            experiment = _stored(store, run)
            plan = Plan.of(experiment, store)
            if plan.todo or plan.todo_unlearnings or plan.todo_measurements:
                found.append(experiment)
    return found


def _stored(store: Store, run: Any) -> Experiment:
    """The experiment of a parent run.

    Raises:
        ConfigError: its file is not in the store, or means something else by now.
    """
    tags, name, run_id = run.data.tags, run.info.run_name, str(run.info.run_id)
    source = tags.get(names.SOURCE, "its file")
    folder = Path(tags[names.FOLDER]) if names.FOLDER in tags else None
    with tempfile.TemporaryDirectory() as place:
        try:
            text = store.fetch_file(run_id, TEXT_FILE, Path(place)).read_text(encoding="utf-8")
        except StoreError:
            raise ConfigError(
                f"{name}: run {run_id} has no {TEXT_FILE}; run {source} itself: qlab run {source}"
            ) from None
    assignments = [(str(key), value) for key, value in json.loads(tags.get(names.ASSIGNMENTS, "[]"))]
    try:
        experiment = schema.parse(text, source=source, folder=folder, default_name=name, assignments=assignments)
    except ConfigError as error:
        gone = folder is None or not folder.is_dir()
        hint = f" The folder of {source}, where classes beside it were, is gone; put it back." if gone else ""
        raise ConfigError(f"{name} cannot be run again as it was: {error}{hint}") from error
    if experiment.content != tags.get(names.CONTENT):
        raise ConfigError(
            f"{name} cannot be run again as it was: run {run_id} was made with other values or classes than {source} "
            "has now. Run the file itself: its trials would be new ones."
        )
    return experiment
