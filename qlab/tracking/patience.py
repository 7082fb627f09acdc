"""Trying again while a store does not answer."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from qlab.errors import StoreAwayError, StoreShutError

T = TypeVar("T")

NOTICE_SECONDS = 4.0
"""What takes longer than this is said to be waited for."""

_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 5.0


@dataclasses.dataclass(frozen=True)
class Limits:
    """How long a run waits for its tracking server, in seconds.

    Args:
        write: how long a write is tried again before it is kept: training waits for it.
        read: how long a read is waited for that the run cannot go on without.
        pause: how long to go on keeping writes before it is tried again.
    """

    write: float = 8.0
    read: float = 600.0
    pause: float = 1.0


def patiently(action: Callable[[bool], T], seconds: float, notice: Callable[[], None]) -> T:
    """The result of an action that is tried again, with growing pauses, while it finds that the store is away.

    Args:
        action: is told whether it was tried before.
        seconds: no new try is begun after this long.
        notice: is called once, from another thread, if it takes long.

    Raises:
        StoreAwayError: the store is still away, or says something that is final.
    """
    start, pause, again = time.monotonic(), _FIRST_PAUSE, False
    with noticed(notice):
        while True:
            try:
                return action(again)
            except StoreShutError:
                raise
            except StoreAwayError:
                if time.monotonic() - start + pause > seconds:
                    raise
            time.sleep(pause)
            pause, again = min(2 * pause, _LONGEST_PAUSE), True


@contextmanager
def noticed(notice: Callable[[], None]) -> Iterator[None]:
    """Calls ``notice`` from another thread if what is inside takes longer than :data:`NOTICE_SECONDS`."""
    timer = threading.Timer(NOTICE_SECONDS, notice)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
