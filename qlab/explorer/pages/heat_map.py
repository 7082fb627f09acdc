"""Heat map: a metric over two params, and its difference to a control."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Final

import pandas as pd
import panel_material_ui as pmui

from qlab.errors import ConfigError
from qlab.explorer import design
from qlab.explorer.controls import Control, bound
from qlab.explorer.copying import scripts
from qlab.explorer.copying.origin import Origin
from qlab.explorer.figure import Figure
from qlab.explorer.highlights import Marks
from qlab.explorer.kinship import Kinship
from qlab.explorer.page import Page
from qlab.explorer.tables import PlacedTable
from qlab.reading.axes import measured
from qlab.reading.maps import LABELLED, crossing_of, table_of_maps
from qlab.reading.tidy import KINDS, kind_of
from qlab.tracking import frames, params
from qlab.tracking.groups import RATIO
from qlab.tracking.missing import is_missing
from qlab.views.behind import IDS, with_behind, without_behind
from qlab.views.controls import has
from qlab.views.crossed import Crossing, runs_of_cells
from qlab.views.grids import Grid, grids
from qlab.views.heat_map import drawn
from qlab.views.readable import readable
from qlab.views.sweeps import strengths, swept_numbers
from qlab.views.words import STRENGTH

_HINTS: Final = {"trials": "xxz_flip", "unlearning": "xxz_unlearn", "probes": "xxz_hessian"}

_MOST: Final = 16
"""So many values of a param are offered as those of a control; others can be written into the address."""

_MEASURED: Final = (("model.scale", "noise_attenuation"),)
"""Params that are offered as a metric times a cell's own value."""


@dataclasses.dataclass(frozen=True, eq=False)
class _Shown:
    crossing: Crossing
    table: pd.DataFrame
    axes: list[str]
    metrics: list[str]
    groups: list[str]
    kind: str
    runs: list[str]
    kinship: Kinship


class HeatMapPage(Page):
    """Any metric over any two params: maps side by side for what else differs."""

    title = "Heat map"
    depends = ("experiment", "where", "map_of", "map_x", "map_y", "map_metric", "contours", "control")
    lit_by = ("runs", "points")

    def build(self) -> list[Any]:
        """What to show, the maps, the numbers."""
        state = self.state
        kinds = bound(pmui.Select(label="Runs", options=list(KINDS), **design.FIELD), state, "map_of")
        self._x = Control(pmui.Select(label="Across", options=[], **design.FIELD), state, "map_x")
        self._y = Control(pmui.Select(label="Up", options=[], **design.FIELD), state, "map_y")
        self._metric = Control(pmui.Select(label="Metric", options=[], **design.FIELD), state, "map_metric")
        contours = bound(pmui.TextInput(label="Contours", placeholder="0.9, 0.8", **design.FIELD), state, "contours")
        group = pmui.MultiChoice(label="Subtract runs with (control)", options=[], width=design.CONTROL)
        self._control = Control(group, state, "control")
        self._drawn: tuple[list[Grid], Kinship] | None = None
        self.maps = Figure("heat_map", self._clicked, height=420)
        self._table = PlacedTable(page_size=12)
        self.controls = [kinds, self._x.widget, self._y.widget, self._metric.widget, contours, self._control.widget]
        return [self.maps.view, self._table.view]

    def update(self) -> None:
        """Reads the runs and crosses them."""
        state = self.state
        experiment, where, given = state.experiment, state.where, (state.map_x, state.map_y, state.map_metric)
        wanted, of = list(state.control), state.map_of

        def compute() -> _Shown:
            kind = kind_of(of, "map_of")
            frame = self.context.reader.runs(experiment, where)
            runs = frames.latest_per_trial(frame[frame["kind"] == KINDS[kind]])
            if runs.empty:
                raise self.nothing(kind, f"Run: qlab run {_HINTS[kind]}")
            labels = [name for name in ("model", "corruption", LABELLED[kind]) if name is not None]
            noise = [STRENGTH] if strengths(runs) else []
            numbers = [*([RATIO] if RATIO in runs else []), *noise, *swept_numbers(runs)]
            axes = [*numbers, *labels]
            metrics, groups = measured(runs), _groups(runs)
            x, y, metric = (name or None for name in given)
            if x is None and y is None and len(numbers) == 1:
                y = "model"  # where runs differ in one number only, there is nothing else to choose
            if metric is None and kind == "probes" and metrics:
                metric = metrics[0]
            crossing = crossing_of(runs, kind, metric, x, y, _read(wanted) or None)
            behind, keys = runs_of_cells(runs, crossing, LABELLED[kind])
            return _Shown(
                crossing,
                with_behind(table_of_maps([(experiment, runs)], kind, crossing), behind, keys),
                axes,
                metrics,
                groups,
                kind,
                [str(run) for run in runs["run_id"]],
                Kinship(self.context.reader.runs(experiment)),
            )

        self.compute(compute, self._show)

    def _show(self, shown: _Shown) -> None:
        for control, axis in ((self._x, shown.crossing.x), (self._y, shown.crossing.y)):
            default = STRENGTH if len(axis) > 1 else axis[0]
            control.offer(list(dict.fromkeys([*shown.axes, default])), default)
        self._metric.offer(shown.metrics, shown.crossing.metric)
        self._control.offer(list(dict.fromkeys([*shown.groups, *self.state.control])))
        try:
            levels = _numbers(self.state.contours)
        except ConfigError as error:
            self.say(str(error))
            levels = None
        own = shown.crossing
        group = None if own.control is None else own.control.group
        script = scripts.heat_map(own.metric, own.x, own.y, shown.kind, group, levels, self.state.where)
        table = without_behind(shown.table).rename(columns=own.columns)
        origin = Origin(self.state.experiment, shown.runs, script)
        maps = grids(shown.table, own, levels)
        self.maps.show(drawn(maps), table, origin)
        self._drawn = maps, shown.kinship
        self.light()
        self._table.show(readable(table))

    def light(self) -> None:
        """Outlines the cells behind which selected runs stand."""
        if self._drawn is None:
            return
        maps, kinship = self._drawn
        chosen = kinship.of(self.selected)
        marks = {
            number: Marks(boxes=[_corners(*grid.place(row)) for row in _rows(grid) if not chosen.isdisjoint(row[IDS])])
            for number, grid in enumerate(maps)
        }
        self.maps.highlights.show(marks)

    def _clicked(self, panel: int, x: float, y: float) -> None:
        """Selects the runs of a cell."""
        if self._drawn is None or panel >= len(self._drawn[0]):
            return
        grid = self._drawn[0][panel]
        for row in _rows(grid):
            left, bottom, right, top = _corners(*grid.place(row))
            if left <= x < right and bottom <= y < top:
                self.state.runs = list(row[IDS])


def _rows(grid: Grid) -> list[Any]:
    return grid.table.to_dict("records")


def _corners(x: float, y: float) -> tuple[float, float, float, float]:
    """Of the cell around a place."""
    return x - 0.5, y - 0.5, x + 0.5, y + 0.5


def _groups(runs: pd.DataFrame) -> list[str]:
    """What a control can be told by: params in which runs differ, with their values."""
    found = []
    for name in frames.param_columns(runs):
        known = [value for value in runs[name] if not is_missing(value)]
        values = sorted({params.write(value) for value in known}, key=lambda text: (len(text), text))
        if 1 < len(values) <= _MOST:
            found += [f"{name} = {value}" for value in values]
    if (
        any(name.startswith("model.noise.") for name in frames.param_columns(runs))
        and has(runs, "model.noise", []).any()
    ):
        found.append("model.noise = []")
    found += [f"{name} = {metric}" for name, metric in _MEASURED if name in runs and metric in measured(runs)]
    return found


def _read(control: Sequence[str]) -> dict[str, Any]:
    """A group from texts such as "model.depth = 2".

    Raises:
        ConfigError: one is no such text.
    """
    found: dict[str, Any] = {}
    for text in control:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not name or not value:
            raise ConfigError(f'control: got "{text}", accepts a param and its value: model.depth = 2.')
        read = params.read(value)
        if name in found:
            read = [*(found[name] if isinstance(found[name], list) else [found[name]]), read]
        found[name] = read
    return found


def _numbers(text: str) -> list[float] | None:
    """Numbers between commas; None if there is no text.

    Raises:
        ConfigError: something is no number.
    """
    found = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        try:
            found.append(float(part))
        except ValueError:
            found.append(math.nan)
        if not math.isfinite(found[-1]):
            raise ConfigError(f'contours: got "{part}", accepts numbers with commas between them: 0.9, 0.8.')
    return found or None
