"""What is drawn over figures where something is selected, and which runs belong to a selection."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from bokeh.models import GlyphRenderer, Range1d
from bokeh.plotting import figure

from qlab.explorer.drawing import nearest
from qlab.explorer.highlights import Highlights, Hollow, Marks, Thick
from qlab.explorer.kinship import Kinship
from qlab.tracking import names


def glyphs(model: Any) -> dict[str, dict[str, Any]]:
    """Columns by kind of glyph."""
    return {type(part.glyph).__name__: part.data_source.data for part in model.select({"type": GlyphRenderer})}


def test_marks_are_drawn_over_their_panel_and_go_again() -> None:
    highlights, panels = Highlights(), [figure(), figure()]
    highlights.attach(panels)
    assert glyphs(panels[0]) == {}
    highlights.show(
        {0: Marks(rings=[(0.2, 0.9)]), 1: Marks(boxes=[(0, 1, 2, 3)], lines=[Thick([0, 1], [2, 3], "#000")])}
    )
    assert glyphs(panels[0])["Scatter"] == {"x": [0.2], "y": [0.9]}
    assert glyphs(panels[1])["Quad"] == {"left": [0], "bottom": [1], "right": [2], "top": [3]}
    assert glyphs(panels[1])["MultiLine"]["y"] == [[2, 3]]
    highlights.show({})
    assert glyphs(panels[0])["Scatter"] == {"x": [], "y": []}
    assert glyphs(panels[1])["Quad"] == {"left": [], "bottom": [], "right": [], "top": []}


def test_a_figure_that_is_drawn_anew_has_the_marks_of_the_last() -> None:
    highlights, panel = Highlights(), figure()
    highlights.show({0: Marks(rings=[(1.0, 2.0)])})
    highlights.attach([panel])
    assert glyphs(panel)["Scatter"] == {"x": [1.0], "y": [2.0]}


def test_the_axis_reaches_to_what_still_trains() -> None:
    highlights, panel = Highlights(), figure(x_range=Range1d(0.0, 0.4))
    highlights.attach([panel])
    highlights.show({0: Marks(hollow=[Hollow(0.8, 0.5, "#0072B2", "circle", "seed $$x$$")])})
    assert (panel.x_range.start, panel.x_range.end) == (0.0, 0.8)
    assert "$$" not in glyphs(panel)["Scatter"]["said"][0]  # text, no formula


@pytest.mark.parametrize(
    ("click", "log", "found"),
    [((0.011, 0.9), True, 1), ((0.05, 0.9), True, None), ((0.02, 0.91), False, 1), ((-1.0, 0.9), True, None)],
)
def test_a_click_means_the_point_under_it(click: tuple[float, float], log: bool, found: int | None) -> None:
    assert nearest([(0.001, 0.9), (0.01, 0.9), (1.0, 0.9)], click, log) == found
    assert nearest([], click, log) is None


def test_a_selection_reaches_to_teachers_and_to_what_was_made_of_them() -> None:
    rows = [("e", names.EXPERIMENT, None), ("t", names.TRIAL, "e"), ("s", names.TRIAL, "e")]
    rows += [("u", names.UNLEARNING, "t"), ("p", names.PROBE, "t"), ("w", names.UNLEARNING, "s")]
    kinship = Kinship(pd.DataFrame(rows, columns=["run_id", "kind", "parent_id"]))
    assert kinship.of(["t"]) == {"t", "u", "p"}
    assert kinship.of(["u"]) == {"u", "t"}  # not what else was made of its teacher
    assert kinship.of(["gone"]) == {"gone"}
    assert kinship.of([]) == frozenset()
