"""Visitors who leave while a page is drawn for them: no error, and nothing to print.

The server writes on for a moment, and reads what the browser had sent before. Bokeh and Tornado log each of these
messages, most with a traceback, into the terminal of whoever serves the explorer.
"""

from __future__ import annotations

import logging
import traceback
import warnings
from types import CodeType
from typing import Final

from bokeh.server.connection import ServerConnection
from bokeh.util.warnings import BokehUserWarning
from tornado.iostream import StreamClosedError
from tornado.websocket import WebSocketClosedError

LOGGERS: Final = (
    "asyncio",
    "bokeh.server.protocol_handler",
    "bokeh.server.views.ws",
    "panel.io.document",
    "tornado.application",
)
"""Where libraries log it."""

_UNSENT = "Failed sending message as connection was closed"


def is_leaving(record: logging.LogRecord) -> bool:
    """Whether a record tells only that a visitor has left."""
    error = record.exc_info[1] if record.exc_info else None
    if error is None:
        return record.getMessage() == _UNSENT
    if isinstance(error, (WebSocketClosedError, StreamClosedError)):
        return True
    # What Bokeh says where a message arrives, or a connection ends, whose session it has taken off already.
    return isinstance(error, AssertionError) and _raised_in(error) is _session_code()


def silence() -> None:
    """Prints nothing of visitors who leave; all else is logged as before."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_others)
    # A browser that is sent a picture while it styles the last one sends the styles back whole.
    warnings.filterwarnings("ignore", "reference already known", BokehUserWarning)


def _others(record: logging.LogRecord) -> bool:
    return not is_leaving(record)


def _raised_in(error: BaseException) -> CodeType | None:
    """The code that raised an error."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return frames[-1].f_code if frames else None


def _session_code() -> CodeType | None:
    read = ServerConnection.session.fget
    return None if read is None else read.__code__
