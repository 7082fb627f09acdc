"""Runs: what is in the store, to sort, filter and select."""

from __future__ import annotations

from typing import Any

import pandas as pd
import panel as pn
import panel_material_ui as pmui

from qlab.explorer.controls import bound
from qlab.explorer.page import Page
from qlab.explorer.tables import plain_table
from qlab.explorer.text import Text
from qlab.tracking import listing, names

_HELP = "metrics.validation_accuracy > 0.9 and params.`model.type` = 'MLP'"


class RunsPage(Page):
    """A table of all runs of an experiment; what is ticked here is selected on every page."""

    title = "Runs"
    depends = ("experiment", "where", "runs")

    def build(self) -> list[Any]:
        """Filter, count and table."""
        where = bound(
            pmui.TextInput(label="MLflow filter", placeholder=_HELP, sizing_mode="stretch_width"), self.state, "where"
        )
        self._table = plain_table(
            pd.DataFrame(columns=["run"]),
            selectable="checkbox",
            pagination="remote",
            page_size=12,
            header_filters=True,
            widths={"name": 300},
        )
        self._table.param.watch(self._ticked, "selection")
        self._count = Text("", margin=(12, 10))
        self._open = pmui.Button(label="Show run", icon="open_in_new", disabled=True, size="small")
        self._open.on_click(lambda _: setattr(self.state, "page", "Run"))
        self._clear = pmui.Button(label="Clear selection", icon="clear", disabled=True, size="small", variant="text")
        self._clear.on_click(lambda _: setattr(self.state, "runs", []))
        return [where, pmui.Row(self._count, self._open, self._clear), self._table]

    def update(self) -> None:
        """Reads the runs that match."""
        experiment, where = self.state.experiment, self.state.where

        def compute() -> pd.DataFrame:
            frame = self.context.reader.runs(experiment, where)
            return listing.run_table(frame[frame["kind"].notna() & (frame["kind"] != names.EXPERIMENT)])

        self.compute(compute, self._show)

    def _show(self, frame: pd.DataFrame) -> None:
        if not frame.equals(self._table.value):
            with pn.io.hold():
                self._table.formatters = {str(column): {"type": "plaintext"} for column in frame.columns}
                self._table.value = frame
        ticked = [index for index, run in enumerate(frame["run"]) if run in set(self.state.runs)]
        if self._table.selection != ticked:
            self._table.selection = ticked
        states = frame["status"].value_counts()
        self._count.object = ", ".join(
            [f"{len(frame)} runs", *(f"{count} {state}" for state, count in states.items()), f"{len(ticked)} selected"]
        )
        self._open.disabled = self._clear.disabled = not self.state.runs
        if frame.empty:
            self.say("No run matches." if self.state.where else f'No runs in "{self.state.experiment}" yet.')

    def _ticked(self, event: Any) -> None:
        runs = [str(run) for run in self._table.value["run"].iloc[event.new]]
        # Runs that the filter hides stay selected.
        hidden = [run for run in self.state.runs if run not in set(self._table.value["run"])]
        if set(runs + hidden) != set(self.state.runs):
            self.state.runs = runs + hidden
