"""The visitor's browser: what its history holds, and whether it still reaches the server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import panel as pn
import param

from qlab.explorer.address import decode, encode, same
from qlab.explorer.state import State

DRAGGED = frozenset({"span", "resolution", "ratio", "draw", "seed", "row", "compare_row", "cut", "where", "ranges"})
"""Fields that are changed in many small steps: going back leads to before the first of them."""


class Browser(pn.custom.JSComponent):  # type: ignore[misc]
    """Writes the browser's history, tells when somebody goes back or forward in it, and watches the connection.

    Args:
        popped: gets the query of the address that somebody went to.
    """

    entry = param.Dict(default={}, doc="The newest entry: its query, and whether it takes the last one's place.")

    _esm = Path(__file__).with_name("visit.js")

    def __init__(self, popped: Callable[[str], None], **options: Any) -> None:
        super().__init__(**options)
        self._popped = popped

    def _handle_msg(self, message: Any) -> None:
        if not isinstance(message, dict):
            return
        if isinstance(message.get("search"), str):
            self._popped(message["search"])
        if message.get("alive"):
            self._send_msg({"alive": True})


class History:
    """Makes each choice of a visitor an entry of the browser's history, and goes back to entries whole.

    An entry is written once all of a change has been made. What changes without the visitor's doing (the first
    experiment is taken because none was named) takes the place of the last entry, so that going back never leads to a
    view that at once leaves again; and so do the later steps of a slider.

    Args:
        state: what is chosen.
        later: calls a function on the event loop, after what is going on now.
    """

    def __init__(self, state: State, later: Callable[[Callable[[], None]], None]) -> None:
        self._state, self._later = state, later
        self.browser = Browser(self._popped, width=0, height=0, margin=0)
        self._changed: set[str] = set()
        self._last: frozenset[str] = frozenset()
        self._due = False
        self._own = False
        self.refused: Callable[[list[str]], None] = lambda refused: None

    def begin(self) -> None:
        """Writes the whole address in place of the one the visitor came with, and follows the state from now on."""
        self.browser.entry = {"search": encode(self._state), "replace": True}
        self._state.param.watch(self._follow, [name for name in self._state.param if name != "name"])

    def by_itself(self, change: Callable[[], object]) -> None:
        """Makes a change that is not the visitor's."""
        before, self._own = self._own, True
        try:
            change()
        finally:
            self._own = before

    def _follow(self, *events: Any) -> None:
        if not self._own:
            self._changed |= {event.name for event in events}
        if not self._due:
            self._due = True
            self._later(self._write)

    def _write(self) -> None:
        self._due = False
        changed, self._changed = frozenset(self._changed), set()
        search = encode(self._state)
        if search == self.browser.entry.get("search"):
            return
        step = bool(changed) and changed == self._last and changed <= DRAGGED
        self._last = changed or self._last
        self.browser.entry = {"search": search, "replace": not changed or step}

    def _popped(self, search: str) -> None:
        self._last = frozenset()
        # What the browser shows already must not be written again.
        self.browser.param.update(entry={"search": search, "replace": True})
        if not same(self._state, search):
            self.by_itself(lambda: self.refused(decode(self._state, search, whole=True)))
