"""The parent run of an experiment file's content."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Final

from qlab.experiment.session import Session
from qlab.tracking import names, provenance

TEXT_FILE: Final = "experiment.toml"
"""Artifact: the experiment file as it was read."""

_POLL_SECONDS = 0.2


def open_parent(session: Session, *, busy: bool) -> str:
    """The experiment's parent run: the one of earlier times if its content is the same.

    Of several workers that start at the same time one makes it, and the others wait for it.

    Args:
        session: what the experiment's parts share.
        busy: whether there is anything to do; then the run is shown as running.
    """
    key = f"parent-{session.experiment.content}"
    while (run_id := _find(session)) is None:
        if key in session.claims.claim([key]):
            # Whoever had the claim before may have made it since this worker looked.
            run_id = _find(session) or _create(session)
            break
        time.sleep(_POLL_SECONDS)
    if not session.store.has_file(run_id, names.CONFIGS):  # it was made by a worker that was killed right then
        _describe(session, run_id)
    if busy:
        session.claims.join()
        session.store.set_tags(run_id, {names.WORKER: session.claims.worker.id})
        session.store.finish(run_id, "RUNNING")
    return run_id


def _find(session: Session) -> str | None:
    content = session.experiment.content
    own = f"tags.`{names.CONTENT}` = '{content}' and tags.`{names.KIND}` = '{names.EXPERIMENT}'"
    found = sorted(
        (run.info.start_time, str(run.info.run_id)) for run in session.store.search([session.experiment_id], own)
    )
    return found[0][1] if found else None


def _create(session: Session) -> str:
    experiment = session.experiment
    tags = provenance.tags(experiment.source) | {
        names.KIND: names.EXPERIMENT,
        names.CONTENT: experiment.content,
        names.NOTE: experiment.about,
        names.WORKER: session.claims.worker.id,
        names.ASSIGNMENTS: json.dumps(experiment.assignments),
    }
    if experiment.folder is not None:
        tags[names.FOLDER] = str(experiment.folder.absolute())
    run_id = session.store.create_run(session.experiment_id, experiment.name, tags=tags)
    _describe(session, run_id)
    return run_id


def _describe(session: Session, run_id: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        text, resolved = Path(folder) / TEXT_FILE, Path(folder) / names.CONFIGS
        text.write_text(session.experiment.text, encoding="utf-8")
        configs = {item.key: item.config for item in session.experiment.items}
        resolved.write_text(json.dumps(configs, indent=1), encoding="utf-8")
        for file in (text, resolved):
            session.store.log_file(run_id, file)
