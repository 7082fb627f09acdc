"""A store on a tracking server that may be away for a while: what is written is kept, and sent when it is back."""

from __future__ import annotations

import contextlib
import functools
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import mlflow.entities as entities

from qlab.errors import StoreAwayError, StoreError, StoreShutError, UnsentError
from qlab.tracking import names, writes
from qlab.tracking.faults import explain
from qlab.tracking.memory import Memory
from qlab.tracking.patience import noticed
from qlab.tracking.spool import Header, Spool, default_root
from qlab.tracking.store import Store
from qlab.tracking.uri import is_server, resolve

_WRITE_SECONDS = 8.0
"""How long a write is tried again before it is kept: training waits for it."""

_READ_SECONDS = 600.0
"""How long a read is waited for that the run cannot go on without."""

_SEARCH_SECONDS = 3.0
"""How long a search waits for kept writes to begin to be sent, before it is answered with what this process knows."""

_PROBE_SECONDS = (1.0, 15.0)
"""First and longest pause between tries to send what is kept."""

T = TypeVar("T")

_OWN_FILTER = re.compile(r"(?:tags\.`([^`]+)`|attributes\.status) = '([^']*)'")
"""The filters that are answered while the server is away; the first group is a tag's name, or missing."""


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

    A write that fails for :data:`_WRITE_SECONDS` goes to a spool, and so do all that follow, in order, until a thread
    has sent them. A run created meanwhile has an id that its writer made, which is good with this object for ever.

    Args:
        uri: of a tracking server.
        tell: see the base class.
        root: where spools are made, see :func:`qlab.tracking.spool.default_root`.
    """

    def __init__(
        self, uri: str | None = None, *, tell: Callable[[str], None] | None = None, root: Path | None = None
    ) -> None:
        super().__init__(uri, tell=tell)
        self._patience = _READ_SECONDS
        self._root = root or default_root()
        self._changed = threading.Condition()
        self._spool: Spool | None = None
        self._refused: StoreError | None = None
        self._hurried = False
        self._shut: StoreShutError | None = None
        self._local: set[str] = set()
        self._real: dict[str, str] = {}
        self._kept_files: dict[tuple[str, str], Path] = {}
        self._experiment_ids: dict[str, str] = {}
        self._experiments_made: dict[str, tuple[str, int | None]] = {}
        self._memory = Memory()
        self._exact = False
        self._created: list[tuple[writes.CreateRun, str]] = []

    # Writing

    def experiment_id(self, name: str) -> str:
        """The MLflow experiment of that name, created if there is none; asked for once."""
        if name not in self._experiment_ids:
            found = super().experiment_id(name)
            made = self._patiently(lambda again: self.client.get_experiment(found)).creation_time
            self._experiments_made[found] = (name, made)
            self._experiment_ids[name] = found
        return self._experiment_ids[name]

    def known_as(self, run_id: str) -> str:
        """The id that the store knows a run by; the one its writer made, while it has not been sent."""
        return self._real.get(run_id, run_id)

    def settle(self, seconds: float) -> bool:
        """Whether everything is in the store; waits as long as sending goes on, else at most so long.

        A server that answers, and lets nobody in any more, is not waited for.

        Raises:
            StoreError: the server refused a write.
        """
        self._exact = True
        return self._settle(seconds)

    def _settle(self, seconds: float) -> bool:
        with self._changed, noticed(lambda: self.tell(self._waiting(seconds))):
            while (spool := self._spool) is not None and self._refused is None:
                sent, self._shut, self._hurried = spool.sent, None, True
                self._changed.notify_all()
                if not self._changed.wait_for(functools.partial(self._moved, spool, sent), seconds):
                    return False
                if self._locked_out():
                    return False
        self._raise_refusal()
        return True

    def close(self) -> None:
        """Lets go of a spool that is left, so that `qlab sync` may have it."""
        with self._changed:
            if self._spool is not None:
                self._spool.close()

    def unsent(self) -> str | None:
        """What waits, and where, in a sentence; None if all is in the store."""
        with self._changed:
            if self._spool is None:
                return None
            waiting = f"{self._spool.left()} writes wait in {self._spool.folder}"
            then = f"`qlab sync {self._spool.folder}` sends them."
            if self._shut is not None:
                return f"{waiting}: {self._shut} Then {then}"
            return f"{waiting}; when {self.location} is back, {then}"

    def _create(self, write: writes.CreateRun) -> str:
        self._exact = False
        with self._changed:
            self._memory.take(write, write.run)
        try:
            if not self._keep(write):
                with self._trying():
                    found = super()._create(write)
                with self._changed:
                    self._memory.rename(write.run, found)
                return found
        except StoreAwayError as error:
            self._leave(error, write)
        self._local.add(write.run)
        return write.run

    def _write(self, write: writes.Write) -> None:
        with self._changed:
            self._memory.take(write, self.known_as(write.run))
        if self._keep(write):
            return
        try:
            with self._trying():
                super()._write(write)
        except StoreAwayError as error:
            self._leave(error, write)

    @contextlib.contextmanager
    def _trying(self) -> Iterator[None]:
        """What the run can do without is tried again for a shorter time, and whatever earlier calls came to."""
        self._patience, self._gave_up = _WRITE_SECONDS, None
        try:
            yield
        finally:
            self._patience, self._gave_up = _READ_SECONDS, None

    def _keep(self, write: writes.Write) -> bool:
        """Adds a write to the spool, if there is one."""
        self._raise_refusal()
        with self._changed:
            if self._spool is None:
                return False
            self._append(self._spool, write)
            return True

    def _append(self, spool: Spool, write: writes.Write) -> None:
        # A run that was made in an earlier absence is known to this process alone by the id that its writer made.
        kept = spool.append(write.resolved(self.known_as))
        if isinstance(kept, writes.LogFile):
            self._kept_files[kept.run, kept.artifact] = Path(kept.file)

    def _leave(self, error: StoreAwayError, write: writes.Write) -> None:
        """The server is away: from here on writes are kept."""
        spool = Spool.make(self._root, Header(self.location, self._experiments_made))
        with self._changed:
            self._append(spool, write)
            self._spool = spool
        self.tell(f"{error} Going on; what is to be written is kept in {spool.folder} until it is back.")
        threading.Thread(target=self._send_when_back, args=(spool,), name="qlab-spool", daemon=True).start()

    # Sending, in a thread of its own

    def _send_when_back(self, spool: Spool) -> None:
        pause, longest = _PROBE_SECONDS
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._hurried, pause)
                self._hurried = False
            pause = min(1.5 * pause, longest)
            try:
                self._send(spool)
            except StoreAwayError as error:
                if isinstance(error, StoreShutError):
                    with self._changed:
                        self._shut = error
                        self._changed.notify_all()
                if spool.sent:
                    pause = _PROBE_SECONDS[0]
                continue
            except StoreError as error:
                self._refused = error
            except Exception as error:  # a thread has nobody above it; the next write says it
                self._refused = StoreError(f"What is kept in {spool.folder} cannot be sent: {error!r}")
            else:
                self.tell(
                    f"The tracking server {self.location} is back; it has the {spool.sent} writes that were kept."
                )
            with self._changed:
                self._changed.notify_all()
            return

    def _send(self, spool: Spool) -> None:
        while True:
            with self._changed:
                write = spool.next()
                if write is None and not self._created:
                    self._spool = None
                    self._kept_files.clear()
                    spool.remove()
                    return
            if write is None:
                with explain(self.uri):
                    for run, made in self._created:
                        run.remove_twins(self.client, made)
                self._created.clear()
                continue
            made_now = send(self, write)
            with self._changed:
                if isinstance(write, writes.CreateRun) and made_now is not None:
                    self._real[write.run] = made_now
                    self._memory.rename(write.run, made_now)
                    self._created.append((write, made_now))
                    spool.mark_sent((write.run, made_now))
                else:
                    spool.mark_sent()
                self._changed.notify_all()

    def _waiting(self, patience: float) -> str:
        return f"Waiting for the tracking server {self.location}, for up to {patience:.0f} s."

    def _moved(self, spool: Spool, sent: int) -> bool:
        changed = self._spool is not spool or spool.sent != sent
        return changed or self._refused is not None or self._locked_out()

    def _locked_out(self) -> bool:
        return self._shut is not None

    def _raise_refusal(self) -> None:
        if self._refused is not None:
            unsent = self.unsent()
            raise StoreError(f"{self._refused} {unsent}" if unsent else str(self._refused))

    # Reading

    def find_experiment(self, name: str) -> str | None:
        """The MLflow experiment of that name, or None."""
        return self._experiment_ids.get(name) or super().find_experiment(name)

    def search(
        self, experiment_ids: Sequence[str], filter_string: str = "", *, claims: bool = False
    ) -> Iterator[entities.Run]:
        """Runs that match an MLflow filter, oldest first; while the server is away, those this process knows of.

        From :meth:`settle` until the next run is created, the server's answer is waited for: a summary has to be right.
        """
        if self._exact or not self._memory.knows(experiment_ids):
            found = self._reading(
                lambda: list(super(SpoolingStore, self).search(experiment_ids, filter_string, claims=claims))
            )
        else:
            try:
                if not self._settle(_SEARCH_SECONDS):
                    return self._remembered(experiment_ids, filter_string, claims)
                with self._trying():
                    found = list(super().search(experiment_ids, filter_string, claims=claims))
            except StoreAwayError:
                return self._remembered(experiment_ids, filter_string, claims)
        with self._changed:
            self._memory.see(experiment_ids, found)
        return iter(found)

    def fetch_file(self, run_id: str, path: str, folder: Path) -> Path:
        """A copy of one of a run's artifacts in a local folder; of one that is kept here, without asking the server."""
        with self._changed:
            kept = self._kept_file(run_id, path)
            if kept is not None:
                copy = folder / path
                copy.parent.mkdir(parents=True, exist_ok=True)
                return Path(shutil.copy(kept, copy))
        return self._reading(lambda: super(SpoolingStore, self).fetch_file(self.known_as(run_id), path, folder))

    def has_file(self, run_id: str, path: str) -> bool:
        """Whether a run has an artifact of this path, sent or kept."""
        with self._changed:
            if self._kept_file(run_id, path) is not None:
                return True
            if run_id in self._local and run_id not in self._real:
                return False  # not sent yet: it has what is kept
        return self._reading(lambda: super(SpoolingStore, self).has_file(self.known_as(run_id), path))

    def _kept_file(self, run_id: str, path: str) -> Path | None:
        """A file that waits here; it may have been kept under either id of its run."""
        return self._kept_files.get((run_id, path)) or self._kept_files.get((self.known_as(run_id), path))

    def get_run(self, run_id: str) -> entities.Run:
        """A run; while the server is away, what this process knows of it."""
        try:
            self._present()
            with self._trying():
                return super().get_run(run_id)
        except StoreAwayError:
            with self._changed:
                found = self._memory.run(self.known_as(run_id))
            if found is None:
                raise
            return found

    def log_params(self, run_id: str, params: Mapping[str, str]) -> bool:
        """See the base class; never kept for later, since it is the answer that matters."""
        self._present()
        with self._trying():
            return super().log_params(run_id, params)

    def _present(self) -> None:
        with self._changed:
            if self._spool is not None:
                raise StoreAwayError(f"The tracking server {self.location} is away.")

    def metric_history(self, run_id: str, name: str) -> list[tuple[int, float]]:
        """All values of a metric with their steps, in order of steps."""
        return self._reading(lambda: super(SpoolingStore, self).metric_history(self.known_as(run_id), name))

    def note(self, run_id: str) -> str:
        """A run's description."""
        return self._reading(lambda: super(SpoolingStore, self).note(self.known_as(run_id)))

    def artifact_place(self, run_id: str) -> str:
        """Where a run's artifacts are: a folder of this machine, or a URI."""
        return self._reading(lambda: super(SpoolingStore, self).artifact_place(self.known_as(run_id)))

    def _reading(self, read: Callable[[], T]) -> T:
        """What a read finds after everything written so far has been sent.

        Raises:
            UnsentError: the server stays away, and writes wait.
        """
        try:
            if self._settle(_READ_SECONDS):
                return read()
        except StoreAwayError as error:
            if self._spool is None:
                raise
            raise self._stuck() from error
        raise self._stuck()

    def _stuck(self) -> StoreError:
        message = f"The run cannot go on without the tracking server {self.location}, which stays away."
        if self._shut is not None:
            message = f"The run cannot go on. {self._shut}"
        unsent = self.unsent()
        return StoreAwayError(message) if unsent is None else UnsentError(f"{message} {unsent}")

    def _remembered(self, experiment_ids: Sequence[str], filter_string: str, claims: bool) -> Iterator[entities.Run]:
        parts = [_OWN_FILTER.fullmatch(part) for part in filter_string.split(" and ")] if filter_string else []
        wanted = {part[1]: part[2] for part in parts if part is not None}
        if None in parts:
            raise self._stuck()
        status = wanted.pop(None, None)
        with self._changed:
            found = self._memory.search(experiment_ids, wanted, status)
        return (run for run in found if claims or run.data.tags.get(names.KIND) != names.CLAIMS)


def send(store: Store, write: writes.Write) -> str | None:
    """Sends a write that was kept; the id of the run in the store if it created one."""
    with explain(store.uri):
        if isinstance(write, writes.CreateRun):
            return str(write.create(store.client, store.known_as, again=True).run_id)
        write.send(store.client, store.known_as, again=True)
    return None
