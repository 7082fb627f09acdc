"""What every lock of an experiment has in common: it is waited for, says who holds it, and belongs to one process."""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import os
import time
import weakref
from collections.abc import Callable
from typing import Self

from qlab import interrupts
from qlab.errors import JobStopped, QlabError, StoreError
from qlab.tracking.faults import explain
from qlab.tracking.store import Store
from qlab.tracking.workers import Worker


@dataclasses.dataclass(frozen=True)
class Holder:
    """Who holds a lock.

    Args:
        worker: as it describes itself; None if that cannot be read.
    """

    worker: Worker | None = None

    @property
    def id(self) -> str:
        """Unique for every time that a lock is taken; empty where it is not known."""
        return "" if self.worker is None else self.worker.id

    def __str__(self) -> str:
        if self.worker is None:
            return "another process"
        since = _clock(self.worker.since)
        return f"process {self.worker.pid} on {_plain(self.worker.host)}{f', since {since}' if since else ''}"


class HeldError(QlabError):
    """Another command runs the experiment, and was not to be waited for; the command line exits with 1.

    Args:
        name: of the experiment.
        holder: who runs it.
    """

    def __init__(self, name: str, holder: Holder) -> None:
        super().__init__(
            f"{name} is being run by {holder}. Give the command again when that has ended, or without --no-wait: "
            "then it waits."
        )
        self.holder = holder


class TakenOver(JobStopped):
    """Another command has the lock that this one held.

    Args:
        name: of the experiment.
        reason: how that came about.
        holder: who has it; None if that has ended already.
    """

    def __init__(self, name: str, reason: str, holder: Holder | None) -> None:
        super().__init__(
            f"{reason}, and {name} has been taken over by {holder or 'another process'}. This command stops; what it "
            "has stored is kept. Run again to go on."
        )


class Lock(abc.ABC):
    """The lock of one MLflow experiment: who holds it is the only one that runs the experiment.

    It is held from :meth:`acquire` until :meth:`release`, which the end of a ``with`` block calls, by this process and
    none that is forked from it.

    Args:
        store: where the experiment is.
        experiment_id: the MLflow experiment.
        poll: seconds between two looks of who waits.
    """

    def __init__(self, store: Store, experiment_id: str, poll: float) -> None:
        self._store = store
        self._experiment_id = experiment_id
        self._poll = poll
        _MADE.add(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()

    def acquire(self, *, wait: bool = True, tell: Callable[[str], None] | None = None) -> None:
        """Takes the lock; who has it already has it still.

        Args:
            wait: whether to wait for another holder.
            tell: is given a line for people about each holder that is waited for; by default the store's.

        Raises:
            HeldError: another process holds it, and ``wait`` is False.
            StoreError: the store does not take locks.
        """
        if self.held:
            return
        self.release()
        tell = tell or self._store.tell
        told: set[str] = set()
        try:
            while (holder := self._try()) is not None:
                if not wait:
                    raise HeldError(self._name(), holder)
                if holder.id not in told:
                    tell(f"{self._name()} is being run by {holder}: waiting")
                    told.add(holder.id)
                interrupts.check()
                time.sleep(self._poll)
        except BaseException:
            self.release()
            raise

    @property
    @abc.abstractmethod
    def held(self) -> bool:
        """Whether this object holds the lock, as far as it knows."""

    @abc.abstractmethod
    def holder(self) -> Holder | None:
        """Who holds the lock now, this process among others; None if nobody does.

        A look that takes nothing and writes nothing. A reader asks it after it has read the runs: those that say that
        they are running are nobody's if there is no holder. A command may have ended between the two, so look at the
        runs' status once more before calling them interrupted.
        """

    @abc.abstractmethod
    def confirm(self) -> None:
        """Makes sure that the lock is still this object's, at next to no cost in the usual case.

        Raises:
            TakenOver: it is not.
        """

    @abc.abstractmethod
    def release(self) -> None:
        """Gives the lock back, as well as the store allows; nothing happens if it is not held."""

    @abc.abstractmethod
    def _try(self) -> Holder | None:
        """Takes the lock, or says who is in the way."""

    @abc.abstractmethod
    def _forget(self) -> None:
        """Called in a process that was forked from this one: there the lock is not held."""

    def _name(self) -> str:
        with contextlib.suppress(StoreError), explain(self._store.uri):
            return _plain(str(self._store.client.get_experiment(self._experiment_id).name))
        return f"experiment {self._experiment_id}"


_MADE: weakref.WeakSet[Lock] = weakref.WeakSet()


def _forget_all() -> None:
    for lock in list(_MADE):
        lock._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)


def _clock(since: float) -> str:
    """A time as a clock on the wall here shows it, with the date if that is not today's; empty if there is none."""
    try:
        then = time.localtime(since)
        form = "%H:%M" if then[:3] == time.localtime()[:3] else "%Y-%m-%d %H:%M"
        return time.strftime(form, then) if since > 0 else ""
    except (ValueError, OverflowError, OSError):
        return ""


def _plain(text: str) -> str:
    """Text from a store or a file, without what would move a terminal's cursor."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:200])
