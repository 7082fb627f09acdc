"""Runs: what is in the store, how it is going, to sort, filter and select."""

from __future__ import annotations

import time
from typing import Any

import pandas as pd
import panel as pn
import panel_material_ui as pmui

from qlab import words
from qlab.explorer import design, standing
from qlab.explorer.controls import bound
from qlab.explorer.copying import scripts
from qlab.explorer.copying.menu import CopyMenu
from qlab.explorer.copying.origin import Origin, Shown
from qlab.explorer.page import Page
from qlab.explorer.tables import formatters, plain_table
from qlab.explorer.text import Text
from qlab.tracking import names

_NUMBERS = ("validation", "train", "ratio", "seed")


class RunsPage(Page):
    """A table of all runs of an experiment; what is ticked here is selected on every page."""

    title = "Runs"
    depends = ("experiment", "where", "runs", "standing", "columns")

    def build(self) -> list[Any]:
        """Which runs, how many, and the table."""
        state = self.state
        self._every = pd.DataFrame(columns=list(standing.COLUMNS))
        self._table = plain_table(
            self._every,
            selectable="checkbox",
            pagination="remote",
            page_size=15,
            titles=dict(standing.COLUMNS),
            header_filters={name: _filter(name) for name in standing.COLUMNS},
            widths={"name": 280, "state": 150, "error": 320},
        )
        self._table.param.watch(self._ticked, "selection")
        self._tabs = bound(
            pmui.RadioButtonGroup(options=list(standing.SHOWN), size="small", button_type="primary", margin=(4, 10)),
            state,
            "standing",
        )
        chosen = {words: name for name, words in standing.COLUMNS.items() if name != "name"}
        columns = pmui.MultiChoice(label="Columns", options=chosen, width=design.CONTROL)
        self._open = pmui.Button(label="Show run", icon="open_in_new", disabled=True, size="small", margin=(4, 10))
        self._open.on_click(lambda _: setattr(state, "page", "Run"))
        self.controls = [bound(columns, state, "columns")]
        self._count = Text("", margin=(8, 10))
        self.copies = CopyMenu("runs", self._copied, pictures=False)
        head = pn.Row(self._tabs, self._count, self._open, styles=design.WRAPPED)
        return [head, self._table, self.copies.view]

    def update(self) -> None:
        """Reads the runs that match."""
        experiment, where = self.state.experiment, self.state.where

        def compute() -> pd.DataFrame:
            frame = self.context.reader.runs(experiment, where)
            own = frame[frame["kind"].notna() & (frame["kind"] != names.EXPERIMENT)]
            return standing.table_of(own, time.time() * 1e3)

        self.compute(compute, self._show)

    def _show(self, every: pd.DataFrame) -> None:
        counted = standing.counts(every)
        frame = every[standing.mask(every, self.state.standing, self.state.runs)].reset_index(drop=True)
        shown = standing.columns_of(every, list(self.state.columns))
        hidden = [name for name in standing.COLUMNS if name not in shown]
        with pn.io.hold():
            if not frame.equals(self._table.value):
                self._table.formatters = formatters(frame)
                self._table.value = frame
            if self._table.hidden_columns != hidden:
                self._table.hidden_columns = hidden
        selected = set(self.state.runs)
        ticked = [index for index, run in enumerate(frame["run"]) if run in selected]
        if self._table.selection != ticked:
            self._table.selection = ticked
        states = every["state"].str.partition(",")[0].value_counts()
        parts = [words.counted(len(every), "run"), *(f"{count} {state}" for state, count in states.items())]
        self._count.object = ", ".join([*parts, f"{len(ticked)} selected"])
        self._open.disabled = not self.state.runs
        self.copies.show(not frame.empty)
        if every.empty:
            self.say("No run matches." if self.state.where else f'No runs in "{self.state.experiment}" yet.')
        elif frame.empty:
            self.say(f"None of the {len(every)} runs is {self.state.standing}." if counted["all"] else "")

    def _copied(self) -> Shown | None:
        """The runs that are selected, else all that are shown."""
        state, frame = self.state, self._table.value
        own = frame[frame["run"].isin(state.runs)] if state.runs else frame
        if own.empty:
            return None
        runs = [str(run) for run in own["run"]]
        chosen = runs if state.runs or state.standing != "all" else []
        return Shown(None, own, Origin(state.experiment, runs, scripts.runs(chosen, state.where)))

    def _ticked(self, event: Any) -> None:
        runs = [str(run) for run in self._table.value["run"].iloc[event.new]]
        # Runs that a filter hides stay selected.
        shown = set(self._table.value["run"])
        hidden = [run for run in self.state.runs if run not in shown]
        if set(runs + hidden) != set(self.state.runs):
            self.state.runs = runs + hidden


def _filter(name: str) -> dict[str, str]:
    return {"type": "input", "func": "like", "placeholder": "> 0.9" if name in _NUMBERS else "contains"}
