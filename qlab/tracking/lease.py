"""The lock of an experiment on a tracking server or in a database: a lease that its holder renews.

MLflow has no locks, but a param is written once: the store takes the first value and refuses another. So the lock is
a log that is only ever appended to: the params ``lock.0``, ``lock.1``, ... of a run of kind "claims", one in every
MLflow experiment. An entry names who took the lock. Whoever appends has read all entries before, as otherwise the
number is taken and the store refuses. Who took it describes itself in a tag ``qlab.holder.<id>`` of the same run,
before it appends. The lock is with the last entry's holder as long as that lives and its tag is there; an id is used
once, so that what was given back stays so.

A holder lives as long as its process, where that can be seen. Elsewhere it lives as long as its tag changes: a thread
counts up a beat in it, and whoever sees the same beat for the length of the lease, by an own clock and without a gap
in the watch, takes it for dead. A holder that was silent for long (the machine slept, the server was away) appends
one more entry after its next beat: if that is refused, another has taken over.

**Several such runs** may exist, as two commands may find none at the same time, and each make one. So a command makes
one if it sees none, describes itself in all it sees, and looks again until it sees no others; and it has the lock only
if it is the last in all of them. Two live commands cannot both have it. If they looked at a common run, one of them
was refused there. They have one in common: each finished its last look after its own runs were there, so the later of
the two last looks saw the runs of the earlier one. Runs are taken in the order of their ids, and who is not the last in
all of them gives all of them back before it waits, so that nobody waits for who waits for it.

A store may read a run's params and tags at two moments. An entry counts as given back only if a later look has not
found its tag either: hence no entry is appended before two looks in a row have seen the same entries.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Final

from qlab.errors import StoreError
from qlab.tracking import lease_log
from qlab.tracking.faults import explain
from qlab.tracking.holding import Holder, Lock, TakenOver
from qlab.tracking.lease_log import Log
from qlab.tracking.patience import patiently
from qlab.tracking.store import Store
from qlab.tracking.tenure import Tenure
from qlab.tracking.watch import Watch
from qlab.tracking.workers import Worker

LEASE_SECONDS: Final = 60.0
"""A holder whose process cannot be seen is taken for dead if its beat stays the same for so long."""

BEAT_SECONDS: Final = 10.0

SILENT_SECONDS: Final = 600.0
"""A holder that was last heard of so long ago is gone for a reader, who cannot wait and see."""

_WAIT_SECONDS = 600.0
"""How long a store that is away is waited for by who wants the lock."""

_LOOK_SECONDS = 30.0
"""How long by who only looks."""

_ROUNDS = 1000
"""Each round in which something has changed, another has written: more rounds than that never happen."""


class Lease(Lock):
    """A lease on an experiment.

    Who waits writes nothing, and a store that is away while it waits is waited for as well.

    Args:
        store: where the experiment is.
        experiment_id: the MLflow experiment.
        lease: seconds, see :data:`LEASE_SECONDS`.
        beat: seconds between two signs of life.
        poll: seconds between two looks of who waits.
        silent: see :data:`SILENT_SECONDS`, by the clocks of both.
        describe: how this process describes itself, anew whenever it takes the lock.
    """

    def __init__(
        self,
        store: Store,
        experiment_id: str,
        *,
        lease: float = LEASE_SECONDS,
        beat: float = BEAT_SECONDS,
        poll: float = 1.0,
        silent: float = SILENT_SECONDS,
        describe: Callable[[], Worker] = Worker.here,
    ) -> None:
        self._lease = lease
        self._beat = beat
        self._silent = silent
        self._describe = describe
        self._watch = Watch(lease)
        self._tenure: Tenure | None = None
        self._held = False
        super().__init__(store, experiment_id, poll)

    @property
    def held(self) -> bool:
        """Whether this object holds the lock, as far as it knows."""
        return self._held and self._tenure is not None and self._tenure.lost is None

    def holder(self) -> Holder | None:
        """Who holds the lock now, by one query; None if nobody does.

        Of a holder whose process cannot be seen the first look goes by when it was last heard of; further looks of the
        same object see whether its beat changes.
        """
        for log in reversed(self._look(_LOOK_SECONDS)):
            worker = log.taker
            if worker is not None and not self._watch.silent(worker, self._silent) and self._watch.alive(worker):
                return Holder(worker)
        return None

    def confirm(self) -> None:
        """Makes sure that the lock is still this object's; asks the store only after a long silence.

        While the store is away nobody can take the lock, and its holder goes on.

        Raises:
            TakenOver: another has taken it, after this process gave no sign of life for the length of the lease.
        """
        if self._tenure is None:
            return
        self._tenure.make_sure()
        if self._tenure.lost is not None:
            holder = None
            with contextlib.suppress(StoreError):
                holder = self.holder()
            raise TakenOver(self._name(), f"This command gave no sign of life for {self._tenure.lost:.0f} s", holder)

    def release(self) -> None:
        """Gives the lock back, as well as the store allows."""
        tenure = self._tenure
        self._forget()
        if tenure is not None:
            tenure.end()

    def _forget(self) -> None:
        self._tenure, self._held = None, False

    def _try(self) -> Holder | None:
        before: list[tuple[str, int, str]] | None = None
        for _ in range(_ROUNDS):
            logs = self._look(_WAIT_SECONDS)
            if not logs:
                self._make()
                continue
            other = self._living_other(logs)
            if other is not None:
                self.release()
                return Holder(other)
            if self._tenure is None:
                self._tenure = Tenure(self._store, self._describe(), self._lease)
            unknown = self._tenure.describe(logs)
            ends = [log.end for log in logs]
            settled, before = ends == before, ends
            if settled and not unknown and self._tenure.append(logs):
                self._held = True
                self._tenure.begin(self._beat)
                return None
        raise StoreError(f"The tracking store {self._store.location} does not take locks; is its database locked?")

    def _living_other(self, logs: list[Log]) -> Worker | None:
        own = "" if self._tenure is None else self._tenure.worker.id
        takers = (log.taker for log in logs if log.last != own)
        return next((worker for worker in takers if worker is not None and self._watch.alive(worker)), None)

    def _look(self, seconds: float) -> list[Log]:
        """The logs as the store has them now, never as a run that goes on without it remembers them."""

        def look(again: bool) -> list[Log]:
            with explain(self._store.uri):
                return lease_log.read(self._store.client, self._experiment_id)

        place = self._store.location
        return patiently(
            look, seconds, lambda: self._store.tell(f"Waiting for the store {place}, for up to {seconds:.0f} s.")
        )

    def _make(self) -> None:
        run_id = self._store.create_run(self._experiment_id, "lock", tags=lease_log.TAGS)
        # An ended run takes params and tags as well, and looks like nothing to wait for.
        self._store.finish(run_id)
