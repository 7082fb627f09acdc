"""Experiments that fail before their first run, kept in the store: for `qlab runs --failed`, and for `qlab retry`.

The record is the experiment's parent run, failed. Where the file itself cannot be made sense of, since a class beside
it does not import, there are no trials to know it by; then it is a run for file and values given, and the first time
that the file can be run takes it away.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qlab.errors import QlabError, StoreError
from qlab.experiment.asking import overrides
from qlab.experiment.asking.experiment import Experiment
from qlab.experiment.asking.schema import class_folder, name_of
from qlab.experiment.asking.trial import content_hash
from qlab.experiment.recording.parent import open_parent
from qlab.experiment.recording.recorder import Recorder, first_line
from qlab.textfile import read_text
from qlab.tracking import names, provenance
from qlab.tracking.query import Query
from qlab.tracking.store import Store


def is_of_own_code(error: BaseException) -> bool:
    """Whether somebody else's code, such as a class beside the file, raised what is behind an error of qlab."""
    cause = error.__cause__
    return cause is not None and (not isinstance(cause, QlabError) or is_of_own_code(cause))


def record_refusal(recorder: Recorder, error: QlabError) -> None:
    """Marks an experiment as failed that cannot begin; as well as the store allows, as the error is on its way."""
    with contextlib.suppress(StoreError):
        run_id = open_parent(recorder, busy=False)
        run = recorder.store.get_run(run_id)
        own = run.data.tags.get(names.WORKER) == recorder.worker
        if run.info.status == "RUNNING" and not own and not recorder.lock.held and recorder.lock.holder() is not None:
            return  # it has begun elsewhere
        if run.info.status == "FINISHED":
            return  # what is in the store is whole; that it cannot be run again changes nothing of it
        recorder.store.set_tags(run_id, {names.REFUSED: _identity_of(recorder.experiment)})
        recorder.end([run_id], "FAILED", str(error))


def clear_refusals(recorder: Recorder, parent: str) -> None:
    """Takes away what is recorded of earlier failures of the same file with the same values, as it can be run now."""
    own = Query({names.REFUSED: _identity_of(recorder.experiment)})
    for run in recorder.store.search([recorder.experiment_id], own):
        run_id = str(run.info.run_id)
        recorder.store.delete_tag(run_id, names.REFUSED)
        if run_id != parent:
            recorder.store.delete_run(run_id)


def record_unreadable(store: Store, path: Path, assignments: Sequence[tuple[str, Any]], error: QlabError) -> None:
    """Makes a failed run for an experiment file whose own code fails, if the experiment's name is known."""
    text = read_text(path)
    name = _name(path, text, assignments)
    if name is None:
        return
    folder = class_folder(path, text)
    identity = _identity(name, folder, path.name, assignments)
    experiment_id = store.experiment_id(name)
    found = list(store.search([experiment_id], Query({names.REFUSED: identity})))
    unread = [run for run in found if run.data.tags.get(names.CONTENT) == identity]
    tags = provenance.tags(str(path)) | {
        names.KIND: names.EXPERIMENT,
        names.CONTENT: identity,
        names.REFUSED: identity,
        names.ASSIGNMENTS: json.dumps(assignments),
        names.FOLDER: str(folder.absolute()),
    }
    run_id = str(unread[0].info.run_id) if unread else store.create_run(experiment_id, name, tags=tags)
    with tempfile.TemporaryDirectory() as place:
        for file, content in ((names.TEXT_FILE, text), (names.CONFIGS, "{}")):
            (Path(place) / file).write_text(content, encoding="utf-8")
            store.log_file(run_id, Path(place) / file)
    store.end([run_id], "FAILED", first_line(str(error)))


def _identity_of(experiment: Experiment) -> str:
    return _identity(experiment.name, experiment.folder, Path(experiment.source).name, experiment.assignments)


def _identity(name: str, folder: Path | None, file: str, assignments: Sequence[tuple[str, Any]]) -> str:
    """What of a refusal is the same when it is tried again: name, file and values given beside it."""
    place = "" if folder is None else str(folder.resolve())
    return content_hash({"refused": [name, place, file, [list(pair) for pair in assignments]]})


def _name(path: Path, text: str, assignments: Sequence[tuple[str, Any]]) -> str | None:
    try:
        raw = tomllib.loads(text)
        for key, value in assignments:
            if key == "name":
                overrides.apply(raw, key, value, None)
        return name_of(raw, path.stem)
    except (ValueError, RecursionError):  # it is no TOML, or no name
        return None
