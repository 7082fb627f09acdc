"""The log of a lease as it stands in the store: who took the lock, one after the other, and who they are."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Final, Self

from mlflow import MlflowClient

from qlab.tracking import names
from qlab.tracking.query import Query
from qlab.tracking.workers import Worker

_RUNS = 1000
"""More locks of one experiment there are never: there is one, or as many as commands were started in one moment."""

_ENTRY: Final = "lock."
_HOLDER: Final = f"{names.HOLDER}."

TAGS: Final = {names.KIND: names.CLAIMS, names.LOCK: "lease", names.NOTE: "Who runs this experiment. Not a result."}
"""The tags of a run that is a lock."""

_FILTER: Final = Query({key: TAGS[key] for key in (names.KIND, names.LOCK)}).filter


@dataclasses.dataclass(frozen=True)
class Log:
    """What one run says.

    Args:
        run_id: the run.
        length: the number of the next entry.
        last: the id of who took the lock last; empty if nobody has.
        known: those that have described themselves and not given the lock back, by id.
    """

    run_id: str
    length: int
    last: str
    known: dict[str, Worker]

    @classmethod
    def of(cls, run_id: str, params: Mapping[str, str], tags: Mapping[str, str]) -> Self:
        """Reads a run; what stands in it beside the log is left out."""
        numbers = [name.removeprefix(_ENTRY) for name in params if name.startswith(_ENTRY)]
        last = max((int(number) for number in numbers if number.isascii() and number.isdecimal()), default=-1)
        parsed = (Worker.parse(text) for name, text in tags.items() if name.startswith(_HOLDER))
        known = {worker.id: worker for worker in parsed if worker is not None}
        return cls(run_id, last + 1, params.get(f"{_ENTRY}{last}", ""), known)

    @property
    def end(self) -> tuple[str, int, str]:
        """What is the same as long as nobody has appended to it."""
        return self.run_id, self.length, self.last

    @property
    def taker(self) -> Worker | None:
        """Who took the lock last, if it has not given it back."""
        return self.known.get(self.last)


def read(client: MlflowClient, experiment_id: str) -> list[Log]:
    """The logs of an experiment in the order of their ids, by one query."""
    found = client.search_runs([experiment_id], _FILTER, max_results=_RUNS)
    return sorted(
        (Log.of(str(run.info.run_id), run.data.params, run.data.tags) for run in found), key=lambda log: log.run_id
    )


def entry(number: int, worker: Worker) -> dict[str, str]:
    """The param by which a worker takes the lock."""
    return {f"{_ENTRY}{number}": worker.id}


def described(worker: Worker) -> dict[str, str]:
    """The tag by which a worker describes itself."""
    return {tag(worker): worker.show()}


def tag(worker: Worker) -> str:
    """The name of that tag."""
    return f"{_HOLDER}{worker.id}"
