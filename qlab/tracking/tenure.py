"""The time for which one worker has a lease, from its first word in the store to its last."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from typing import Final

from qlab import interrupts
from qlab.errors import StoreAwayError, StoreError
from qlab.tracking import lease_log
from qlab.tracking.lease_log import Log
from qlab.tracking.store import Store
from qlab.tracking.watch import ACTIVE, Moment
from qlab.tracking.workers import Worker

_DOUBT: Final = 0.5
"""After this part of the lease without a sign of life a holder makes sure: clocks differ, and a beat takes its time."""

_GOODBYE_SECONDS: Final = 5.0
"""A beat that is under way may hold up the end for so long."""


class Tenure:
    """A worker in the logs of a lease, where it is described and may be the last that took the lock.

    Args:
        store: where the logs are.
        worker: with an id that was never used.
        lease: the seconds after which others take it for dead.
    """

    def __init__(self, store: Store, worker: Worker, lease: float) -> None:
        self.worker = worker
        self.lost: float | None = None
        """After how many seconds of silence another was found to have taken over; None if none was."""
        self._store = store
        self._lease = lease
        self._runs: list[str] = []
        self._entries: dict[str, int] = {}
        self._sign = Moment()
        self._tried = self._sign
        self._refused: StoreError | None = None
        self._writing = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def describe(self, logs: Sequence[Log]) -> bool:
        """Describes the worker in those logs in which it is unknown; whether there were any."""
        unknown = [log.run_id for log in logs if self.worker.id not in log.known]
        ACTIVE.add(self.worker.id)
        for run_id in unknown:
            self._runs.append(run_id)
            self._store.set_tags(run_id, lease_log.described(self.worker))
        return bool(unknown)

    def append(self, logs: Sequence[Log]) -> bool:
        """Takes the lock in all logs; False if somebody was quicker in one of them."""
        for log in logs:
            if log.last == self.worker.id:
                continue
            if not self._store.log_params(log.run_id, lease_log.entry(log.length, self.worker)):
                return False
            self._entries[log.run_id] = log.length
        return True

    def begin(self, beat: float) -> None:
        """Gives a sign of life every so many seconds, in a thread of its own."""
        self._thread = threading.Thread(target=self._keep_beating, args=(beat,), name="qlab lease", daemon=True)
        self._thread.start()

    def make_sure(self) -> None:
        """Asks the store whether nobody has taken over, if this worker was silent for long; see ``lost``.

        While the store is away nobody can take over. Then the thread that beats goes on trying, and is not waited for.

        Raises:
            StoreError: the store takes no more signs of life, as somebody has deleted the run with the log.
        """
        if self.lost is None and self._doubtful(self._tried) and self._writing.acquire(timeout=self._lease / 10):
            try:
                if self._doubtful(self._tried):
                    with contextlib.suppress(StoreAwayError):
                        self._live_on()
            finally:
                self._writing.release()
        if self._refused is not None and self._doubtful():
            raise StoreError(f"The lock of this experiment is lost: {self._refused}")

    def end(self) -> None:
        """Gives everything back, as well as the store allows, since this is the last thing a command does."""
        self._ended.set()
        ACTIVE.discard(self.worker.id)
        # Behind a beat that is under way, which would write the tag once more.
        if not self._writing.acquire(timeout=min(_GOODBYE_SECONDS, interrupts.seconds_left())):
            return  # whoever comes next finds out that this worker is gone
        self._writing.release()
        for run_id in self._runs:
            with contextlib.suppress(StoreError):
                self._store.delete_tag(run_id, lease_log.tag(self.worker))
        if self._thread is not None:
            self._thread.join(timeout=1.0)

    def _keep_beating(self, beat: float) -> None:
        while not self._ended.wait(beat) and self.lost is None:
            # A missed beat is no reason to stop what is being run; the next may come through.
            with contextlib.suppress(Exception), self._writing:
                self._live_on()

    def _doubtful(self, *moments: Moment) -> bool:
        """Whether there was neither a sign of life for long nor one of these moments."""
        return min(moment.ago() for moment in (self._sign, *moments)) > self._lease * _DOUBT

    def _live_on(self) -> None:
        """A sign of life; after a long silence it is followed by an entry, which is refused if another took over."""
        if self._ended.is_set():
            return
        self._tried = now = Moment()
        try:
            self.worker = self.worker.beating()
            for run_id in self._runs:
                self._store.touch(run_id, lease_log.described(self.worker))
            # Others see the beat now: if it comes too late for one of them, its entry has the number of this one.
            silence = self._sign.ago()
            if self._doubtful() and not self._append_again():
                self.lost = silence
            else:
                self._sign, self._refused = now, None
        except StoreAwayError:
            raise
        except StoreError as error:
            self._refused = error
        finally:
            self._tried = Moment()

    def _append_again(self) -> bool:
        for run_id, number in self._entries.items():
            if not self._store.log_params(run_id, lease_log.entry(number + 1, self.worker)):
                return False
            self._entries[run_id] = number + 1
        return True
