"""What is filtered and selected, said on every page."""

from __future__ import annotations

import dataclasses
from typing import Any

import panel as pn
import panel_material_ui as pmui

from qlab.explorer import design
from qlab.explorer.controls import bound
from qlab.explorer.reader import Reader
from qlab.explorer.state import State
from qlab.explorer.text import Text
from qlab.explorer.work import Work
from qlab.tracking import names

_HELP = "metrics.validation_accuracy > 0.9"

LONGEST = 120
"""Letters of a filter that are said."""


@dataclasses.dataclass(frozen=True)
class _Counted:
    matching: int
    every: int


class Filtered:
    """The filter, which all pages share, and a line that says what of the experiment the pages show.

    Args:
        state: what is chosen.
        reader: reads the store.
        work: counts in the background.
    """

    def __init__(self, state: State, reader: Reader, work: Work) -> None:
        self._state, self._reader, self._work = state, reader, work
        self._counted: _Counted | None = None
        self._refused = False
        self.control = bound(
            pmui.TextInput(label="Filter runs", placeholder=_HELP, width=design.CONTROL, size="small"), state, "where"
        )
        self._title = Text("", tag="h1", styles={"--size": "16px", "--weight": "600"}, margin=(6, 0, 6, 10))
        self._words = Text("", margin=(7, 10))
        self._no_filter = self._button("Clear filter", "where", "")
        self._no_runs = self._button("Clear selection", "runs", [])
        self.view = pn.Row(
            self._title, self._words, self._no_filter, self._no_runs, styles=design.WRAPPED, min_height=38
        )
        state.param.watch(lambda *_: self._say(), ["experiment", "where", "runs"])

    def _button(self, words: str, field: str, nothing: Any) -> Any:
        button = pmui.Button(label=words, icon="clear", size="small", variant="text", visible=False, margin=(2, 4))
        button.on_click(lambda _: setattr(self._state, field, nothing))
        return button

    def head(self, page: str) -> None:
        """Says which page is open."""
        self._title.object = page

    def count(self) -> None:
        """Counts anew."""
        experiment, where = self._state.experiment, self._state.where

        def compute() -> _Counted:
            every = _runs(self._reader.runs(experiment))
            return _Counted(_runs(self._reader.runs(experiment, where)) if where.strip() else every, every)

        def show(counted: _Counted | None, refused: bool = False) -> None:
            self._counted, self._refused = counted, refused
            self._say()

        self._work.submit("filtered", compute, show, lambda _: show(None, bool(where.strip())), quiet=True)

    def _say(self) -> None:
        counted = None if self._counted is None else (self._counted.matching, self._counted.every)
        self._words.object = described(self._state, counted, self._refused)
        self._no_filter.visible = bool(self._state.where.strip())
        self._no_runs.visible = bool(self._state.runs)


def described(state: State, counted: tuple[int, int] | None, refused: bool = False) -> str:
    """What of an experiment is shown, in a line.

    Args:
        state: what is chosen.
        counted: runs that match the filter, and all; None where it is not known yet.
        refused: whether the filter is none.
    """
    where = " ".join(state.where.split())
    parts = [state.experiment] if state.experiment else []
    if not where:
        parts += ["1 run" if counted[1] == 1 else f"all {counted[1]:,} runs"] if counted else []
    else:
        short = where if len(where) <= LONGEST else f"{where[: LONGEST - 1]}…"
        parts.append(f"filter {short}")
        parts += [f"{counted[0]:,} of {counted[1]:,} runs"] if counted else []
        parts += ["is not understood, so that nothing is shown"] if refused else []
    if state.runs:
        parts.append(f"{len(state.runs):,} selected")
    return "  ·  ".join(parts)


def _runs(frame: Any) -> int:
    return int((frame["kind"].notna() & (frame["kind"] != names.EXPERIMENT)).sum())
