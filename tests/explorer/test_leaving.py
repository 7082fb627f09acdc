"""What is logged of visitors who leave, and that nothing else is taken for it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from bokeh.server.connection import ServerConnection
from tornado.iostream import StreamClosedError
from tornado.websocket import WebSocketClosedError

from qlab.explorer.leaving import LOGGERS, is_leaving


class _Subscribed:
    """A session that takes connections on and off."""

    def subscribe(self, connection: Any) -> None: ...

    def unsubscribe(self, connection: Any) -> None: ...


def taken_off() -> None:
    """Asks a connection for its session after that was taken off it."""
    unused: Any = None
    session: Any = _Subscribed()
    connection = ServerConnection(unused, unused, unused, session)
    connection.detach_session()
    _ = connection.session


def closed() -> None:
    raise WebSocketClosedError


def cut() -> None:
    raise StreamClosedError


def wrong() -> None:
    raise AssertionError


def lost() -> None:
    raise ConnectionResetError("the store's")


def logged(act: Callable[[], None]) -> logging.LogRecord:
    """A record of what a function raises."""
    records: list[logging.LogRecord] = []
    logger = logging.Logger("qlab.test")
    logger.addFilter(lambda record: bool(records.append(record)))  # type: ignore[func-returns-value]
    try:
        act()
    except Exception:
        logger.exception("error handling message")
    return records[0]


@pytest.mark.parametrize("act", [taken_off, closed, cut])
def test_what_comes_of_leaving_is_known(act: Callable[[], None]) -> None:
    assert is_leaving(logged(act))


@pytest.mark.parametrize("act", [wrong, lost])
def test_other_errors_are_not_taken_for_it(act: Callable[[], None]) -> None:
    assert not is_leaving(logged(act))


@pytest.mark.parametrize(
    ("text", "expected"),
    [("Failed sending message as connection was closed", True), ("Failed sending message: too large", False)],
)
def test_messages_without_an_error(text: str, expected: bool) -> None:
    record = logging.LogRecord(LOGGERS[0], logging.WARNING, "", 0, text, None, None)
    assert is_leaving(record) is expected
