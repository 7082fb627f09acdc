"""Models of stored runs: found by the run's id or the beginning of it, and made again."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qlab.digests import file_digest
from qlab.errors import ConfigError, DataError, QlabError
from qlab.models import Estimator, Model, checkpoint
from qlab.registry import code_digest, find
from qlab.tasks.stored import load_stored
from qlab.tracking import names, params
from qlab.tracking.configs import read_configs
from qlab.tracking.query import Query
from qlab.tracking.store import Store
from qlab.training.refitting import is_estimator, refit

_MOST_NAMED = 5
_WITH_MODEL = (names.TRIAL, names.UNLEARNING, names.ORACLE, names.SHADOW)


def find_run(store: Store, given: str) -> Any:
    """The run, as MLflow has it, whose id is given or begins so.

    One that is kept together with others is named by the id of their run, a colon, and its seed or its own key, or the
    beginning of that.

    Raises:
        ConfigError: no such run, or several.
    """
    group, between, member = given.partition(":")
    if not re.fullmatch(r"[0-9a-f]{1,32}", group) or (between and not re.fullmatch(r"[0-9a-f]+", member)):
        raise ConfigError(
            f'run "{given}": accepts the id of a run, or the beginning of one, such as `qlab runs --trials` prints; of '
            "runs that are kept together GROUP:SEED or GROUP:KEY."
        )
    prefix = Query(text=f"attributes.run_id LIKE '{group}%'")
    found = list(store.search_kept(store.experiment_ids(), prefix))
    if not found:
        raise ConfigError(
            f"run {given}: there is no such run in {store.location}; `qlab runs --trials` prints those that there are."
        )
    if len(found) > 1:
        raise _several(given, found, "begin so")
    members = store.groups.members(found[0], Query()) if names.MEMBERS in found[0].data.tags else []
    if not between and not members:
        return found[0]
    return _member(given, found[0], member, members)


def _member(given: str, group: Any, member: str, members: Sequence[Any]) -> Any:
    """The one of some runs kept together that is meant."""
    about = f"{group.info.run_id} ({group.info.run_name})"
    if not members:
        raise ConfigError(f"run {given}: {about} is a run by itself, or keeps none; leave out what follows the colon.")
    if not member:
        raise ConfigError(
            f"run {given}: {about} keeps {len(members)} runs that differ in their seed; say which: "
            f"{group.info.run_id[:8]}:SEED, or :KEY as in the frame's run_id."
        )
    found = [run for run in members if run.data.tags.get(names.SEED) == member]
    found = found or [run for run in members if run.data.tags.get(names.TRIAL_KEY, "").startswith(member)]
    if not found:
        raise ConfigError(f"run {given}: {about} keeps {len(members)} runs, none with the seed or the key {member}.")
    if len(found) > 1:
        raise _several(given, found, "are meant")
    return found[0]


def _several(given: str, found: Sequence[Any], what: str) -> ConfigError:
    several = ", ".join(f"{run.info.run_id} ({run.info.run_name})" for run in found[:_MOST_NAMED])
    more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
    return ConfigError(f"run {given}: {len(found)} runs {what}: {several}{more}; give more of it.")


def load_model(store: Store, run: Any, folder: Path | None = None) -> Model | Estimator:
    """The trained model of a run, in evaluation mode, on the CPU; an estimator is fitted again.

    Args:
        store: where the run is.
        run: as MLflow has it.
        folder: where classes beside the experiment file are found; without it none are imported.

    Raises:
        DataError: the run has no model, or its checkpoint is damaged, or its estimator is not what it was.
        ConfigError: the model's class is not to be found, or is not as it was when it was trained.
    """
    run_id, tags = str(run.info.run_id), run.data.tags
    what = f"run {run_id} ({run.info.run_name})"
    if tags.get(names.KIND) not in _WITH_MODEL:
        raise DataError(
            f"{what} has no model: it is of the kind {tags.get(names.KIND, 'unknown')}; accepts a trial, an unlearning "
            "run or an oracle."
        )
    if run.info.status != "FINISHED":
        raise DataError(f"{what} has no model: it is {str(run.info.status).lower()}, not finished.")
    if tags[names.KIND] == names.TRIAL and is_estimator(run.data.params):
        return _fitted_again(store, run, what, folder)
    if not store.has_file(run_id, names.CHECKPOINT):
        raise DataError(
            f"{what} has no model: its artifact {names.CHECKPOINT} is missing. Estimators without gradients, such as "
            "scikit-learn's, are not kept in the store: fit them again."
        )
    with tempfile.TemporaryDirectory() as place:
        file = store.fetch_file(run_id, names.CHECKPOINT, Path(place))
        expected = tags.get(names.CHECKPOINT_DIGEST)
        if expected is not None and file_digest(file) != expected:
            raise DataError(f"The checkpoint of {what} is damaged: it is not the one that was written.")
        type_name = str(params.read(run.data.params.get("model.type", "")))
        try:
            model = checkpoint.load(file, folder, imports=folder is not None)
        except ConfigError:
            if ":" in type_name and folder is None:
                raise _of_own_class(what, type_name) from None
            raise
        except QlabError as error:
            raise DataError(f"The checkpoint of {what} cannot be read: {error}") from error
    _check_code(type(model), type_name, params.read(run.data.params.get("model.code", "")), what)
    return model


def _of_own_class(what: str, type_name: str) -> ConfigError:
    file_name = f"{type_name.partition(':')[0].replace('.', '/')}.py"
    return ConfigError(
        f"{what}: its model is of a class of yours, {type_name}. Say where {file_name} is: --folder DIR, or in Python "
        "folder=DIR; it is imported from there."
    )


def _fitted_again(store: Store, run: Any, what: str, folder: Path | None) -> Estimator:
    parent, key = run.data.tags.get(names.PARENT, ""), run.data.tags.get(names.TRIAL_KEY, "")
    config = (read_configs(store, parent) or {}).get(key) if parent else None
    if config is None:
        raise DataError(
            f"{what}: its experiment's run does not say its configuration, so that it cannot be fitted again."
        )
    type_name = str(config["model"]["type"])
    if ":" in type_name and folder is None and not type_name.startswith("sklearn."):
        raise _of_own_class(what, type_name)
    _check_code(find("model", type_name, folder, imports=True), type_name, config["model"].get("code", ""), what)
    placed = store.get_run(parent).data.tags.get(names.FOLDER)
    data = load_stored(config["task"], None if placed is None else Path(placed), imports=folder)
    return refit(config, run.data.metrics, what, data, folder=folder).estimator


def _check_code(cls: type, type_name: str, recorded: object, what: str) -> None:
    if recorded == "":
        return
    found = code_digest(cls, type_name)
    if str(recorded) != found:
        raise ConfigError(
            f"{what}: the code of {type_name} is not the one that the model was trained with (digest {recorded}, now "
            f"{found}). Put that back, or run the experiment again."
        )
