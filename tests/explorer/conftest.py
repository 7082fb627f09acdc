"""An event loop for pages without a browser."""

from __future__ import annotations

import queue
from collections.abc import Callable

import pytest


class Loop:
    """An event loop of our own: functions are called when it is told to."""

    def __init__(self) -> None:
        self.calls: queue.Queue[Callable[[], None]] = queue.Queue()

    def run(self, count: int) -> None:
        for _ in range(count):
            self.calls.get(timeout=30)()


@pytest.fixture
def loop() -> Loop:
    return Loop()
