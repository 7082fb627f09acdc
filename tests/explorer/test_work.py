"""Work off the event loop: the newest request counts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from qlab.errors import DataError
from qlab.explorer.work import Work


@pytest.fixture
def work(loop: Any) -> Iterator[Work]:
    found = Work(loop.calls.put)
    yield found
    found.close()


def fail(message: str) -> None:
    raise AssertionError(message)


def test_results_are_shown_on_the_loop_and_computed_elsewhere(work: Work, loop: Any) -> None:
    seen: list[tuple[int, threading.Thread]] = []
    here = threading.current_thread()
    threads: list[threading.Thread] = []

    def compute() -> int:
        threads.append(threading.current_thread())
        return 7

    work.submit("a", compute, lambda value: seen.append((value, threading.current_thread())), fail)
    assert work.busy
    loop.run(1)
    assert seen == [(7, here)]
    assert threads[0] is not here
    assert not work.busy


def test_a_newer_request_supersedes_older_ones_of_its_name(work: Work, loop: Any) -> None:
    begun, go = threading.Event(), threading.Event()
    computed: list[int] = []
    shown: list[int] = []

    def slow() -> int:
        begun.set()
        assert go.wait(30)
        computed.append(0)
        return 0

    def quick(number: int) -> int:
        computed.append(number)
        return number

    work.submit("a", slow, shown.append, fail)
    assert begun.wait(30)
    for number in range(1, 6):
        work.submit("a", lambda number=number: quick(number), shown.append, fail)
    work.submit("b", lambda: 99, shown.append, fail)
    go.set()
    loop.run(3)  # the slow one, whose result nobody wants, the newest, and the other name's
    assert shown == [5, 99]
    assert computed == [0, 5]
    assert not work.busy
    assert loop.calls.empty()


def test_errors_become_messages_and_the_thread_lives_on(
    work: Work, loop: Any, caplog: pytest.LogCaptureFixture
) -> None:
    said: list[str] = []

    def refuse() -> int:
        raise DataError("no such run")

    def crash() -> int:
        raise ZeroDivisionError("a user's class")

    work.submit("a", refuse, lambda _: None, said.append)
    work.submit("b", crash, lambda _: None, said.append)
    work.submit("c", lambda: 1, lambda _: fail("a picture that cannot be drawn"), said.append)
    loop.run(3)
    assert said == [
        "no such run",
        "ZeroDivisionError: a user's class",
        "AssertionError: a picture that cannot be drawn",
    ]
    assert "b failed" in caplog.text
    assert not work.busy


def test_quiet_work_does_not_look_busy(work: Work, loop: Any) -> None:
    work.submit("refresh", lambda: None, lambda _: None, fail, quiet=True)
    assert not work.busy
    loop.run(1)
