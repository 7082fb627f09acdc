"""Whether workers live: by their process where that can be seen, elsewhere by their beat."""

from __future__ import annotations

import dataclasses
import time
from typing import Final

from qlab.tracking.workers import Worker

ACTIVE: Final[set[str]] = set()
"""The ids of those that this process has described in a store, and that have not ended."""


@dataclasses.dataclass(frozen=True)
class Moment:
    """A moment on two clocks: the one on the wall also goes while a machine sleeps, and the other is never set."""

    wall: float = dataclasses.field(default_factory=time.time)
    steady: float = dataclasses.field(default_factory=time.monotonic)

    def ago(self) -> float:
        """The seconds since then, by the clock that has gone further."""
        return max(time.time() - self.wall, time.monotonic() - self.steady)


@dataclasses.dataclass(frozen=True)
class _Sight:
    """A beat, since when it has been seen, and when it was last looked at, by this process's own clock."""

    beat: int
    since: float
    looked: float


class Watch:
    """Watches workers.

    Args:
        lease: for so many seconds a beat may stand still.
    """

    def __init__(self, lease: float) -> None:
        self._lease = lease
        self._seen: dict[str, _Sight] = {}

    def alive(self, worker: Worker) -> bool:
        """Whether a worker lives, by what is read of it now; who cannot be seen lives until the lease is over."""
        exists = worker.id in ACTIVE if worker.same_process else worker.process_exists()
        return self._beats(worker) if exists is None else exists

    def silent(self, worker: Worker, seconds: float) -> bool:
        """Whether a worker that cannot be seen was last heard of so long ago, by the clocks of both."""
        return worker.process_exists() is None and 0 < worker.seen < time.time() - seconds

    def _beats(self, worker: Worker) -> bool:
        now = time.monotonic()
        sight = self._seen.get(worker.id)
        # A watch with a gap in it starts anew: while the store is away, for this process as for others, nobody beats.
        if sight is None or sight.beat != worker.beat or now - sight.looked > self._lease / 2:
            sight = _Sight(worker.beat, now, now)
        self._seen[worker.id] = dataclasses.replace(sight, looked=now)
        return now - sight.since <= self._lease
