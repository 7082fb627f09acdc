"""What is selected, drawn over the figures of a page: they are not drawn anew when the selection changes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final

from bokeh.models import ColumnDataSource, HoverTool, Range1d
from bokeh.plotting import figure

from qlab.views.backends import literal

_EDGES: Final = (("#FFFFFF", 6.0), ("#1A1A1A", 2.5))
"""Colours and widths of what surrounds something: light below dark, to be seen on every ground."""

_FRAME: Final = (("#FFFFFF", 7.0), ("#D55E00", 4.0))
"""The same of outlines: contours are black on white already."""

RING: Final = 17
"""Diameter of a ring, pixels."""


@dataclasses.dataclass(frozen=True)
class Hollow:
    """A marker of something that is not finished.

    Args:
        x: its place.
        y: its value.
        colour: of its edge.
        marker: in Bokeh's words.
        said: of it when it is pointed at.
    """

    x: float
    y: float
    colour: str
    marker: str
    said: str


@dataclasses.dataclass(frozen=True)
class Thick:
    """A line that is drawn over its like.

    Args:
        x: places.
        y: values.
        colour: of it.
        said: of it when it is pointed at.
    """

    x: Sequence[float]
    y: Sequence[float]
    colour: str
    said: str = ""


@dataclasses.dataclass(frozen=True)
class Marks:
    """What is drawn over one panel.

    Args:
        rings: centres of rings.
        boxes: left, bottom, right and top of outlines.
        lines: thick ones.
        hollow: markers.
    """

    rings: Sequence[tuple[float, float]] = ()
    boxes: Sequence[tuple[float, float, float, float]] = ()
    lines: Sequence[Thick] = ()
    hollow: Sequence[Hollow] = ()


class Highlights:
    """The marks over a figure's panels."""

    def __init__(self) -> None:
        self._panels: dict[int, _Panel] = {}
        self._shown: Mapping[int, Marks] = {}

    def attach(self, models: Sequence[Any]) -> None:
        """Takes new panels, and draws the marks over these."""
        self._panels = {number: _Panel(model) for number, model in enumerate(models) if isinstance(model, figure)}
        self.show(self._shown)

    def show(self, marks: Mapping[int, Marks]) -> None:
        """Draws these marks, by numbers of panels, and no others."""
        self._shown = marks
        for number, panel in self._panels.items():
            panel.show(marks.get(number, Marks()))

    def forget(self) -> None:
        """There are no panels any more."""
        self._panels, self._shown = {}, {}


class _Panel:
    """The marks over one panel; glyphs are made when there is the first mark of their kind."""

    def __init__(self, model: figure) -> None:
        self._model = model
        self._sources: dict[str, ColumnDataSource] = {}

    def show(self, marks: Marks) -> None:
        self._fill("lines", _columns(marks.lines, "x y colour said"))
        self._fill("hollow", _columns(marks.hollow, "x y colour marker said"))
        boxes = dict(zip(("left", "bottom", "right", "top"), map(list, zip(*marks.boxes, strict=True)), strict=False))
        self._fill("boxes", boxes)
        self._fill("rings", {"x": [x for x, _ in marks.rings], "y": [y for _, y in marks.rings]})
        if marks.hollow:
            self._make_room([mark.x for mark in marks.hollow])

    def _fill(self, kind: str, columns: dict[str, list[Any]]) -> None:
        source = self._sources.get(kind)
        if source is None:
            if not any(columns.values()):
                return
            source = self._sources[kind] = ColumnDataSource({name: [] for name in columns})
            getattr(self, f"_draw_{kind}")(source)
        source.data = columns or {name: [] for name in source.data}

    def _draw_lines(self, source: ColumnDataSource) -> None:
        self._model.multi_line("x", "y", source=source, line_color="#1A1A1A", line_width=6, line_alpha=0.55)
        lines = self._model.multi_line("x", "y", source=source, line_color="colour", line_width=4)
        self._model.add_tools(HoverTool(renderers=[lines], tooltips=[("selected", "@said")], visible=False))

    def _draw_hollow(self, source: ColumnDataSource) -> None:
        dots = self._model.scatter(
            "x", "y", source=source, marker="marker", size=10, line_color="colour", line_width=2, fill_alpha=0.0
        )
        numbers = [("so far", "@y{0.0000}"), ("", "@said")]
        self._model.add_tools(HoverTool(renderers=[dots], tooltips=numbers, visible=False))

    def _draw_boxes(self, source: ColumnDataSource) -> None:
        for colour, width in _FRAME:
            self._model.quad(
                *("left", "right", "top", "bottom"), source=source, fill_alpha=0.0, line_color=colour, line_width=width
            )

    def _draw_rings(self, source: ColumnDataSource) -> None:
        for colour, width in _EDGES:
            self._model.scatter("x", "y", source=source, size=RING, fill_alpha=0.0, line_color=colour, line_width=width)

    def _make_room(self, places: Sequence[float]) -> None:
        """Widens the axis to where marks are."""
        room = self._model.x_range
        if not isinstance(room, Range1d) or not isinstance(room.start, (int, float)):
            return
        low, high = min(places), max(places)
        if low < room.start:
            room.update(start=low, reset_start=low)
        if high > room.end:
            room.update(end=high, reset_end=high)


def _columns(marks: Sequence[Any], fields: str) -> dict[str, list[Any]]:
    found = {name: [getattr(mark, name) for mark in marks] for name in fields.split()}
    return {name: [literal(text) for text in own] if name == "said" else own for name, own in found.items()}
