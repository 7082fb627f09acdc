"""Being stopped: Ctrl-C, and SIGTERM, by which batch systems stop a job. Both are one ``KeyboardInterrupt``.

A command that is stopped marks what it was running, and ends within :data:`GRACE_SECONDS`, whatever happens meanwhile:

- Signals that come together are one: `timeout` and terminals send them to a process and to its group.
- An interrupt that is lost, in a destructor or in somebody's ``except:``, is raised again until it is acted on.
- What libraries log of being interrupted is not shown.
- A process that sits in a library and cannot be interrupted, or whose clean-up takes too long, is ended. What it had no
  time to mark is found to be interrupted by whoever reads the store next.
- A further Ctrl-C interrupts the clean-up.
"""

from __future__ import annotations

import _thread
import contextlib
import logging
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, Final

STATUS: Final = 130
"""The exit status of a command that was stopped, by whichever signal."""

GRACE_SECONDS: Final = 4.8
"""So long after the first signal the process is ended."""

CLEAN_UP_SECONDS: Final = 3.0
"""So long after it nothing new is begun."""

_SAME_SECONDS = 0.5
_AGAIN_SECONDS = 1.0


class _Watch:
    """What came of signals in this process."""

    def __init__(self) -> None:
        self.since: float | None = None
        self.heeded = False
        self.told = False
        self.ending = False
        self._raised = 0.0
        self._repeating = False
        self._ended = threading.Event()

    def handle(self, number: int, frame: object) -> None:
        """The handler, which Python calls in the main thread."""
        now = time.monotonic()
        if self.since is None:
            self.since = now
        elif now - self._raised < _SAME_SECONDS and not self._repeating:
            return
        self._repeating = False
        self._raised = now
        logging.disable(logging.CRITICAL)  # libraries tell with tracebacks of what they could not close
        if self.ending:
            os._exit(STATUS)
        raise KeyboardInterrupt

    def listen(self, source: int) -> None:
        """Waits for signals in a thread, also while the main thread is where it cannot handle them."""
        while True:
            numbers = os.read(source, 64)
            if not numbers:
                return
            if {signal.SIGINT, signal.SIGTERM}.intersection(numbers):
                break
        start = time.monotonic()
        while not self._ended.wait(min(_AGAIN_SECONDS, max(0.0, start + GRACE_SECONDS - time.monotonic()))):
            if time.monotonic() - start >= GRACE_SECONDS:
                self._end()
            if not self.heeded:
                self._repeating = True
                _thread.interrupt_main()

    def stop(self) -> None:
        """Ends the thread."""
        self._ended.set()

    def _end(self) -> None:
        with contextlib.suppress(Exception):
            if not self.told:
                print(
                    "Interrupted: there was no time to mark what was running, which is shown as interrupted; run "
                    "again to go on.",
                    file=sys.stderr,
                    flush=True,
                )
            sys.stdout.flush()
        os._exit(STATUS)


_current: _Watch | None = None


def interrupted() -> bool:
    """Whether this command has been stopped."""
    return _current is not None and _current.since is not None


def check() -> None:
    """Raises the interrupt again if there was one: it may have been lost, or turned into another error."""
    if interrupted():
        raise KeyboardInterrupt


def heed() -> None:
    """Says that the interrupt has arrived: what follows is clean-up, and only the user interrupts that."""
    if _current is not None and _current.since is not None:
        _current.heeded = True


def tell() -> None:
    """Says that the user has been told."""
    heed()
    if _current is not None:
        _current.told = True


def told() -> bool:
    """Whether the user has been told."""
    return _current is not None and _current.told


def end() -> None:
    """Ends the process if it was interrupted, and has said so: libraries may take seconds to take themselves down."""
    if interrupted():
        os._exit(STATUS)


def seconds_left() -> float:
    """How long clean-up may go on; infinite if there was no interrupt."""
    if _current is None or _current.since is None:
        return math.inf
    return max(0.0, _current.since + CLEAN_UP_SECONDS - time.monotonic())


@contextlib.contextmanager
def watching(*, process: bool = False) -> Iterator[None]:
    """Handles signals while a command runs. In a thread, where that cannot be done, nothing changes.

    Args:
        process: whether the process ends with the command, and its signals are to be handled until then.
    """
    global _current
    if _current is not None or threading.current_thread() is not threading.main_thread():
        yield
        return
    watch = _Watch()
    source, sink = os.pipe()
    os.set_blocking(sink, False)
    old_handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    old_hook = sys.unraisablehook
    old_logging = logging.root.manager.disable
    thread = threading.Thread(target=watch.listen, args=(source,), name="qlab interrupts", daemon=True)
    thread.start()
    old_sink = signal.set_wakeup_fd(sink, warn_on_full_buffer=False)
    sys.unraisablehook = _hook(old_hook)
    _current = watch
    for number in old_handlers:
        signal.signal(number, watch.handle)
    try:
        yield
    finally:
        watch.heeded = True
        if process:
            watch.ending = True
        else:
            for number, handler in old_handlers.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(old_sink)
            sys.unraisablehook = old_hook
            logging.disable(old_logging)
            watch.stop()
            os.close(sink)
            thread.join()
            os.close(source)
            _current = None


def _hook(other: Any) -> Any:
    """Says nothing of an interrupt in a destructor, which is raised again."""

    def hook(unraisable: Any) -> None:
        if not isinstance(unraisable.exc_value, KeyboardInterrupt):
            other(unraisable)

    return hook
