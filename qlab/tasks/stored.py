"""Tasks as a store describes them, with the data that their runs had."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qlab.errors import ConfigError, DataError
from qlab.registry import make
from qlab.tasks.base import Dataset, Task, load_data
from qlab.tasks.files import digest_of, placed


def load_stored(config: Mapping[str, Any], folder: Path | None = None) -> tuple[Task, Dataset]:
    """The task and the data of a configuration in a store.

    Files are looked for where they were, then in the current folder, and are read only if they hold what the runs had:
    a store that others write to names what it likes.

    Args:
        config: the task's table.
        folder: of the experiment file, where relative paths start.

    Raises:
        ConfigError: the class is not here.
        DataError: the data do not load, or the files are gone or were edited.
    """
    task: Task = make("task", config)
    wanted = config.get("files")
    if wanted is None:
        return task, load_data(task)
    said: list[str] = []
    for place in dict.fromkeys(item for item in (folder, Path.cwd()) if item is not None):
        here = placed(task, place)
        try:
            if digest_of(here) == wanted:
                return here, load_data(here)
            files = ", ".join(str(file) for file in here.files())
            said.append(f"{files} of the task {type(task).__name__} was edited since: its digest is not {wanted}.")
        except ConfigError as error:
            said.append(str(error))
    raise DataError(f"The data of these runs are not here. {said[0]}")
