"""Runs: what is in the store, how it is going, to sort, filter and select."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import pandas as pd
import panel as pn
import panel_material_ui as pmui

from qlab import words
from qlab.errors import ConfigError
from qlab.explorer import design, standing
from qlab.explorer.controls import Control, bound
from qlab.explorer.copying import scripts
from qlab.explorer.copying.menu import CopyMenu
from qlab.explorer.copying.origin import Origin, Shown
from qlab.explorer.page import Page
from qlab.explorer.parallel import MOST, Parallel, Ranges
from qlab.explorer.tables import formatters, plain_table
from qlab.explorer.text import Text
from qlab.reading.axes import measured, positions
from qlab.tracking import frames, names, params
from qlab.tracking.groups import RATIO
from qlab.tracking.missing import is_missing
from qlab.views.kept import numbers_of
from qlab.views.labels import UNKNOWN
from qlab.views.parallel import MOST as AXES
from qlab.views.parallel import ranges_of, within
from qlab.views.sweeps import swept_numbers
from qlab.views.unlearning import DRAWN
from qlab.views.words import named

_NUMBERS = ("validation", "train", "ratio", "seed")

_OWN = {words: name for name, words in standing.COLUMNS.items() if name != "name"}

_OFFERED = 100
"""So many columns are offered at once."""

_HINT = "Drag along an axis: the table keeps the runs whose lines pass there. Click the axis to keep all again."


@dataclasses.dataclass(frozen=True, eq=False)
class _Shown:
    """What a page shows.

    Args:
        table: a row for each run.
        numbers: of the same runs: what can be an axis, by run.
        models: of the same runs.
        further: columns that can be added to the table.
        metrics: that can be axes.
    """

    table: pd.DataFrame
    numbers: pd.DataFrame
    models: pd.Series[str]
    further: list[str]
    metrics: list[str]


class RunsPage(Page):
    """A table of all runs of an experiment; what is ticked here is selected on every page.

    Runs can be drawn as parallel coordinates, on which ranges are chosen that the table keeps.
    """

    title = "Runs"
    depends = ("experiment", "where", "runs", "standing", "columns", "parallel", "measures", "ranges")

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
        self._columns = Control(
            pmui.MultiChoice(label="Columns", options={}, width=design.CONTROL, option_limit=_OFFERED), state, "columns"
        )
        self._measures = Control(
            pmui.MultiChoice(label="Measures drawn", options=[], width=design.CONTROL, max_items=2), state, "measures"
        )
        ranges = pmui.TextInput(label="Ranges", placeholder="validation_accuracy 0.9..1", **design.FIELD)
        self._open = pmui.Button(label="Show run", icon="open_in_new", disabled=True, size="small", margin=(4, 10))
        self._open.on_click(lambda _: setattr(state, "page", "Run"))
        self._take = pmui.Button(label="Select these", icon="done_all", size="small", margin=(4, 10), visible=False)
        self._take.on_click(lambda _: setattr(state, "runs", [str(run) for run in self._table.value["run"]]))
        self._drop = pmui.Button(label="Clear ranges", icon="clear", size="small", variant="text", visible=False)
        self._drop.on_click(lambda _: setattr(state, "ranges", ""))
        self.controls = [
            self._columns.widget,
            bound(pmui.Switch(label="Parallel coordinates"), state, "parallel"),
            self._measures.widget,
            bound(ranges, state, "ranges"),
        ]
        self._parallel: Parallel | None = None  # made when it is first asked for
        self._place = pn.Column(sizing_mode="stretch_width")
        self._count = Text("", margin=(8, 10))
        self.copies = CopyMenu("runs", self._copied, pictures=False)
        head = pn.Row(self._tabs, self._count, self._open, self._take, self._drop, styles=design.WRAPPED)
        return [head, self._place, self._table, self.copies.view]

    def update(self) -> None:
        """Reads the runs that match."""
        experiment, where = self.state.experiment, self.state.where
        columns, measures = list(self.state.columns), list(self.state.measures)
        lines = self.state.parallel or bool(self.state.ranges.strip())

        def compute() -> _Shown:
            frame = self.context.reader.runs(experiment, where)
            own = frame[frame["kind"].notna() & (frame["kind"] != names.EXPERIMENT)]
            return _read(own, columns, measures if lines else None)

        self.compute(compute, self._show)

    def _show(self, shown: _Shown) -> None:
        every = shown.table
        kept = standing.mask(every, self.state.standing, self.state.runs)
        drawn = every.loc[kept, "run"]
        try:
            ranges = ranges_of(self.state.ranges)
            inside = within(shown.numbers, ranges)
        except ConfigError as error:
            self.say(str(error), "ranges")
            ranges, inside = {}, pd.Series(True, index=shown.numbers.index)
        kept &= every["run"].map(inside).astype(bool)
        counted = standing.counts(every)
        frame = every[kept].reset_index(drop=True)
        self._columns.offer({**_OWN, **{name: name for name in shown.further}})
        self._measures.offer(shown.metrics)
        names_of = [str(name) for name in every]
        titles = {name: standing.COLUMNS.get(name, named(name)) for name in names_of}
        visible = [
            *standing.columns_of(every, list(self.state.columns)),
            *(n for n in every if n not in standing.COLUMNS),
        ]
        hidden = [name for name in every if name not in visible]
        with pn.io.hold():
            if not frame.equals(self._table.value):
                self._table.formatters = formatters(frame)
                if list(frame) != list(self._table.value):
                    self._table.titles = titles
                    self._table.header_filters = {name: _filter(name) for name in names_of}
                self._table.value = frame
            if self._table.hidden_columns != hidden:
                self._table.hidden_columns = hidden
        self._draw(shown, drawn, ranges)
        self._take.visible = bool(ranges) and not frame.empty
        self._drop.visible = bool(self.state.ranges.strip())
        selected = set(self.state.runs)
        ticked = [index for index, run in enumerate(frame["run"]) if run in selected]
        if self._table.selection != ticked:
            self._table.selection = ticked
        states = every["state"].str.partition(",")[0].value_counts()
        parts = [words.counted(len(every), "run"), *(f"{count} {state}" for state, count in states.items())]
        parts += [f"{len(frame)} of {len(drawn)} in the ranges"] if ranges else []
        self._count.object = ", ".join([*parts, f"{len(ticked)} selected"])
        self._open.disabled = not self.state.runs
        self.copies.show(not frame.empty)
        if every.empty:
            self.say("No run matches." if self.state.where else f'No runs in "{self.state.experiment}" yet.')
        elif frame.empty and ranges and len(drawn):
            self.say("No run is in all of the ranges.")
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

    def _draw(self, shown: _Shown, drawn: pd.Series[str], ranges: Ranges) -> None:
        """The parallel coordinates of the runs that the table could have, where they are asked for."""
        if not self.state.parallel:
            if self._parallel is not None:
                self._parallel.clear()
            self._place.objects = []
            return
        if self._parallel is None:
            self._parallel = Parallel(lambda text: setattr(self.state, "ranges", text))
        numbers = shown.numbers.loc[list(drawn)]
        models = list(shown.models.loc[list(drawn)])
        self._parallel.show(numbers, models, list(numbers.index), ranges, set(self.selected))
        if numbers.empty or not len(numbers.columns):
            self.say("These runs have no params or metrics of numbers to draw.", "parallel")
        thinned = f" Of {len(numbers)} runs every {-(-len(numbers) // MOST)}th is drawn." if len(numbers) > MOST else ""
        self._place.objects = [Text(_HINT + thinned), self._parallel.view]

    def _ticked(self, event: Any) -> None:
        runs = [str(run) for run in self._table.value["run"].iloc[event.new]]
        # Runs that a filter hides stay selected.
        shown = set(self._table.value["run"])
        hidden = [run for run in self.state.runs if run not in shown]
        if set(runs + hidden) != set(self.state.runs):
            self.state.runs = runs + hidden


def _read(own: pd.DataFrame, columns: list[str], measures: list[str] | None) -> _Shown:
    """What the page shows of runs; numbers only if some metrics are given, perhaps none."""
    table = standing.table_of(own, time.time() * 1e3)
    metrics = measured(own)
    runs = pd.Index(own["run_id"].astype(str))
    numbers = pd.DataFrame(index=runs)
    if measures is not None:
        swept = [name for name in (RATIO,) if name in own] + swept_numbers(own)
        wanted = [name for name in measures if name in metrics][:2] or [name for name in DRAWN if name in metrics]
        found = {name: positions(own, name).to_numpy() for name in swept[: AXES - len(wanted)]}
        numbers = pd.DataFrame({**found, **{name: numbers_of(own, name) for name in wanted}}, index=runs)
    further = [name for name in (*frames.param_columns(own), *metrics) if name not in standing.COLUMNS]
    order = table["run"].astype(str)
    for name in (name for name in columns if name in further):
        values = numbers_of(own, name).round(4) if name in metrics else [_text(value) for value in own[name]]
        table[name] = pd.Series(values, index=runs).reindex(order).to_numpy()
    return _Shown(table, numbers, pd.Series(label_types(own), index=runs, dtype=str), further, metrics)


def label_types(own: pd.DataFrame) -> list[str]:
    """The class of each run's model."""
    types = own["model.type"] if "model.type" in own else [None] * len(own)
    return [UNKNOWN if is_missing(kind) else str(kind) for kind in types]


def _text(value: object) -> str:
    return "" if is_missing(value) else params.shown(value)


def _filter(name: str) -> dict[str, str]:
    return {"type": "input", "func": "like", "placeholder": "> 0.9" if name in _NUMBERS else "contains"}
