"""The tab that Unlearning opens with: a row for each method, beside what was there before and the oracles."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, Final

import pandas as pd
import panel as pn
import panel_material_ui as pmui

from qlab.explorer.page import Page
from qlab.explorer.tables import plain_table
from qlab.explorer.text import Text
from qlab.reading.scoreboard import BEFORE, Scoreboard
from qlab.views.readable import readable

PART: Final = "scoreboard"

_METRIC: Final = 168
"""Width of a column of numbers, pixels."""

_LABELS: Final = {"method": "method", "model": "model", "corruption": "corruption", "ratio": "corruption ratio"}
_ASCENDING, _DESCENDING = "ascending", "descending"

_WORDS: Final = (
    f"Mean ± standard deviation over n seeds. “{BEFORE}” is the trained model with nothing done to it. A gap or "
    "divergence below its noise floor (oracles among themselves) says nothing. Click a head to sort, a row to see its "
    "runs."
)


class ScoreboardTab:
    """The scoreboard, sorted as the address says; a row opens its runs.

    Args:
        page: whose tab it is.
    """

    def __init__(self, page: Page) -> None:
        self._page = page
        self._board: Scoreboard | None = None
        self._quiet = False
        self._of = Text("", styles={"font-weight": "600"})
        self.table = plain_table(pd.DataFrame(), selectable=1, pagination="remote", page_size=15)
        self.table.on_click(lambda event: self._open(event.row))
        self.table.param.watch(self._sorted, "sorters")
        page.state.param.watch(lambda _: self._sort(), "board_sort")
        numbers = pmui.FileDownload(
            callback=self.file, filename="unlearning_scoreboard.csv", label="CSV", size="small", variant="text"
        )
        self.view = pn.Column(self._of, Text(_WORDS), self.table, pmui.Row(numbers), sizing_mode="stretch_width")

    def show(self, board: Scoreboard) -> None:
        """Shows a scoreboard."""
        self._board = board
        labels = {name: board.table[name].nunique(dropna=False) for name in _LABELS}
        alone = [name for name in ("model", "corruption", "ratio") if labels[name] == 1 and len(board.table)]
        words = readable(board.table.drop(columns=["row"]))
        self._of.object = ", ".join(
            f"{'ratio ' if name == 'ratio' else ''}{words[_LABELS[name]].iloc[0]}"
            for name in alone
            if _LABELS[name] in words
        )
        first = [_LABELS[name] for name in _LABELS if name not in alone and _LABELS[name] in words]
        metrics = [name for name in words if name not in _LABELS.values()]
        shown = words[[*first, *metrics]]
        wide = [name for name in metrics if name not in ("runs kept", "left out", "chosen")]
        with pn.io.hold():
            if list(shown.columns) != list(self.table.value.columns):
                self.table.param.update(
                    formatters={name: {"type": "plaintext"} for name in shown},
                    widths=dict.fromkeys(wide, _METRIC),
                    frozen_columns=["method"],
                )
            if not shown.equals(self.table.value):
                self.table.value = shown
        self._sort()
        self.light()

    def light(self) -> None:
        """Marks the row whose runs are selected."""
        if self._board is None:
            return
        chosen = set(self._page.state.runs)
        found = [place for place, runs in enumerate(self._board.runs) if chosen and set(runs) == chosen][:1]
        if self.table.selection != found:
            self.table.selection = found

    def file(self) -> io.BytesIO:
        """The numbers, with every digit."""
        table = pd.DataFrame() if self._board is None else self._board.table
        return io.BytesIO(table.to_csv(index=False).encode())

    def _open(self, row: int) -> None:
        if self._board is None or not 0 <= row < len(self._board.runs):
            return
        runs = list(self._board.runs[row])
        if runs:
            self._page.state.param.update(runs=runs, standing="selected", page="Runs")
        else:
            self._page.say("Of these models the store keeps no runs of their own.", PART)

    def _sort(self) -> None:
        """Sorts as the state says."""
        asked = self._page.state.board_sort
        name, _, direction = asked.rpartition(", ")
        sorters: list[dict[str, str]] = []
        if name in self.table.value and direction in (_ASCENDING, _DESCENDING):
            sorters = [{"field": name, "dir": "asc" if direction == _ASCENDING else "desc"}]
        elif asked and self._board is not None:
            self._page.say(
                f'Not sorted by "{asked}": accepts a column and "{_ASCENDING}" or "{_DESCENDING}": '
                f"{self.table.value.columns[0]}, {_DESCENDING}.",
                "order",
            )
        if sorters or not asked:
            self._page.say("", "order")
        if [_plain(own) for own in self.table.sorters] != sorters:
            self._quietly(lambda: self.table.param.update(sorters=sorters))

    def _sorted(self, event: Any) -> None:
        if self._quiet:
            return
        first = next((_plain(own) for own in event.new), None)
        way = {"asc": _ASCENDING, "desc": _DESCENDING}
        self._page.state.board_sort = "" if first is None else f"{first['field']}, {way[first['dir']]}"

    def _quietly(self, change: Callable[[], object]) -> None:
        self._quiet = True
        try:
            change()
        finally:
            self._quiet = False


def _plain(sorter: dict[str, Any]) -> dict[str, str]:
    return {"field": str(sorter.get("field")), "dir": "desc" if sorter.get("dir") == "desc" else "asc"}
