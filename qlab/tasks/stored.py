"""Tasks as a store describes them, with the data that their runs had."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qlab.errors import ConfigError, DataError
from qlab.registry import make
from qlab.tasks.base import Dataset, Task, load_data
from qlab.tasks.files import digest_of, named_files, placed


def load_stored(
    config: Mapping[str, Any], folder: Path | None = None, *, imports: Path | None = None
) -> tuple[Task, Dataset]:
    """The task and the data of a configuration in a store.

    Files are looked for where they were, then beside imported classes, then in the current folder, and are read only if
    they hold what the runs had: a store that others write to names what it likes, or leaves out what was in it.

    Args:
        config: the task's table.
        folder: of the experiment file, where relative paths start.
        imports: where classes beside the experiment file are; without it none are imported.

    Raises:
        ConfigError: the class is not here.
        DataError: the data do not load, or the files are gone or were edited, or nothing says what they held.
    """
    task: Task = make("task", config, imports)
    wanted = config.get("files")
    said: list[str] = []
    for place in dict.fromkeys(item for item in (folder, imports, Path.cwd()) if item is not None):
        here = placed(task, place)
        try:
            found = digest_of(here)
        except ConfigError as error:
            said.append(str(error))
            continue
        if found == wanted:  # both None: the task names no files
            return here, load_data(here)
        said.append(_refusal(here, wanted))
    raise DataError(f"The data of these runs are not here. {said[0]}")


def _refusal(task: Task, wanted: object) -> str:
    """Why files of a task are not read."""
    name, files = type(task).__name__, ", ".join(str(file) for file in named_files(task))
    if not files:
        return (
            f"The task {name} names no files now, and its runs had some; run the experiment again under another name."
        )
    if wanted is None:
        return (
            f"The task {name} names {files}, but its configuration in the store does not say what was there (it has no "
            'digest "files"), so nothing is read: run the experiment again under another name.'
        )
    return (
        f"{files} of the task {name} was edited since: its digest is not {wanted}. Put back what was there, or run the "
        "experiment again under another name."
    )
