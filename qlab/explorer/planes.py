"""Slices on planes as pictures that live: drawn once, then given new numbers as a slider is dragged."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Final

import contourpy
import numpy as np
import panel as pn
from bokeh.events import Pan, PanEnd, Tap
from bokeh.models import (
    BasicTicker,
    ColorBar,
    ColumnDataSource,
    CrosshairTool,
    HoverTool,
    LinearColorMapper,
    LogColorMapper,
    LogTicker,
    Title,
)
from bokeh.palettes import Viridis256
from numpy.typing import NDArray

from qlab.explorer import design
from qlab.explorer.drawing import blank
from qlab.explorer.highlights import Highlights, Marks
from qlab.views.backends import literal
from qlab.views.drawn import Drawn
from qlab.views.slices import LEVELS, MARK, PATH, axis_labels, has_path, is_log, marks

HEIGHT: Final = 400
"""Of a plane, pixels."""

ALONE: Final = {"height": 540, "max-width": "760px"}
"""A plane that stands alone is larger."""

_TOOLS: Final = "pan,box_zoom,reset,save"
_LINE: Final = {"line_color": "#FFFFFF", "line_width": 0.7, "line_alpha": 0.6}


@dataclasses.dataclass(frozen=True, eq=False)
class Sight:
    """What one plane shows.

    Args:
        title: model, corruption, ratio, seed, method.
        below: samples, and the values at the centre.
        result: of a SliceProbe in two dimensions.
        limits: of the colours.
    """

    title: str
    below: str
    result: Drawn
    limits: tuple[float, float]


Chosen = Callable[[int, float, float, bool], None]
"""Gets the number of a plane, the coordinates of a place, and whether the hand is still moving."""


class Planes:
    """Planes side by side, as many in a row as the window has room for.

    Args:
        chosen: is told of places that are clicked, or over which is dragged; without it dragging moves the picture.
    """

    def __init__(self, chosen: Chosen | None = None) -> None:
        self._chosen = chosen
        self._place: tuple[float, float] | None = None
        self._planes: list[_Plane] = []
        self.view = pn.Column(sizing_mode="stretch_width", styles=design.GRID)

    def show(self, sights: list[Sight]) -> None:
        """Draws planes; those that are there get new numbers."""
        # Another scale of colours is another picture; so is one with other tools.
        log = [is_log(sight.limits) for sight in sights]
        with pn.io.hold():
            if [plane.log for plane in self._planes] != log:
                self._planes = [_Plane(self._told_of(number), each) for number, each in enumerate(log)]
                alone = len(sights) == 1
                widest = {"max-width": str(ALONE["max-width"])} if alone else {}
                self.view.styles = {**design.columns(len(sights), design.SHARED), **widest}
                for plane, sight in zip(self._planes, sights, strict=True):
                    plane.figure.height = ALONE["height"] if alone else HEIGHT
                    plane.show(sight)
                    plane.mark(self._place)
                self.view.objects = [
                    pn.pane.Bokeh(plane.figure, sizing_mode="stretch_width", margin=0) for plane in self._planes
                ]
                return
            for plane, sight in zip(self._planes, sights, strict=True):
                plane.show(sight)

    def mark(self, place: tuple[float, float] | None) -> None:
        """Marks a place on all planes, or none."""
        self._place = place
        for plane in self._planes:
            plane.mark(place)

    def _told_of(self, number: int) -> Callable[[float, float, bool], None] | None:
        told = self._chosen
        if told is None:
            return None
        return lambda x, y, moving: told(number, x, y, moving)

    def clear(self) -> None:
        """Shows nothing."""
        self._planes, self.view.objects = [], []


class _Plane:
    """One plane: image, contours, the path of training, marked points."""

    def __init__(self, chosen: Callable[[float, float, bool], None] | None, log: bool) -> None:
        self.log = log
        self._place = Highlights()
        self._image, self._contours, self._path, self._marks = (
            ColumnDataSource(dict.fromkeys(names.split(), ()))
            for names in ("loss accuracy x y dw dh", "xs ys", "x y distance", "x y distance name")
        )
        self._colours: Any = (LogColorMapper if log else LinearColorMapper)(palette=Viridis256)
        self.figure = blank(_TOOLS, HEIGHT)
        self._below = Title(text="", text_font_style="normal", text_font_size=design.SMALL)
        self.figure.add_layout(self._below, "above")
        self._title = Title(text="", text_font_size=design.TITLE)
        self.figure.add_layout(self._title, "above")
        self._draw()
        self._place.attach([self.figure])

        if chosen is not None:
            self._tell(chosen)

    def _tell(self, chosen: Callable[[float, float, bool], None]) -> None:
        # What is dragged over a plane is the place that is looked at; the tools stay in the toolbar.
        self.figure.toolbar.active_drag = None

        def told(event: Any) -> None:
            if event.x is not None:
                chosen(float(event.x), float(event.y), isinstance(event, Pan))

        for kind in (Tap, Pan, PanEnd):
            self.figure.on_event(kind, told)

    def _draw(self) -> None:
        drawn = self.figure
        image = drawn.image(
            "loss", x="x", y="y", dw="dw", dh="dh", color_mapper=self._colours, source=self._image, level="image"
        )
        drawn.multi_line("xs", "ys", source=self._contours, **_LINE)
        drawn.line("x", "y", source=self._path, line_color=PATH, line_width=1.5)
        path = drawn.scatter("x", "y", source=self._path, color=PATH, size=4)
        points = drawn.scatter("x", "y", source=self._marks, color=MARK, size=10, line_color="#FFFFFF", line_width=1.5)
        drawn.text(
            "x",
            "y",
            text="name",
            source=self._marks,
            y_offset=-8,
            text_align="center",
            text_color="#FFFFFF",
            text_outline_color="#1A1A1A",
            text_font_size="13px",
            text_font_style="bold",
        )
        drawn.grid.visible = False
        numbers = [("loss", "@loss{0.0000}"), ("accuracy", "@accuracy{0.000}"), ("a, b", "$x{0.00}, $y{0.00}")]
        drawn.add_tools(
            CrosshairTool(line_color="#FFFFFF", line_alpha=0.6),
            HoverTool(renderers=[image], tooltips=numbers, attachment="horizontal", name="values"),
            HoverTool(renderers=[path], tooltips=[("off the plane", "@distance{0.000}")], visible=False),
            HoverTool(
                renderers=[points], tooltips=[("point", "@name"), ("off the plane", "@distance{0.000}")], visible=False
            ),
        )
        ticker = LogTicker() if self.log else BasicTicker(desired_num_ticks=5)
        drawn.add_layout(
            ColorBar(color_mapper=self._colours, ticker=ticker, title="loss", width=12, padding=6), "right"
        )

    def mark(self, place: tuple[float, float] | None) -> None:
        """Rings a place."""
        self._place.show({} if place is None else {0: Marks(rings=[place])})

    def show(self, sight: Sight) -> None:
        """Gives the picture new numbers."""
        result = sight.result
        axis, loss = result.arrays["axis"], result.arrays["loss"]
        # An image is as wide as its cells, which are around the grid's points.
        half = 0.5 * float(axis[1] - axis[0])
        low, size = float(axis[0]) - half, float(axis[-1] - axis[0]) + 2.0 * half
        for text, words in ((self._title, sight.title), (self._below, sight.below)):
            text.text = literal(words)
        for own, words in zip((self.figure.xaxis[0], self.figure.yaxis[0]), axis_labels(result), strict=True):
            own.axis_label = literal(words)
        self._colours.update(low=sight.limits[0], high=sight.limits[1])
        for limits in (self.figure.x_range, self.figure.y_range):
            limits.update(
                start=float(axis[0]), end=float(axis[-1]), reset_start=float(axis[0]), reset_end=float(axis[-1])
            )
        # The first index runs along the first direction; an image has its rows along the second.
        self._image.data = {
            "loss": [np.ascontiguousarray(loss.T)],
            "accuracy": [np.ascontiguousarray(result.arrays["accuracy"].T)],
            **{name: [value] for name, value in (("x", low), ("y", low), ("dw", size), ("dh", size))},
        }
        self._contours.data = _contours(axis, loss, sight.limits, self.log)
        path = result.arrays["trajectory"] if has_path(result) else np.zeros((0, 3))
        self._path.data = {"x": path[:, 0], "y": path[:, 1], "distance": path[:, 2]}
        found = marks(result)
        places = np.stack(list(found.values())) if found else np.zeros((0, 3))
        names = [literal(name) for name in found]
        self._marks.data = {"x": places[:, 0], "y": places[:, 1], "distance": places[:, 2], "name": names}


def _contours(
    axis: NDArray[np.float64], loss: NDArray[np.float64], limits: tuple[float, float], log: bool
) -> Mapping[str, Any]:
    """Lines of equal loss, as the columns of a source."""
    if not np.isfinite(loss).all() or limits[1] <= limits[0] or min(loss.shape) < 3:
        return {"xs": [], "ys": []}
    generator: Any = contourpy.contour_generator(axis, axis, loss.T)
    spaced = np.geomspace if log else np.linspace
    lines = [line for level in spaced(*limits, LEVELS + 2)[1:-1] for line in generator.lines(float(level))]
    return {"xs": [line[:, 0] for line in lines], "ys": [line[:, 1] for line in lines]}
