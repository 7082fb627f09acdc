"""A job: what a helper process is told, as one line of JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

from qlab.errors import ConfigError, DataError
from qlab.experiment import schema
from qlab.experiment.portions import Share
from qlab.experiment.schema import Experiment


@dataclasses.dataclass(frozen=True)
class Job:
    """An experiment to help with, such that another process makes the very same of it.

    Args:
        name: the experiment's.
        text: its file's text.
        source: where that was read from, for messages.
        folder: where files beside it are.
        assignments: keys and values that replaced those of the text.
        content: its content hash: a helper whose classes differ finds another one.
        uri: the tracking store, with an absolute path if it is a file.
        old_failures: the runs that had failed before the command began; what they were of is tried again.
        workers: how many workers there are.
        here: how many of them are on the helper's machine.
    """

    name: str
    text: str
    source: str
    folder: str | None
    assignments: list[tuple[str, Any]]
    content: str
    uri: str
    old_failures: list[str]
    workers: int
    here: int

    @classmethod
    def of(cls, experiment: Experiment, uri: str, old_failures: Iterable[str], share: Share) -> Self:
        """What helpers are told of an experiment."""
        return cls(
            name=experiment.name,
            text=experiment.text,
            source=experiment.source,
            folder=None if experiment.folder is None else str(experiment.folder.absolute()),
            assignments=list(experiment.assignments),
            content=experiment.content,
            uri=uri,
            old_failures=sorted(old_failures),
            workers=share.workers,
            here=share.here,
        )

    @classmethod
    def parse(cls, line: str) -> Self:
        """What :meth:`show` wrote."""
        return cls(**json.loads(line))

    def show(self) -> str:
        """The job as a line."""
        return json.dumps(dataclasses.asdict(self))

    @property
    def share(self) -> Share:
        """How many workers there are."""
        return Share(self.workers, self.here)

    def experiment(self) -> Experiment:
        """The experiment, read again.

        Raises:
            ConfigError: it is another one here, or cannot be read.
        """
        folder = None if self.folder is None else Path(self.folder)
        hint = ""
        if folder is not None and not folder.is_dir():
            hint = f" There is no folder {folder} here, where classes beside {self.source} are; share it or copy it."
        pairs = [(str(key), value) for key, value in self.assignments]
        try:
            found = schema.parse(
                self.text, source=self.source, folder=folder, default_name=self.name, assignments=pairs
            )
        except (ConfigError, DataError) as error:
            raise ConfigError(f"{error}{hint}") from error
        if found.content != self.content:
            raise ConfigError(
                f"{self.source} means something else here: its classes or data in {folder}, or qlab itself, are not "
                "those of the command. Use the same files everywhere."
            )
        return found
