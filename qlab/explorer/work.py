"""Work off the event loop: the newest request counts, older ones are dropped."""

from __future__ import annotations

import concurrent.futures
import functools
import logging
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import param

from qlab.errors import QlabError

T = TypeVar("T")

_LOG = logging.getLogger(__name__)


class Work(param.Parameterized):
    """Does one page visitor's heavy work in a thread of its own.

    Args:
        later: calls a function on the event loop.
    """

    busy = param.Boolean(default=False, doc="Whether something is under way.")

    def __init__(self, later: Callable[[Callable[[], None]], None]) -> None:
        super().__init__()
        self._later = later
        self._pool = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="qlab-explorer")
        self._lock = threading.Lock()
        self._newest: dict[str, int] = {}
        self._futures: dict[str, concurrent.futures.Future[Any]] = {}
        self._pending: set[str] = set()

    def submit(
        self,
        name: str,
        compute: Callable[[], T],
        show: Callable[[T], None],
        failed: Callable[[str], None],
        *,
        quiet: bool = False,
    ) -> None:
        """Computes in the background, then shows on the event loop.

        Args:
            name: a later request of the same name supersedes this one: if it has not begun it never does, else its
                result is dropped.
            compute: runs in the thread; must not touch the page.
            show: gets the result.
            failed: gets a message instead, if ``compute`` raises.
            quiet: does not count as being busy.
        """
        with self._lock:
            number = self._newest[name] = self._newest.get(name, 0) + 1
            older = self._futures.get(name)
            if older is not None and older.cancel():
                self._pending.discard(name)
            if not quiet:
                self._pending.add(name)
            self._futures[name] = self._pool.submit(self._run, name, number, compute, show, failed)
            busy = bool(self._pending)
        self.busy = busy

    def under_way(self, name: str) -> bool:
        """Whether a request of that name is computed, or waits for that."""
        with self._lock:
            future = self._futures.get(name)
            return future is not None and not future.done()

    def superseded(self, name: str, number: int) -> bool:
        """Whether a newer request of that name has come."""
        with self._lock:
            return self._newest.get(name) != number

    def close(self) -> None:
        """Ends the thread; what has not begun never does."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _run(
        self,
        name: str,
        number: int,
        compute: Callable[[], T],
        show: Callable[[T], None],
        failed: Callable[[str], None],
    ) -> None:
        deliver: Callable[[], None]
        try:
            deliver = functools.partial(show, compute())
        except QlabError as error:
            deliver = functools.partial(failed, str(error))
        except Exception as error:  # whatever a user's class or a damaged run raises, the page lives on
            _LOG.warning("%s failed", name, exc_info=True)
            deliver = functools.partial(failed, f"{type(error).__name__}: {error}")
        self._later(functools.partial(self._end, name, number, deliver, failed))

    def _end(self, name: str, number: int, deliver: Callable[[], None], failed: Callable[[str], None]) -> None:
        if self.superseded(name, number):
            return
        try:
            deliver()
        except Exception as error:  # a picture that cannot be drawn
            _LOG.warning("%s could not be shown", name, exc_info=True)
            failed(f"{type(error).__name__}: {error}")
        finally:
            with self._lock:
                self._pending.discard(name)
                busy = bool(self._pending)
            self.busy = busy
