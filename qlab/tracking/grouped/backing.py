"""What groups need of a store: what it does with runs of MLflow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from qlab.tracking.query import Query
from qlab.tracking.writes import Status


class Runs(Protocol):
    """See :class:`qlab.tracking.store.Store`, where all of this is said."""

    tell: Callable[[str], None]

    def known_as(self, run_id: str) -> str:
        """See there, as all the others."""

    def create_run(
        self, experiment_id: str, name: str, *, params: Mapping[str, str] | None, tags: Mapping[str, str] | None
    ) -> str:
        """Creates a running run."""

    def log(self, run_id: str, *, tags: Mapping[str, str] | None) -> None:
        """Sets tags."""

    def finish(self, run_id: str, status: Status) -> None:
        """Ends a run, or starts it again."""

    def log_file(self, run_id: str, file: Path, folder: str | None) -> None:
        """Copies a file to a run's artifacts."""

    def get_run(self, run_id: str) -> Any:
        """A run."""

    def fetch_file(self, run_id: str, path: str, folder: Path) -> Path:
        """A copy of an artifact."""

    def local_file(self, run_id: str, path: str) -> Path | None:
        """Where an artifact is on this machine."""

    def groups_of(self, experiment_ids: Sequence[str], query: Query) -> Iterator[Any]:
        """The runs of groups."""
