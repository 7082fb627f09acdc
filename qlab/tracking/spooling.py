"""A store on a tracking server that may be away for a while: what is written is kept, and sent when it is back."""

from __future__ import annotations

import contextlib
import functools
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import TypeVar

import mlflow.entities as entities

from qlab import interrupts
from qlab.errors import StoreAwayError, StoreError, StoreShutError, UnsentError
from qlab.tracking import writes
from qlab.tracking.faults import explain
from qlab.tracking.memory import Memory
from qlab.tracking.patience import Limits, patiently
from qlab.tracking.query import Query
from qlab.tracking.spool import Header, Spool, default_root
from qlab.tracking.store import Store
from qlab.tracking.uri import is_server, resolve

LIMITS = Limits()
"""How long runs wait for a tracking server, unless they say otherwise."""

T = TypeVar("T")

_is_brief: ContextVar[bool] = ContextVar("is_brief", default=False)
"""Whether the run can do without what this thread is about to ask."""


def open_store(uri: str | None = None, *, tell: Callable[[str], None] | None = None) -> Store:
    """The store a run writes to: of a server one that outlives its absence.

    Args:
        uri: see :class:`qlab.tracking.store.Store`.
        tell: see there.
    """
    served = is_server(resolve(uri))
    return SpoolingStore(uri, tell=tell) if served else Store(uri, tell=tell)


class SpoolingStore(Store):
    """A store whose writes are kept while its server is away.

    A write that fails for as long as it may goes to a spool, and so do all that follow, in order, until the server is
    back: writing finds out, now and then, and sends what waits. A run created meanwhile has an id that its writer made,
    which is good with this object for ever. What is read is read after everything written so far has been sent.

    Args:
        uri: of a tracking server.
        tell: see the base class.
        root: where spools are made, see :func:`qlab.tracking.spool.default_root`.
        limits: how long what is waited for; by default :data:`LIMITS`.
    """

    def __init__(
        self,
        uri: str | None = None,
        *,
        tell: Callable[[str], None] | None = None,
        root: Path | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._limits = limits or LIMITS
        self._root = root or default_root()
        self._lock = threading.RLock()
        self._spool: Spool | None = None
        self._next_try = 0.0
        self._shut: StoreShutError | None = None
        self._local: set[str] = set()
        self._real: Mapping[str, str] = {}
        self._experiment_ids: dict[str, str] = {}
        self._experiments_made: dict[str, tuple[str, int | None]] = {}
        self._memory = Memory()
        self._exact = False
        super().__init__(uri, tell=tell)
        self._patience = self._limits.read

    def experiment_id(self, name: str) -> str:
        """The MLflow experiment of that name, created if there is none; asked for once."""
        if name not in self._experiment_ids:
            found = super().experiment_id(name)
            made = self._patiently(lambda again: self.client.get_experiment(found)).creation_time
            self._experiments_made[found] = (name, made)
            self._experiment_ids[name] = found
        return self._experiment_ids[name]

    def find_experiment(self, name: str) -> str | None:
        """The MLflow experiment of that name, or None."""
        return self._experiment_ids.get(name) or super().find_experiment(name)

    def known_as(self, run_id: str) -> str:
        """The id that the store knows a run by; the one its writer made, while it has not been sent."""
        group, between, key = run_id.partition(":")  # of a member of a group, if there is a key
        return f"{self._real.get(group, group)}{between}{key}"

    def settle(self, seconds: float) -> bool:
        """Whether everything is in the store; waits as long as sending goes on, else at most so long.

        A server that answers, and lets nobody in any more, is not waited for.

        Raises:
            StoreError: the server refused a write.
        """
        self._exact = True
        return self._settle(min(seconds, self._limits.read))

    def unsent(self) -> str | None:
        """What waits, and where, in a sentence; None if all is in the store."""
        if self._spool is None:
            return None
        waiting = f"{self._spool.left()} writes wait in {self._spool.folder}"
        then = f"`qlab sync {self._spool.folder}` sends them."
        if self._shut is not None:
            return f"{waiting}: {self._shut} Then {then}"
        return f"{waiting}; when {self.location} is back, {then}"

    def close(self) -> None:
        """Lets go of what has not been sent, so that `qlab sync` may have it."""
        if self._spool is not None:
            self._spool.close()
            self._spool = None

    # Writing

    def _write(self, write: writes.Write) -> entities.RunInfo | None:
        with self._lock:
            self._exact = self._exact and not isinstance(write, writes.CreateRun)
            self._memory.take(write, self.known_as(write.run))
            if self._spool is None:
                try:
                    with self._briefly():
                        made = super()._write(write)
                    if made is not None:
                        self._memory.rename(write.run, str(made.run_id))
                    return made
                except StoreAwayError as error:
                    self._leave(error, write)
            else:
                self._keep(self._spool, write)
                if time.monotonic() > self._next_try and not interrupts.interrupted():
                    with contextlib.suppress(StoreAwayError):
                        self._send()
            return None

    def _keep(self, spool: Spool, write: writes.Write) -> None:
        spool.append(write)
        if isinstance(write, writes.CreateRun):
            self._local.add(write.run)

    def _leave(self, error: StoreAwayError, write: writes.Write) -> None:
        """The server is away: from here on writes are kept."""
        spool = Spool.make(self._root, Header(self.location, self._experiments_made), self._real)
        try:
            self._keep(spool, write)
        except StoreError:
            spool.remove()
            raise
        self._spool, self._real = spool, spool.real
        self._next_try = time.monotonic() + self._limits.pause
        self.tell(f"{error} Going on; what is to be written is kept in {spool.folder} until it is back.")

    def _send(self) -> None:
        """Sends all that waits.

        Raises:
            StoreAwayError: the server is still away; it is left alone for ten times as long as it took to find out.
            StoreError: it refuses a write.
        """
        if (spool := self._spool) is None:
            return
        self._shut = None
        start = time.monotonic()
        try:
            with explain(self.uri):
                while spool.send_next(self.client):
                    start = time.monotonic()
        except StoreAwayError as error:
            self._shut = error if isinstance(error, StoreShutError) else None
            now = time.monotonic()
            self._next_try = now + max(self._limits.pause, 10 * (now - start))
            raise
        except StoreError as error:
            self._next_try = 0.0
            raise StoreError(f"{error} {self.unsent()}") from None
        finally:
            for own, real in self._real.items():
                self._memory.rename(own, real)
        self.tell(f"The tracking server {self.location} is back; it has the {spool.sent} writes that were kept.")
        spool.remove()
        self._spool = None

    def _settle(self, seconds: float) -> bool:
        """Whether nothing waits; waits so long for the next write to be sent, again and again."""
        with self._lock:
            while (spool := self._spool) is not None:
                sent, patience = spool.sent, min(seconds, interrupts.seconds_left())
                waiting = functools.partial(self.tell, self._waiting(patience))
                try:
                    patiently(lambda again: self._send(), patience, waiting)
                except StoreAwayError:
                    if spool.sent == sent:
                        return False
        return True

    def _waiting(self, patience: float) -> str:
        return f"Waiting for the tracking server {self.location}, for up to {patience:.0f} s."

    # Reading

    def _patiently(self, action: Callable[[bool], T], *, filter_string: str = "", seconds: float | None = None) -> T:
        """See the base class; begins when everything written so far has been sent.

        Raises:
            UnsentError: the server stays away, and writes wait.
        """
        brief = _is_brief.get()
        if self._spool is not None and (brief or not self._settle(self._limits.read)):
            message = f"The run cannot go on without the tracking server {self.location}, which stays away."
            if self._shut is not None:
                message = f"The run cannot go on. {self._shut}"
            raise UnsentError(f"{message} {self.unsent()}")
        return super()._patiently(action, filter_string=filter_string, seconds=self._limits.write if brief else seconds)

    @contextlib.contextmanager
    def _briefly(self) -> Iterator[None]:
        """What the run can do without is tried for a shorter time, whatever earlier calls came to; not after others."""
        token, self._gave_up = _is_brief.set(True), None
        try:
            yield
        finally:
            _is_brief.reset(token)
            self._gave_up = None

    def search(
        self, experiment_ids: Sequence[str], query: Query | str = "", *, claims: bool = False, brief: bool = False
    ) -> Iterator[entities.Run]:
        """See the base class; asked for at once, so that what the store knows is what it knew then."""
        return iter(list(super().search(experiment_ids, query, claims=claims, brief=brief)))

    def search_kept(
        self, experiment_ids: Sequence[str], query: Query, *, brief: bool = False
    ) -> Iterator[entities.Run]:
        """Runs that are asked for, oldest first; while the server is away, those this process knows of.

        From :meth:`settle` until the next run is created, the server's answer is waited for: a summary has to be right.
        """
        hurried = not self._exact and self._memory.knows(experiment_ids)
        try:
            with self._briefly() if hurried else contextlib.nullcontext():
                found = list(super().search_kept(experiment_ids, query, brief=brief))
        except StoreAwayError:
            known = self._memory.search(experiment_ids, query) if hurried else None
            if known is None:
                raise
            return iter(known)
        self._memory.see(experiment_ids, found)
        return iter(found)

    def get_run(self, run_id: str) -> entities.Run:
        """A run; while the server is away, what this process knows of it."""
        try:
            with self._briefly():
                return super().get_run(run_id)
        except StoreAwayError:
            found = self._memory.run(self.known_as(run_id))
            if found is None:
                raise
            return found

    def log_params(self, run_id: str, params: Mapping[str, str]) -> bool:
        """See the base class; never kept for later, since it is the answer that matters."""
        with self._briefly():
            return super().log_params(run_id, params)

    def fetch_file(self, run_id: str, path: str, folder: Path) -> Path:
        """A copy of one of a run's artifacts in a local folder; of one that is kept here, without asking the server."""
        kept = self._kept_file(run_id, path)
        if kept is None:
            return super().fetch_file(run_id, path, folder)
        copy = folder / path
        copy.parent.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(kept, copy))

    def has_file(self, run_id: str, path: str) -> bool:
        """Whether a run has an artifact of this path, sent or kept."""
        if self._kept_file(run_id, path) is not None:
            return True
        if run_id in self._local and run_id not in self._real:
            return False  # not sent yet: it has what is kept
        return super().has_file(run_id, path)

    def _kept_file(self, run_id: str, path: str) -> Path | None:
        """A file that waits here; it may have been kept under either id of its run."""
        files = {} if self._spool is None else self._spool.files
        return files.get((run_id, path)) or files.get((self.known_as(run_id), path))
