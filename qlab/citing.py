"""What to cite for an experiment of the store, or for an experiment file."""

from __future__ import annotations

import tempfile
import tomllib
from pathlib import Path
from typing import Any

from qlab.citations.used import Used, used
from qlab.errors import ConfigError, QlabError
from qlab.experiment.asking import schema
from qlab.resources import experiment_file
from qlab.textfile import read_text
from qlab.tracking import names
from qlab.tracking.configs import read_configs
from qlab.tracking.query import Query
from qlab.tracking.store import Store


def citations(experiment: str, tracking_uri: str | None) -> Used:
    """What to cite.

    Args:
        experiment: a file, or the name of an experiment in the store or of a file that comes with qlab, in this order.
        tracking_uri: the store's address.

    Raises:
        ConfigError: there is none of the three.
    """
    if Path(experiment).is_file() or experiment.endswith(".toml"):
        return _of_file(experiment_file(experiment))
    try:
        return _of_store(Store(tracking_uri, create=False), experiment)
    except QlabError as error:
        why = error
    try:
        path = experiment_file(experiment)
    except ConfigError:
        raise ConfigError(f"{experiment}: there is no such file, and no such experiment: {why}") from None
    return _of_file(path)


def _of_file(path: Path) -> Used:
    asked = schema.load(path)
    raw = tomllib.loads(read_text(path))
    return used((item.config for item in asked.items), raw, asked.folder, imports=True)


def _of_store(store: Store, experiment: str) -> Used:
    ids = store.experiment_ids([experiment])
    configs: list[dict[str, Any]] = []
    raw: dict[str, Any] = {}
    for run in store.search(ids, Query(tags={names.KIND: names.EXPERIMENT})):
        run_id = str(run.info.run_id)
        configs += (read_configs(store, run_id) or {}).values()
        raw |= _text_of(store, run_id)
    if not configs:
        raise ConfigError(f'the experiment "{experiment}" of {store.location} has nothing that was run.')
    return used(configs, raw, None, imports=False)


def _text_of(store: Store, run_id: str) -> dict[str, Any]:
    """The tables of the experiment file that a run keeps; none if it keeps none that can be read."""
    if not store.has_file(run_id, names.TEXT_FILE):
        return {}
    with tempfile.TemporaryDirectory() as folder:
        try:
            return tomllib.loads(store.fetch_file(run_id, names.TEXT_FILE, Path(folder)).read_text(encoding="utf-8"))
        except ValueError:
            return {}
