"""Claims: two runs of one experiment at a time never work at the same thing.

MLflow has no locks, but a param is written once: the store takes the first value and refuses another. So claims are
entries in a log that is only ever appended to: the params ``claim.0``, ``claim.1``, ... of a run of kind "claims", one
in every MLflow experiment. An entry names a worker and the keys that it claims. Whoever appends has read all entries
before, as otherwise the number is taken and the store refuses. Workers describe themselves in tags
``qlab.worker.<id>`` of the same run. Who works at a key is the worker of the last entry with that key, as long as that
worker lives and its tag is there; after that the key is free.

Many keys fit into an entry, so that the log grows with the number of times that somebody claims something, and not with
the number of trials: MLflow reads all params of a run whenever one is written.

A worker lives as long as its process, where that can be seen. Elsewhere it lives as long as its tag changes: a thread
counts up a beat in it, and whoever sees the same beat for the length of the lease, by an own clock, takes it for
dead.

**Several claims-runs** may exist, as two workers may find none at the same time, and each make one. So a worker makes
one if it sees none, describes itself in all it sees, and looks again until it sees no others; and it has won only
what it has won in all of them. Two live workers cannot both win. If they looked at a common run, one of them was
refused there. They have one in common: each finished its last look after its own runs were there, so the later of the
two last looks saw the runs of the earlier one. Runs are taken in the order of their ids, so that two workers do not
each win one half.

On stores in a database (SQLite, a tracking server) the test and the write are one step. MLflow's folders of files
have no such step; there claims protect from runs that are started after one another, not within the same
milliseconds.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Final, Self

from qlab import interrupts
from qlab.errors import QlabError, StoreAwayError, StoreError
from qlab.tracking import names
from qlab.tracking.store import Store
from qlab.tracking.workers import Worker

LEASE_SECONDS: Final = 60.0
"""A worker whose process cannot be seen is taken for dead if its beat stays the same for so long."""

BEAT_SECONDS: Final = 10.0

_KEYS = 200
"""So many keys of 16 digits are in one entry: 3,400 characters, of the 6,000 that MLflow takes."""

_ENTRIES = 100
"""MLflow takes so many params at once."""

_ROUNDS = 1000
"""Each round in which a batch is refused, another worker has written: more rounds than that never happen."""

_CLAIM, _WORKER = "claim.", f"{names.WORKER}."

_ACTIVE: set[str] = set()
"""The workers of this process that have not been released."""


class TakenOver(QlabError):
    """Other workers have claimed what this one was at, since it gave no sign of life for too long.

    Args:
        number: of the keys that are others' now.
        silence: for how many seconds.
    """

    def __init__(self, number: int, silence: float) -> None:
        super().__init__(
            f"This process gave no sign of life for {silence:.0f} s, so others have taken over {number} of the runs "
            "that it had for itself; they are left to them."
        )


class Claims:
    """The claims of one worker in one MLflow experiment, and its view of the others'.

    Nothing is written before the first :meth:`claim`. Use as a context manager, so that claims are released whatever
    happens.

    Args:
        store: where to.
        experiment_id: the MLflow experiment.
        lease: seconds, see :data:`LEASE_SECONDS`.
        beat: seconds between two signs of life.
        silent: for who only looks once: a worker whose process cannot be seen is taken for dead if its last sign of
            life is so many seconds old, by the clocks of both. Who claims goes by its own clock alone.
    """

    def __init__(
        self,
        store: Store,
        experiment_id: str,
        *,
        lease: float = LEASE_SECONDS,
        beat: float = BEAT_SECONDS,
        silent: float | None = None,
    ) -> None:
        self.worker = Worker.here()
        self._store = store
        self._experiment_id = experiment_id
        self._lease = lease
        self._beat = beat
        self._silent = silent
        self._joined: list[str] = []
        self._seen: dict[str, tuple[int, float]] = {}
        self._won: set[str] = set()
        self._lost: set[str] = set()
        self._lost_after = 0.0
        self._last_sign = 0.0
        self._silence = 0.0
        self._writing = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()

    def claim(self, keys: Iterable[str]) -> set[str]:
        """Claims what no live worker has.

        While a tracking server is away nobody can claim anything, and a worker that had begun goes on: then all keys
        count as won.

        Returns:
            Those of the keys that are this worker's now, by this call or an earlier one.
        """
        won = wanted = set(keys)
        try:
            if won:
                self.join()
            for run_id in self._joined:
                won = self._claim_in(run_id, won)
        except StoreAwayError:
            if not self._joined:
                raise
            won = wanted
        self._won |= won
        self._lost -= won
        return won

    def holders(self, keys: Iterable[str]) -> dict[str, Worker]:
        """The other live workers that have some of the keys, by key."""
        wanted = set(keys)
        found: dict[str, Worker] = {}
        for run_id in self._visible():
            log = self._read(run_id)
            others = {id: worker for id, worker in self._living(log).items() if id != self.worker.id}
            found |= {key: others[log.holders[key]] for key in wanted if log.holders.get(key) in others}
        return found

    def gone(self, worker_ids: Iterable[str]) -> set[str]:
        """Those of some workers that are dead or released."""
        wanted = set(worker_ids)
        if not wanted:
            return set()
        return wanted.difference(*(self._living(self._read(run_id)) for run_id in self._visible()))

    def confirm(self, keys: Iterable[str]) -> None:
        """Makes sure that keys which this worker has won are still its own.

        They may not be after it gave no sign of life for the length of the lease: the machine slept, or the tracking
        server was away for it and not for others. Only then is the store asked.

        Raises:
            TakenOver: another worker has claimed some of them since.
        """
        silence = self.silence
        if silence > self._lease:
            with contextlib.suppress(StoreAwayError):
                self._look_for_losses(silence)
        if not self._lost.isdisjoint(keys):
            raise TakenOver(len(self._lost), self._lost_after)

    def _look_for_losses(self, silence: float) -> None:
        logs = [self._read(run_id) for run_id in self._joined]
        found = [(key, log.holders.get(key)) for key in self._won for log in logs]
        lost = {key for key, holder in found if holder not in (None, self.worker.id)}
        if lost:
            self._won -= lost
            self._lost |= lost
            self._lost_after = silence
        # What was won while a server was away stands in no log, so that nobody can say whose it is: look again later.
        if lost or all(holder is not None for _, holder in found):
            self._silence = 0.0

    @property
    def doubtful(self) -> bool:
        """Whether others may have taken over something of this worker's."""
        return bool(self._lost) or self.silence > self._lease

    @property
    def silence(self) -> float:
        """The longest time, in seconds, for which this worker has not given a sign of life."""
        # By the clock on the wall: others may have waited while this machine slept.
        return max(self._silence, time.time() - self._last_sign) if self._joined else 0.0

    def release(self) -> None:
        """Gives everything back; as well as the store allows, since this is the last thing a run does."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=min(self._beat, interrupts.seconds_left()))
        _ACTIVE.discard(self.worker.id)
        with self._writing:
            for run_id in self._joined:
                try:
                    self._store.delete_tag(run_id, _WORKER + self.worker.id)
                except StoreError:
                    continue  # whoever comes next finds out that the worker is dead
            self._joined = []

    def join(self) -> None:
        """Describes this worker in all claims-runs there are; makes one if there is none."""
        visible = self._visible()
        if not visible:
            tags = {names.KIND: names.CLAIMS, names.NOTE: "Who works at what. Not a result."}
            created = self._store.create_run(self._experiment_id, "claims", tags=tags)
            # It holds no work: an ended run takes params and tags as well, and looks like nothing to wait for.
            self._store.finish(created)
            visible = self._visible()
        while visible != self._joined:
            for run_id in visible:
                if run_id not in self._joined:
                    self._store.set_tags(run_id, {_WORKER + self.worker.id: self.worker.show()})
            with self._writing:
                self._joined = visible
            visible = self._visible()
        if self._thread is None:
            self._last_sign = time.time()
            _ACTIVE.add(self.worker.id)
            self._thread = threading.Thread(target=self._keep_beating, name="qlab claims", daemon=True)
            self._thread.start()

    def _visible(self) -> list[str]:
        own = f"tags.`{names.KIND}` = '{names.CLAIMS}'"
        return sorted(str(run.info.run_id) for run in self._store.search([self._experiment_id], own, claims=True))

    def _claim_in(self, run_id: str, keys: set[str]) -> set[str]:
        for _ in range(_ROUNDS):
            log = self._read(run_id)
            living = self._living(log)
            won = {key for key in keys if log.holders.get(key) == self.worker.id}
            free = sorted(key for key in keys - won if log.holders.get(key) not in living)
            entries = {
                f"{_CLAIM}{log.length + number}": " ".join([self.worker.id, *free[start : start + _KEYS]])
                for number, start in enumerate(range(0, len(free), _KEYS)[:_ENTRIES])
            }
            # If it is refused, somebody was quicker: then the log is read again, and what is still free is claimed.
            if not entries or (self._store.log_params(run_id, entries) and len(free) <= _KEYS * _ENTRIES):
                return won.union(free)
        raise StoreError(f"The tracking store {self._store.location} does not take claims; is its database locked?")

    def _read(self, run_id: str) -> _Log:
        run = self._store.get_run(run_id)
        return _Log.of(run.data.params, run.data.tags)

    def _living(self, log: _Log) -> dict[str, Worker]:
        """The workers in a log that live, by id."""
        return {id: worker for id, worker in log.workers.items() if self._alive(worker)}

    def _alive(self, worker: Worker) -> bool:
        if worker.same_process:
            return worker.id in _ACTIVE
        exists = worker.process_exists()
        if exists is not None:
            return exists
        if self._silent is not None and worker.seen and time.time() - worker.seen > self._silent:
            return False
        now = time.monotonic()
        beat, since = self._seen.setdefault(worker.id, (worker.beat, now))
        if beat != worker.beat:
            self._seen[worker.id] = (worker.beat, now)
            return True
        return now - since <= self._lease

    def _keep_beating(self) -> None:
        worker = self.worker
        while not self._stop.wait(self._beat):
            worker = worker.beating()
            try:
                with self._writing:
                    if self._stop.is_set():
                        return
                    for run_id in self._joined:
                        self._store.touch(run_id, {_WORKER + worker.id: worker.show()})
                    self._silence, self._last_sign = self.silence, time.time()
            except Exception:  # a missed beat is no reason to stop the training; the next may come through
                continue


@dataclasses.dataclass(frozen=True)
class _Log:
    """What a claims-run says.

    Args:
        length: the number of the next entry.
        holders: for every key the id of the worker that claimed it last.
        workers: those that are registered, by id.
    """

    length: int
    holders: dict[str, str]
    workers: dict[str, Worker]

    @classmethod
    def of(cls, params: Mapping[str, str], tags: Mapping[str, str]) -> Self:
        logged = ((name.removeprefix(_CLAIM), text) for name, text in params.items() if name.startswith(_CLAIM))
        entries = sorted((int(number), text) for number, text in logged if number.isdecimal())
        holders: dict[str, str] = {}
        for _, text in entries:
            holder, *keys = text.split() or [""]
            holders |= dict.fromkeys(keys, holder)
        parsed = (Worker.parse(text) for name, text in tags.items() if name.startswith(_WORKER))
        workers = {worker.id: worker for worker in parsed if worker is not None}
        return cls(entries[-1][0] + 1 if entries else 0, holders, workers)
