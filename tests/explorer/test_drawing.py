"""Panels on a page: as wide as the window, with one legend for a row."""

from __future__ import annotations

import holoviews as hv
import numpy as np
import pytest
from bokeh.events import Tap
from bokeh.models import ColorBar, Legend, WheelZoomTool

from qlab.explorer import drawing
from qlab.explorer.text import Key, LegendStrip
from qlab.views.backends import styled


def curves(*names: str, colour: str = "#0072B2", title: str = "panel") -> hv.Overlay:
    parts = [styled(hv.Curve([(0, 1), (1, 2)], label=name), bokeh={"color": colour}, matplotlib={}) for name in names]
    return styled(hv.Overlay(parts), bokeh={"title": title, "width": 420}, matplotlib={})


def test_a_figure_takes_the_width_there_is_and_leaves_the_wheel_to_the_page() -> None:
    model = drawing.rendered(curves("one", "two"), 380)
    assert (model.sizing_mode, model.width, model.height) == ("stretch_width", None, 380)
    assert not list(model.select({"type": WheelZoomTool}))
    assert model.title.text == "panel"


def test_a_legend_is_taken_out_and_said_once_for_neighbours_that_share_it() -> None:
    panels = [curves("one", "two"), curves("one", "two"), curves("one", "three")]
    groups = list(drawing.grouped([drawing.rendered(panel, 300) for panel in panels]))
    assert [([key.words for key in keys], len(models)) for keys, models in groups] == [
        (["one", "two"], 2),
        (["one", "three"], 1),
    ]
    for _, models in groups:
        for model in models:
            assert not list(model.select({"type": Legend}))


def test_a_key_looks_like_its_line_and_markers() -> None:
    line = styled(
        hv.Curve([(0, 1), (1, 2)], label="dashed"), bokeh={"color": "#D55E00", "line_dash": "dashed"}, matplotlib={}
    )
    dots = styled(hv.Scatter([(0, 1)], label="dots"), bokeh={"color": "#009E73", "marker": "square"}, matplotlib={})
    keys = drawing.keys_of(drawing.rendered(hv.Overlay([line, dots]), 300))
    assert keys == (Key("dashed", "#D55E00", "6 4", "", True), Key("dots", "#009E73", "", "square", False))


def test_colour_bars_stay() -> None:
    image = hv.Image(np.array([[0.0, 1.0], [2.0, 3.0]])).opts(colorbar=True, backend="bokeh")
    model = drawing.rendered(image, 300)
    assert drawing.keys_of(model) == ()
    assert list(model.select({"type": ColorBar}))


def test_what_is_no_plot_is_shown_as_it_is() -> None:
    model = drawing.rendered(hv.Table([("a", 1)], "name", "value"), 300)
    assert drawing.keys_of(model) == ()


def test_clicks_tell_the_panel_and_the_place() -> None:
    found: list[tuple[int, float, float]] = []
    models = [drawing.rendered(curves("one"), 300) for _ in range(2)]
    drawing.follow_taps(models, lambda *place: found.append(place))
    models[1]._trigger_event(Tap(models[1], sx=1, sy=1, x=0.5, y=1.5))
    assert found == [(1, 0.5, 1.5)]


@pytest.mark.parametrize("words", ["<img src=x onerror=alert(1)>", "$$x$$", "a & b"])
def test_a_legend_shows_names_as_text(words: str) -> None:
    html = LegendStrip(
        [Key(words, "#0072B2", "6 4", "circle"), Key("b", '"><script>', '"onload="x', "none")]
    )._pane.object
    assert "<img" not in html
    assert "<script" not in html
    assert "onload" not in html
    assert html.count("<li>") == 2
