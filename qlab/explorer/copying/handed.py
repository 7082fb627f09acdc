"""Gives a visitor what was asked for: a file that the browser saves, or a text in a box."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import panel as pn
import param

TYPES: Final = {"pdf": "application/pdf", "svg": "image/svg+xml", "png": "image/png", "csv": "text/csv"}
"""Of files, by suffix."""

_ROWS: Final = 22
"""So many lines of a text are seen at once."""


class Handed(pn.custom.JSComponent):  # type: ignore[misc]
    """A box below a figure that is empty until something is asked for; text is shown letter by letter.

    Args:
        closed: is called when there is nothing to show any more.
    """

    given = param.Dict(default={}, doc="A file (data, type, name), or a text (title, text, name, note).")

    _esm = Path(__file__).with_name("handed.js")

    def __init__(self, closed: Callable[[], None], **options: Any) -> None:
        super().__init__(**options)
        self._closed = closed

    def file(self, content: bytes, name: str) -> None:
        """Has the browser save a file."""
        kind = TYPES.get(name.rpartition(".")[2], "application/octet-stream")
        self.given = {"data": base64.b64encode(content).decode(), "type": kind, "name": name}

    def text(self, title: str, text: str, name: str, note: str = "") -> None:
        """Shows a text, to copy or to save under a name; and something to know about it."""
        # The page gives the box no more room than it is said to need.
        lines = min(text.count("\n") + 2, _ROWS) if text else 0
        self.height = 110 + 15 * lines + 20 * (len(note) // 120)
        self.given = {"title": title, "text": text, "name": name, "note": note}

    def _handle_msg(self, message: Any) -> None:
        if isinstance(message, dict) and message.get("closed"):
            self.given = {}
            self._closed()
