"""Parallel coordinates that live: drag along an axis to keep the runs in a range, click the axis to drop it."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from typing import Any, Final

import numpy as np
import pandas as pd
import panel as pn
from bokeh.events import SelectionGeometry, Tap
from bokeh.models import BoxSelectTool, ColumnDataSource

from qlab.explorer import design
from qlab.explorer.drawing import blank
from qlab.explorer.text import Key, LegendStrip
from qlab.views.backends import literal
from qlab.views.palette import styles
from qlab.views.parallel import Axis, axes_of, lines_of, ranges_text
from qlab.views.words import named

MOST: Final = 3000
"""So many lines are drawn at most, of more runs every n-th."""

HEIGHT: Final = 330
"""Pixels: the table below is to be seen too."""

_KINDS: Final = {
    "out": {"line_color": "#9A9A9A", "line_width": 0.7, "line_alpha": 0.2},
    "in": {"line_color": "colour", "line_width": 1.3, "line_alpha": 0.55},
    "edge": {"line_color": "#1A1A1A", "line_width": 6.0, "line_alpha": 0.55},
    "selected": {"line_color": "colour", "line_width": 4.0, "line_alpha": 1.0},
}

Ranges = dict[str, tuple[float, float]]


class Parallel:
    """The picture.

    Args:
        changed: gets the text of new ranges.
    """

    def __init__(self, changed: Callable[[str], None]) -> None:
        self._changed = changed
        self._axes: list[Axis] = []
        self._ranges: Ranges = {}
        self.view = pn.Column(sizing_mode="stretch_width")

    def show(
        self, table: pd.DataFrame, models: Sequence[str], runs: Sequence[str], ranges: Ranges, selected: Set[str]
    ) -> None:
        """Draws runs.

        Args:
            table: numbers, a row for each run and a column for each axis.
            models: what each run is coloured by.
            runs: ids.
            ranges: of those that are kept.
            selected: ids of runs that are drawn thick.
        """
        self._axes, self._ranges = axes_of(table), ranges
        if not self._axes:
            self.clear()
            return
        thin = -(-len(table) // MOST)
        places = lines_of(table, self._axes)
        kept = np.ones(len(table), dtype=bool)
        for number, axis in enumerate(self._axes):
            if axis.name in ranges:
                low, high = self._ends(axis)
                kept &= (places[:, number] >= low - 1e-6) & (places[:, number] <= high + 1e-6)
        by_model = styles(models)
        drawn = self._figure()
        sources = {kind: [] for kind in _KINDS}  # type: dict[str, list[int]]
        for row, run in enumerate(runs):
            if run in selected:
                sources["edge"].append(row)
                sources["selected"].append(row)
            elif row % thin == 0:
                sources["in" if kept[row] else "out"].append(row)
        x = list(range(len(self._axes)))
        for kind, look in _KINDS.items():
            own = sources[kind]
            source = ColumnDataSource(
                {
                    "xs": [x] * len(own),
                    "ys": [places[row] for row in own],
                    "colour": [by_model[models[row]].colour for row in own],
                }
            )
            drawn.multi_line("xs", "ys", source=source, **look)
        self._draw_axes(drawn)
        keys = tuple(Key(model, style.colour) for model, style in by_model.items())
        with pn.io.hold():
            self.view.objects = [LegendStrip(keys), pn.pane.Bokeh(drawn, sizing_mode="stretch_width", margin=0)]

    def clear(self) -> None:
        """Shows nothing."""
        self._axes, self.view.objects = [], []

    def _figure(self) -> Any:
        last = len(self._axes) - 1
        brush = BoxSelectTool(dimensions="both", renderers=[], name="range")
        drawn = blank([brush, "save"], HEIGHT, (-0.4, last + 0.4), (-0.06, 1.06))
        drawn.toolbar.active_drag = brush
        drawn.yaxis.visible = False
        drawn.grid.visible = False
        drawn.outline_line_color = None
        drawn.xaxis.ticker = list(range(last + 1))
        drawn.xaxis.major_label_overrides = {number: literal(named(a.name)) for number, a in enumerate(self._axes)}
        drawn.xaxis.major_tick_line_color = drawn.xaxis.axis_line_color = None
        drawn.on_event(SelectionGeometry, self._brushed)
        drawn.on_event(Tap, self._tapped)
        return drawn

    def _draw_axes(self, drawn: Any) -> None:
        count = len(self._axes)
        drawn.segment(list(range(count)), [0] * count, list(range(count)), [1] * count, line_color="#777777")
        ticks = [(number, place, text) for number, a in enumerate(self._axes) for place, text in a.ticks()]
        drawn.text(
            *([tick[part] for tick in ticks] for part in (0, 1)),
            text=[tick[2] for tick in ticks],
            x_offset=-5,
            text_align="right",
            text_baseline="middle",
            text_font_size=design.SMALL,
            text_color="#1A1A1A",
            background_fill_color="#FFFFFF",
            background_fill_alpha=0.8,
        )
        boxes = [(number, *self._ends(a)) for number, a in enumerate(self._axes) if a.name in self._ranges]
        drawn.quad(
            left=[number - 0.05 for number, _, _ in boxes],
            right=[number + 0.05 for number, _, _ in boxes],
            bottom=[low for _, low, _ in boxes],
            top=[high for _, _, high in boxes],
            fill_color="#0B5C8E",
            fill_alpha=0.3,
            line_color="#0B5C8E",
            line_width=2,
        )

    def _ends(self, axis: Axis) -> tuple[float, float]:
        """Where a range begins and ends on its axis."""
        low, high = self._ranges[axis.name]
        ends = np.array([low if low > 0 or not axis.log else axis.low, high if high > 0 or not axis.log else axis.low])
        first, last = axis.places(ends)
        return float(first), float(last)

    def _brushed(self, event: Any) -> None:
        geometry = event.geometry
        if not event.final or not self._axes or geometry.get("type") != "rect":
            return
        number = min(max(round(0.5 * (geometry["x0"] + geometry["x1"])), 0), len(self._axes) - 1)
        axis = self._axes[number]
        low, high = sorted(axis.value(float(geometry[end])) for end in ("y0", "y1"))
        self._changed(ranges_text({**self._ranges, axis.name: (low, high)}))

    def _tapped(self, event: Any) -> None:
        if event.x is None or not self._axes:
            return
        number = round(float(event.x))
        if 0 <= number < len(self._axes) and abs(event.x - number) < 0.15 and self._axes[number].name in self._ranges:
            left = {name: ends for name, ends in self._ranges.items() if name != self._axes[number].name}
            self._changed(ranges_text(left))
