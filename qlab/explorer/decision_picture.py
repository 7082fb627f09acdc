"""A decision map that lives: drawn once, then given new numbers as a point is dragged over a slice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pandas as pd
import panel as pn
from bokeh.events import Tap
from bokeh.models import ColumnDataSource, HoverTool

from qlab.explorer import design
from qlab.explorer.deciding import Decision
from qlab.explorer.drawing import blank
from qlab.explorer.highlights import Highlights, Marks
from qlab.explorer.sample import nearest
from qlab.explorer.text import Key, LegendStrip, Text
from qlab.views.decision_map import KINDS, VERDICT, counts_of

HEIGHT: Final = 400
"""Pixels."""

_LOOKS: Final = {kind: (colour, markers[0]) for kind, colour, markers in KINDS}
_COLUMNS: Final = ("x", "y", "row", "polluted_label", "clean_label", "probability", VERDICT, "colour", "marker")


class DecisionPicture:
    """One map.

    Args:
        tapped: gets the number of a row that is clicked.
    """

    def __init__(self, tapped: Callable[[int], None]) -> None:
        self._tapped = tapped
        self._highlights = Highlights()
        self._figure: Any = None
        self._places = np.zeros((0, 2))
        keys = tuple(Key(kind, colour, marker=markers[0], line=False) for kind, colour, markers in KINDS[:-1])
        self._keys = LegendStrip(keys)
        self._title = Text(styles={"--weight": "600"}, margin=(4, 10, 0, 10))
        self._below = Text(styles={"--size": design.SMALL}, margin=(0, 10))
        self.view = pn.Column(sizing_mode="stretch_width")

    def show(self, decision: Decision, row: int) -> None:
        """Draws what a model decides, one of the rows ringed, if there is such."""
        if self._figure is None:
            self._make()
        frame = decision.frame
        looks = [_LOOKS[verdict] for verdict in frame[VERDICT]]
        a, b = decision.place
        with pn.io.hold():
            self._title.object = f"{decision.title}, at a = {a:.3g}, b = {b:.3g}"
            self._below.object = counts_of(frame, decision.judged)
            self._source.data = {name: frame[name].to_numpy() for name in _COLUMNS[:-2]} | {
                "colour": [colour for colour, _ in looks],
                "marker": [marker for _, marker in looks],
            }
            places = frame[["x", "y"]].to_numpy(dtype=float)
            if not np.array_equal(places, self._places):
                self._places = places
                self._look_at_all()
            self.ring(row)

    def ring(self, row: int) -> None:
        """Rings one of the rows, or none."""
        here = 0 <= row < len(self._places)
        self._highlights.show({0: Marks(rings=[tuple(self._places[row])])} if here else {})

    def clear(self) -> None:
        """Shows nothing."""
        self._figure, self._places, self.view.objects = None, np.zeros((0, 2)), []

    def _make(self) -> None:
        self._source = ColumnDataSource({name: [] for name in _COLUMNS})
        drawn = self._figure = blank("pan,box_zoom,reset,save", HEIGHT)
        dots = drawn.scatter("x", "y", source=self._source, color="colour", marker="marker", size=7, line_width=1.5)
        told = [
            ("row", "@row"),
            ("label given", "@polluted_label"),
            ("clean label", "@clean_label"),
            ("probability of class 1", "@probability{0.0000}"),
            ("the model", f"@{VERDICT}"),
        ]
        drawn.add_tools(HoverTool(renderers=[dots], tooltips=told, name="rows"))
        drawn.axis.visible = False
        drawn.grid.visible = False
        drawn.on_event(Tap, self._told)
        self._highlights.attach([drawn])
        self.view.objects = [
            self._title,
            self._below,
            self._keys,
            pn.pane.Bokeh(drawn, sizing_mode="stretch_width", margin=0),
        ]

    def _look_at_all(self) -> None:
        low, high = self._places.min(axis=0), self._places.max(axis=0)
        room = 0.06 * np.where(high > low, high - low, 1.0)
        for number, limits in enumerate((self._figure.x_range, self._figure.y_range)):
            start, end = float(low[number] - room[number]), float(high[number] + room[number])
            limits.update(start=start, end=end, reset_start=start, reset_end=end)

    def _told(self, event: Any) -> None:
        if event.x is None or not len(self._places):
            return
        row = nearest(pd.DataFrame(self._places, columns=["x", "y"]), event.x, event.y)
        if row is not None:
            self._tapped(row)
