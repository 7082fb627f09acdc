"""Widgets that follow the state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from qlab.explorer.state import State


class Control:
    """A widget and a field of the state that follow each other.

    What the state says comes first: a widget that cannot show a value, because it is not (yet) among its options,
    leaves the state as it is.

    Args:
        widget: has a ``value``, perhaps ``options``.
        state: what is chosen.
        field: of the state.
    """

    def __init__(self, widget: Any, state: State, field: str) -> None:
        self.widget = widget
        self._state, self._field = state, field
        self._quiet = False
        self._follow()
        state.param.watch(lambda _: self._follow(), field)
        widget.param.watch(self._chosen, "value")

    def offer(self, options: Iterable[Any] | Mapping[str, Any], default: Any = None) -> None:
        """Sets what can be chosen, and what is shown if the state's choice is not among it."""
        found = dict(options) if isinstance(options, Mapping) else list(options)
        shown = self._shown(found)
        shown = default if shown is None else shown
        if found == self.widget.options and shown == self.widget.value:
            return
        # A list shows what is known of the state; a choice of one shows nothing if the state's is not known.
        self._quietly(lambda: self.widget.param.update(options=found, value=shown))

    def _follow(self) -> None:
        shown = self._shown(getattr(self.widget, "options", None))
        if shown is not None and self.widget.value != shown:
            self._quietly(lambda: self.widget.param.update(value=shown))

    def _shown(self, options: Any) -> Any:
        """What the widget can show of the state."""
        value = getattr(self._state, self._field)
        if options is None:
            return value
        values = list(options.values()) if isinstance(options, dict) else list(options)
        if isinstance(value, list):
            return [item for item in value if item in values]
        return value if value in values else None

    def _chosen(self, event: Any) -> None:
        if not self._quiet and event.new is not None:
            setattr(self._state, self._field, event.new)

    def _quietly(self, change: Callable[[], object]) -> None:
        self._quiet = True
        try:
            change()
        finally:
            self._quiet = False


def bound(widget: Any, state: State, field: str) -> Any:
    """A widget that follows a field of the state, and is followed by it, see :class:`Control`."""
    Control(widget, state, field)
    return widget
