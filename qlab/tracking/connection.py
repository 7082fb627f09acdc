"""A tracking store opened, and calls of MLflow that are tried again while it is away."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from typing import TypeVar

import mlflow.entities as entities

from qlab import interrupts
from qlab.errors import StoreAwayError, StoreError
from qlab.tracking import writes
from qlab.tracking.faults import explain
from qlab.tracking.moving import Home, look, settle
from qlab.tracking.opening import (
    be_brief,
    check_file,
    check_login,
    check_server,
    make_database,
    open_client,
    read_only_uri,
)
from qlab.tracking.patience import patiently
from qlab.tracking.redaction import shown
from qlab.tracking.refusals import check_access
from qlab.tracking.uri import embedded_file, is_server, resolve

_PATIENCE_SECONDS = {"file": 120.0, "server": 30.0}
"""How long a store that is locked or does not answer is tried again, by whether it is an SQLite file."""

_REST_SECONDS = 10.0
"""After patience has ended, or was interrupted, calls fail at once for so long: there may be many to come."""

T = TypeVar("T")


class Connection:
    """An embedded SQLite file or an MLflow server, and how it is asked.

    Args: see :class:`qlab.tracking.store.Store`.
    """

    def __init__(
        self,
        uri: str | None = None,
        *,
        create: bool = True,
        read_only: bool = False,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self.uri = resolve(uri)
        self.tell = tell or _to_stderr
        file = embedded_file(self.uri)
        check_server(self.uri)
        if file is not None:
            check_file(file, create=create, read_only=read_only)
        else:
            be_brief()
            check_login(self.uri)
        if is_server(self.uri):
            check_access(self.uri)
        # What SQLAlchemy finds is raised and explained; MLflow would print its traceback too.
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
        if file is not None and not file.exists():
            make_database(file)
        self._file = file
        self._home: Home | None = None
        if file is not None:
            self._home, news = (look(file), None) if read_only else settle(file)
            if news is not None:
                self.tell(news)
        self._patience = _PATIENCE_SECONDS["server" if file is None else "file"]
        self._gave_up: tuple[float, StoreAwayError] | None = None
        opened = self.uri if file is None or not read_only else read_only_uri(file)
        self.client = self._patiently(lambda again: open_client(opened))

    @property
    def location(self) -> str:
        """Where the store is, for people: without a password."""
        return shown(self.uri) if self._file is None else str(self._file)

    def check(self) -> None:
        """Asks for a sign of life.

        Raises:
            StoreError: the server does not answer, or the file is gone.
        """
        check_server(self.uri)
        if self._file is not None and not self._file.exists():
            raise StoreError(f"The store {self._file} is gone.")

    def reopen(self) -> None:
        """Lets go of connections to an embedded store's file: they would go on reading the one that was there."""
        engine = getattr(self.client._tracking_client.store, "engine", None)
        if engine is not None:
            engine.dispose()

    def known_as(self, run_id: str) -> str:
        """The id that the store knows a run by."""
        return run_id

    def settle(self, seconds: float) -> bool:
        """Whether everything written so far is in the store; waits while it gets there, else at most so long.

        To be asked before what a run has written is read back.
        """
        return True

    def unsent(self) -> str | None:
        """What waits on this machine to be sent, in a sentence; None if all is in the store."""
        return None

    def _write(self, write: writes.Write) -> entities.RunInfo | None:
        """Writes to the store; the run that this creates, if it does."""
        return self._patiently(lambda again: write.send(self.client, self.known_as, again=again))

    def _patiently(self, action: Callable[[bool], T], *, filter_string: str = "", seconds: float | None = None) -> T:
        """The result of calls of MLflow, which are tried again while the store is away.

        Args:
            action: see :func:`qlab.tracking.patience.patiently`.
            filter_string: one that it hands to MLflow.
            seconds: how long; by default as suits the store.
        """
        if self._gave_up is not None and time.monotonic() - self._gave_up[0] < _REST_SECONDS:
            raise self._gave_up[1]

        waited = False

        def explained(again: bool) -> T:
            nonlocal waited
            waited = again
            with explain(self.uri, filter_string):
                return action(again)

        patience = min(self._patience if seconds is None else seconds, interrupts.seconds_left())
        try:
            found = patiently(explained, patience, lambda: self.tell(self._waiting(patience)))
        except (StoreAwayError, KeyboardInterrupt) as error:
            if isinstance(error, StoreAwayError):
                self._gave_up = (time.monotonic(), error)
            elif waited:  # the store is away: clean-up does not wait for it as well
                self._gave_up = (time.monotonic(), StoreAwayError(f"Waited for {self.location} in vain."))
            raise
        self._gave_up = None
        return found

    def _waiting(self, patience: float) -> str:
        reason = "does not answer yet" if self._file is None else "is locked by another process, or slow"
        return f"Waiting for the store {self.location}, which {reason}; for up to {patience:.0f} s, then this stops."


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
