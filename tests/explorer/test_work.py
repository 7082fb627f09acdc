"""Work off the event loop: the newest request counts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from qlab.errors import DataError
from qlab.explorer.work import Meanwhile, Work


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


def test_what_is_followed_shows_every_result_newer_than_the_last(work: Work, loop: Any) -> None:
    begun, go = threading.Event(), threading.Event()
    computed: list[int] = []
    shown: list[int] = []

    def compute(number: int, meanwhile: Meanwhile[int]) -> int:
        computed.append(number)
        begun.set()
        assert go.wait(30)
        return number

    for number in range(4):
        work.follow("a", lambda meanwhile, number=number: compute(number, meanwhile), shown.append, fail)
        assert begun.wait(30)
    assert work.busy
    go.set()
    loop.run(2)  # the first, which had begun, and the newest; those between have never begun
    assert shown == computed == [0, 3]
    assert not work.busy


def test_first_results_are_shown_and_work_that_is_overtaken_ends(work: Work, loop: Any) -> None:
    go, began = threading.Event(), threading.Event()
    shown: list[str] = []

    def long(meanwhile: Meanwhile[str]) -> str:
        meanwhile.show("coarse")
        began.set()
        assert go.wait(30)
        meanwhile.check()
        return "fine"

    work.follow("a", long, shown.append, fail)
    assert began.wait(30)
    work.follow("a", lambda _: "next", shown.append, fail)
    go.set()
    loop.run(2)
    assert shown == ["coarse", "next"]
    assert not work.busy
    assert loop.calls.empty()


def test_a_late_result_never_takes_the_place_of_a_newer_one(work: Work, loop: Any) -> None:
    shown: list[str] = []
    late: list[Meanwhile[str]] = []

    def first(meanwhile: Meanwhile[str]) -> str:
        late.append(meanwhile)
        return "old"

    work.follow("a", first, shown.append, fail)
    loop.run(1)
    work.follow("a", lambda _: "new", shown.append, fail)
    loop.run(1)
    late[0].show("later, but older")
    loop.run(1)
    assert shown == ["old", "new"]


def test_errors_of_what_was_overtaken_are_not_said(work: Work, loop: Any) -> None:
    begun, go = threading.Event(), threading.Event()
    shown: list[int] = []

    def refuse(_: Meanwhile[int]) -> int:
        begun.set()
        assert go.wait(30)
        raise DataError("of a moment ago")

    work.follow("a", refuse, shown.append, fail)
    assert begun.wait(30)
    work.follow("a", lambda _: 1, shown.append, fail)
    go.set()
    loop.run(2)
    assert shown == [1]


def test_only_the_last_of_calls_that_are_to_come_soon_comes(work: Work, loop: Any) -> None:
    called: list[int] = []
    for number in range(5):
        work.soon("a", 0.01, lambda number=number: called.append(number))
    loop.run(1)
    assert called == [4]
    work.soon("a", 60.0, lambda: called.append(5))
    work.close()
    assert loop.calls.empty()
