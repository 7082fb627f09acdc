"""HoloViews' panels as Bokeh's figures on a page: as wide as there is room, without a legend of their own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

import holoviews as hv
import numpy as np
from bokeh.events import Tap
from bokeh.models import Legend, Plot, Title, WheelZoomTool
from bokeh.plotting import figure

from qlab.explorer import design
from qlab.explorer.text import Key
from qlab.views.backends import DRAWING

NEAR: Final = 0.05
"""How far from a point a click may be, as a part of the panel."""


def panels_of(figure: Any) -> list[Any]:
    """The panels of a HoloViews object, in rows from left to right."""
    return list(figure) if isinstance(figure, hv.Layout) else [figure]


def rendered(panel: Any, height: int) -> Any:
    """A panel as Bokeh's model, of the page's width."""
    with DRAWING:
        model = hv.render(panel, backend="bokeh")
    if isinstance(model, Plot):
        model.update(width=None, height=height, min_width=design.NARROWEST, sizing_mode="stretch_width")
        model.toolbar.update(logo=None, autohide=True, active_scroll=None)
        # A page is scrolled by the wheel.
        model.toolbar.tools = [tool for tool in model.toolbar.tools if not isinstance(tool, WheelZoomTool)]
        for title in model.select({"type": Title}):
            title.text_font_size = design.TITLE
    return model


def keys_of(model: Any) -> tuple[Key, ...]:
    """What the legend of a figure says; it is taken out."""
    if not isinstance(model, Plot):
        return ()
    found: list[Key] = []
    for legend in list(model.select({"type": Legend})):
        for item in legend.items:
            found.append(_key(str(getattr(item.label, "value", "")), item.renderers))
        for place in (model.above, model.below, model.left, model.right, model.center):
            if legend in place:
                place.remove(legend)
    return tuple(key for key in dict.fromkeys(found) if key.words)


def _key(words: str, renderers: Sequence[Any]) -> Key:
    """What Bokeh would draw beside the words."""
    colour, dash, marker, line = "", "", "", False
    for glyph in (renderer.glyph for renderer in renderers):
        kind = type(glyph).__name__
        if kind in ("Line", "MultiLine"):
            line = True
            dash = dash if getattr(glyph, "line_dash", []) in ([], "solid") else "6 4"
        elif kind == "Scatter":
            marker = glyph.marker if isinstance(glyph.marker, str) else "circle"
        else:
            marker = marker or "patch"
        names = ("line_color", "fill_color") if marker == "x" or kind != "Scatter" else ("fill_color", "line_color")
        found = [value for name in names if isinstance(value := getattr(glyph, name, None), str)]
        colour = colour or next((value for value in found if value.startswith("#")), "")
    return Key(words, colour, dash, marker, line)


def grouped(models: Sequence[Any]) -> Iterator[tuple[tuple[Key, ...], list[Any]]]:
    """Neighbours that share a legend, with it."""
    pairs = [(keys_of(model), model) for model in models]
    for keys, group in itertools.groupby(pairs, key=lambda pair: pair[0]):
        yield keys, [model for _, model in group]


def follow_taps(models: Iterable[Any], tapped: Callable[[int, float, float], None]) -> None:
    """Tells of clicks into figures."""

    def told(number: int) -> Callable[[Tap], None]:
        return lambda event: tapped(number, float(event.x), float(event.y)) if event.x is not None else None

    for number, model in enumerate(models):
        if isinstance(model, Plot):
            model.on_event(Tap, told(number))


def blank(
    tools: Any, height: int, x_range: tuple[float, float] = (-1.0, 1.0), y_range: tuple[float, float] = (-1.0, 1.0)
) -> Any:
    """An empty panel in Bokeh, for pictures that take new numbers as something is dragged.

    Args:
        tools: of Bokeh, a text or a list.
        height: pixels.
        x_range: ends of the axis across, to begin with.
        y_range: of the axis up.
    """
    drawn = figure(
        tools=tools,
        sizing_mode="stretch_width",
        height=height,
        min_width=design.NARROWEST,
        x_range=x_range,
        y_range=y_range,
        toolbar_location="above",
    )
    drawn.toolbar.update(logo=None, autohide=True)
    return drawn


def nearest(places: Sequence[tuple[float, float]], click: tuple[float, float], log: bool = False) -> int | None:
    """The number of the place that was clicked, or None where there is none near.

    Args:
        places: of the points of a panel.
        click: where it was.
        log: whether the axis is logarithmic.
    """
    if not places or (log and click[0] <= 0):
        return None
    at = np.array([*places, click], dtype=float)
    if log:
        at[:, 0] = np.log10(at[:, 0])
    size = np.ptp(at[:-1], axis=0)
    size[0] = size[0] or max(abs(at[0, 0]), 1.0)
    size[1] = max(size[1], np.abs(at[:-1, 1]).max(), 1.0 if np.abs(at[:-1, 1]).max() <= 1.0 else 1e-12)
    distance = (((at[:-1] - at[-1]) / size) ** 2).sum(axis=1)
    return int(distance.argmin()) if distance.min() < NEAR**2 else None
