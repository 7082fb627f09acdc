"""Work off the event loop: the newest request counts, older ones are dropped, or shown until it is done."""

from __future__ import annotations

import concurrent.futures
import functools
import logging
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import param

from qlab.errors import QlabError

T = TypeVar("T")

_LOG = logging.getLogger(__name__)


class Overtaken(Exception):
    """Raised by work that stops because a newer request has come."""


class Meanwhile(Generic[T]):
    """What work can do before it is done.

    Args:
        overtaken: whether a newer request has come.
        show: shows a first result.
    """

    def __init__(self, overtaken: Callable[[], bool], show: Callable[[T], None]) -> None:
        self._overtaken = overtaken
        self.show = show

    def check(self) -> None:
        """Ends the work if a newer request has come.

        Raises:
            Overtaken: one has.
        """
        if self._overtaken():
            raise Overtaken


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
        self._shown: dict[str, int] = {}
        self._timers: dict[str, threading.Timer] = {}

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
        self._submit(name, lambda number: self._run(name, number, compute, show, failed, False), quiet)

    def follow(
        self,
        name: str,
        compute: Callable[[Meanwhile[T]], T],
        show: Callable[[T], None],
        failed: Callable[[str], None],
    ) -> None:
        """As :meth:`submit`, but every result that is newer than the last one shown is shown.

        A request that has begun ends when it next asks whether there is a newer one, see :meth:`Meanwhile.check`; what
        it had to show by then has been shown.

        Args:
            name: see :meth:`submit`.
            compute: runs in the thread, and may show first results.
            show: gets each result.
            failed: gets a message if the newest request fails.
        """

        def run(number: int) -> None:
            def first(result: T) -> None:
                self._later(functools.partial(self._deliver, name, number, functools.partial(show, result), failed))

            meanwhile = Meanwhile(lambda: self.superseded(name, number), first)
            self._run(name, number, lambda: compute(meanwhile), show, failed, True)

        self._submit(name, run, False)

    def soon(self, name: str, seconds: float, call: Callable[[], None]) -> None:
        """Calls a function on the event loop after a time; a later one of the same name takes its place."""
        timer = threading.Timer(seconds, lambda: self._later(call))
        timer.daemon = True
        with self._lock:
            older = self._timers.pop(name, None)
            self._timers[name] = timer
        if older is not None:
            older.cancel()
        timer.start()

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
        with self._lock:
            timers, self._timers = list(self._timers.values()), {}
        for timer in timers:
            timer.cancel()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _submit(self, name: str, run: Callable[[int], None], quiet: bool) -> None:
        with self._lock:
            number = self._newest[name] = self._newest.get(name, 0) + 1
            older = self._futures.get(name)
            if older is not None and older.cancel():
                self._pending.discard(name)
            if not quiet:
                self._pending.add(name)
            self._futures[name] = self._pool.submit(run, number)
            busy = bool(self._pending)
        self.busy = busy

    def _run(
        self,
        name: str,
        number: int,
        compute: Callable[[], T],
        show: Callable[[T], None],
        failed: Callable[[str], None],
        alive: bool,
    ) -> None:
        deliver: Callable[[], None]
        try:
            deliver = functools.partial(show, compute())
        except Overtaken:
            return
        except QlabError as error:
            deliver, alive = functools.partial(failed, str(error)), False
        except Exception as error:  # whatever a user's class or a damaged run raises, the page lives on
            _LOG.warning("%s failed", name, exc_info=True)
            deliver, alive = functools.partial(failed, f"{type(error).__name__}: {error}"), False
        self._later(functools.partial(self._end, name, number, deliver, failed, alive))

    def _end(
        self, name: str, number: int, deliver: Callable[[], None], failed: Callable[[str], None], alive: bool
    ) -> None:
        newest = not self.superseded(name, number)
        if newest or alive:
            self._deliver(name, number, deliver, failed)
        if newest:
            with self._lock:
                self._pending.discard(name)
                busy = bool(self._pending)
            self.busy = busy

    def _deliver(self, name: str, number: int, deliver: Callable[[], None], failed: Callable[[str], None]) -> None:
        """Shows a result unless a newer one has been shown."""
        if number < self._shown.get(name, 0):
            return
        self._shown[name] = number
        try:
            deliver()
        except Exception as error:  # a picture that cannot be drawn
            _LOG.warning("%s could not be shown", name, exc_info=True)
            failed(f"{type(error).__name__}: {error}")
