"""Margins of single rows on the unlearning page: of one audited run, chosen by name, and one kind of rows."""

from __future__ import annotations

import pandas as pd
import panel as pn
import panel_material_ui as pmui

from qlab.explorer.controls import Control
from qlab.explorer.copying import scripts
from qlab.explorer.copying.origin import Origin
from qlab.explorer.figure import Figure
from qlab.explorer.page import Page
from qlab.explorer.text import Text
from qlab.reading.margins import ROW_SETS, audited_runs, margins_of_runs
from qlab.views.margins import ridges

_PART = "margins"


class Margins:
    """A tab: pickers of the run and of the rows, and the ridges.

    Args:
        page: whose tab it is.
        figure: where the ridges are drawn.
    """

    def __init__(self, page: Page, figure: Figure) -> None:
        self._page, self._figure = page, figure
        self._runs = pd.DataFrame()
        self._of = Control(pmui.Select(label="Audited run", options=[], width=460), page.state, "margins_of")
        rows = pmui.Select(label="Rows", options=list(ROW_SETS), width=160)
        self._rows = Control(rows, page.state, "margin_rows")
        self._controls = pmui.Row(self._of.widget, rows, visible=False)
        self._none = Text("No run was audited with klom: see [audit] in `qlab describe audit`.", visible=False)
        self.view = pn.Column(self._none, self._controls, figure.view, sizing_mode="stretch_width")
        page.state.param.watch(lambda *_: self._draw(), ["margins_of", "margin_rows"])

    def show(self, runs: pd.DataFrame) -> None:
        """Offers the audited ones among unlearning runs."""
        self._runs = audited_runs(runs)
        self._controls.visible = bool(len(self._runs))
        self._none.visible = not len(self._runs)
        titles = list(self._runs["title"])
        self._of.offer(titles, titles[0] if titles else None)
        self._draw()

    def _draw(self) -> None:
        page, state = self._page, self._page.state
        if self._runs.empty:
            self._figure.clear()
            page.say("", _PART)
            return
        chosen = self._runs[self._runs["title"] == state.margins_of]
        chosen = (self._runs if chosen.empty else chosen).iloc[:1]
        rows = state.margin_rows if state.margin_rows in ROW_SETS else ROW_SETS[0]

        def compute() -> pd.DataFrame:
            return margins_of_runs(chosen, page.context.reader.margins, (rows,))

        def show(table: pd.DataFrame) -> None:
            if table.empty:
                self._figure.clear()
                page.say(f"{chosen['title'].iloc[0]} has no {rows} rows.", _PART)
            else:
                run_id = str(chosen["run_id"].iloc[0])
                origin = Origin(state.experiment, [run_id], scripts.margins(run_id, rows, state.where))
                self._figure.show(ridges(table), table, origin)

        page.compute(compute, show, _PART)
