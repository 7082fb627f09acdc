"""The parent run of an experiment file's content."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from qlab.experiment.recording.recorder import Recorder
from qlab.tracking import names, provenance
from qlab.tracking.query import Query


def open_parent(recorder: Recorder, *, busy: bool) -> str:
    """The experiment's parent run: the one of earlier times if its content is the same.

    Args:
        recorder: of the experiment, which it holds if the run is to be made.
        busy: whether there is anything to do; then the run is shown as running.
    """
    run_id = find_parent(recorder) or _create(recorder)
    if not recorder.store.has_file(run_id, names.CONFIGS):  # it was made by a command that was killed right then
        _describe(recorder, run_id)
    if busy:
        recorder.store.set_tags(run_id, {names.WORKER: recorder.worker})
        recorder.store.finish(run_id, "RUNNING")
    return run_id


def find_parent(recorder: Recorder) -> str | None:
    """The experiment's parent run, if there is one."""
    content = recorder.experiment.content
    own = Query({names.CONTENT: content, names.KIND: names.EXPERIMENT})
    found = sorted(
        (run.info.start_time, str(run.info.run_id)) for run in recorder.store.search([recorder.experiment_id], own)
    )
    return found[0][1] if found else None


def _create(recorder: Recorder) -> str:
    experiment = recorder.experiment
    tags = provenance.tags(experiment.source) | {
        names.KIND: names.EXPERIMENT,
        names.CONTENT: experiment.content,
        names.NOTE: experiment.about,
        names.WORKER: recorder.worker,
        names.ASSIGNMENTS: json.dumps(experiment.assignments),
    }
    if experiment.folder is not None:
        tags[names.FOLDER] = str(experiment.folder.absolute())
    run_id = recorder.store.create_run(recorder.experiment_id, experiment.name, tags=tags)
    _describe(recorder, run_id)
    return run_id


def _describe(recorder: Recorder, run_id: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        text, resolved = Path(folder) / names.TEXT_FILE, Path(folder) / names.CONFIGS
        text.write_text(recorder.experiment.text, encoding="utf-8")
        configs = {item.key: item.config for item in recorder.experiment.items}
        resolved.write_text(json.dumps(configs, indent=1), encoding="utf-8")
        for file in (text, resolved):
            recorder.store.log_file(run_id, file)
