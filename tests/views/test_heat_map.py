"""Heat maps: where cells are, what is written in them, contours that interpolate nothing, both backends, print."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import holoviews as hv
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.mapped_runs import RATIOS, STRENGTHS, frame_of, noisy

from qlab.views.controls import Control
from qlab.views.crossed import Crossing, cells
from qlab.views.grids import Axis, Grid, grids
from qlab.views.heat_map import drawn
from qlab.views.publication import FORMATS, Format
from qlab.views.publication_map import save
from qlab.views.saving import save_html, save_png
from qlab.views.words import axis_words

CROSSING = Crossing(("corruption.ratio",), ("model.noise.1.p",), "validation_accuracy")
CONTROLLED = Crossing(CROSSING.x, CROSSING.y, CROSSING.metric, Control({"model.noise.1.p": 0.0}))


def maps(rows: list[dict[str, Any]], crossing: Crossing = CROSSING, **options: Any) -> list[Grid]:
    return grids(cells(frame_of(rows), crossing), crossing, **options)


def grid(values: Any, levels: tuple[float, ...] = (), **changed: Any) -> Grid:
    array = np.asarray(values, dtype=float)
    rows = [
        {"x": float(column), "y": float(row), "value": array[row, column], "std": 0.0, "n": 1, "runs": 1}
        | {"left_out": "", "note": ""}
        for row, column in np.ndindex(*array.shape)
    ]
    axes = (Axis(name, tuple(map(float, range(size)))) for name, size in zip("xy", array.shape[::-1], strict=True))
    return Grid("", *axes, "quantity", pd.DataFrame(rows), (0.0, 1.0), levels=levels, **changed)


def test_places_are_those_that_were_tried_and_zero_stands_apart() -> None:
    (found,) = maps(noisy())
    assert found.x.texts == ["0", "0.2", "0.4"]
    assert found.y.texts == ["0", "0.001", "0.01", "0.1"]
    assert np.diff(found.x.centres) == pytest.approx([1.0, 1.0])
    steps = np.diff(found.y.centres)
    assert steps[0] > 1.0
    assert steps[1:] == pytest.approx([1.0, 1.0])


def test_the_matrix_is_the_table() -> None:
    rows = [row for row in noisy() if (row["corruption.ratio"], row["model.noise.1.p"]) != (0.2, 0.01)]
    (found,) = maps(rows)
    table = cells(frame_of(rows), CROSSING).set_index(["y", "x"])["mean"]
    for row, strength in enumerate(STRENGTHS):
        for column, ratio in enumerate(RATIOS):
            expected = table.get((strength, ratio), np.nan)
            assert found.values[row, column] == pytest.approx(expected, nan_ok=True)
    assert list(found.missing()) == [(found.x.centres[1], found.y.centres[2])]


def test_cells_say_their_value_and_how_many_runs_are_kept() -> None:
    rows = noisy()
    rows[0]["health"] = "diverged"
    (found,) = maps(rows)
    texts = {(x, y): text for x, y, text, _ in found.texts()}
    assert texts[0.0, 0.0] == "0.960\n1 of 2"
    assert texts[1.0, 0.0] == "0.855"


def test_large_maps_say_only_what_was_left_out() -> None:
    rows = noisy(strengths=tuple(np.linspace(0.0, 0.1, 21)))
    rows[0]["health"] = "diverged"
    (found,) = maps(rows)
    assert [text for *_, text, _ in found.texts()] == ["1 of 2"]


def test_differences_are_centred_at_zero_and_have_signs() -> None:
    values, differences = maps(noisy(), CONTROLLED)
    assert (values.centred, differences.centred) == (False, True)
    assert differences.limits[0] == -differences.limits[1]
    assert differences.limits[1] == pytest.approx(0.2)
    assert {text for *_, text, _ in differences.texts()} == {"0", "−0.002", "−0.020", "−0.200"}
    assert values.levels
    assert not differences.levels


def test_maps_of_a_figure_share_their_colours() -> None:
    found = maps(noisy("BitFlip") + noisy("PhaseFlip", reach=lambda *_: 0.1))
    assert [own.title for own in found] == ["PennyLaneQNN BitFlip", "PennyLaneQNN PhaseFlip"]
    assert found[0].limits == found[1].limits
    assert found[0].limits[0] == pytest.approx(0.1)


@given(st.lists(st.lists(st.floats(0.0, 1.0), min_size=4, max_size=4), min_size=3, max_size=3), st.floats(0.05, 0.95))
def test_a_contour_parts_exactly_the_cells_that_reach_it_from_those_that_do_not(values, level):
    found = grid(values, (level,))
    x, y = found.contour(level)
    lines = np.stack([x, y], axis=1)
    middles = {
        tuple(np.round(0.5 * (lines[at] + lines[at + 1]), 6))
        for at in range(len(lines) - 1)
        if np.isfinite(lines[at : at + 2]).all()
    }
    array, expected = np.asarray(values), set()
    for row in range(3):
        for column in range(4):
            if column < 3 and (array[row, column] >= level) != (array[row, column + 1] >= level):
                expected.add((column + 0.5, float(row)))
            if row < 2 and (array[row, column] >= level) != (array[row + 1, column] >= level):
                expected.add((float(column), row + 0.5))
    assert middles == expected


def test_contours_along_one_edge_run_side_by_side_the_higher_nearer_to_the_higher_cell() -> None:
    found = grid([[0.95, 0.5]], (0.9, 0.8))
    (high, *_), (low, *_) = (found.contour(level)[0] for level in (0.9, 0.8))
    assert 0.4 < high < low < 0.6


def test_maps_of_names_have_contours_only_where_they_are_asked_for() -> None:
    table = cells(frame_of(noisy()), CROSSING)
    named = table.assign(y=[f"method {value:g}" for value in table["y"]])
    assert [own.levels for own in grids(named, CROSSING)] == [()]
    assert [own.levels for own in grids(named, CROSSING, (0.9,))] == [(0.9,)]
    (numbers,) = maps(noisy())
    assert numbers.levels


def test_there_is_no_contour_towards_a_cell_without_a_value() -> None:
    assert len(grid([[0.95, np.nan], [0.95, np.nan]], (0.9,)).contour(0.9)[0]) == 0


def test_axes_are_in_plain_words() -> None:
    assert axis_words(("corruption.ratio",)) == "corruption ratio"
    assert axis_words(("model.noise.1.p",)) == "error probability p"
    assert axis_words(("model.noise.1.gamma", "model.noise.1.p")) == "noise strength (γ, p)"
    assert axis_words(("model.depth",)) == "depth (layers)"
    assert axis_words(("method",)) == "method"


def test_both_backends_draw_a_map_with_holes_and_a_control(tmp_path: Path) -> None:
    rows = noisy()[:-6]
    rows[0]["health"] = "diverged"
    figure = drawn(maps(rows, CONTROLLED))
    assert len(figure) == 2
    assert save_png(figure, tmp_path / "map.png", 40).stat().st_size > 1000
    text = save_html(figure, tmp_path / "map.html", "map").read_text()
    assert "error probability p" in text
    assert "1 of 2; left out: diverged" in text


def test_the_pointer_is_told_value_deviation_and_counts() -> None:
    rows = noisy()
    rows[0]["health"] = "diverged"
    plot = hv.renderer("bokeh").get_plot(drawn(maps(rows, CONTROLLED))[1])
    tools = [tool for tool in plot.state.toolbar.tools if type(tool).__name__ == "HoverTool" and tool.tooltips]
    said = dict(tools[0].tooltips)
    assert set(said) >= {"corruption ratio", "error probability p", "difference, same seeds", "runs", "control"}
    source = tools[0].renderers[0].data_source.data
    assert all(field.strip("@{}") in source for field in said.values())
    assert "control, same seeds" in set(source["note"])


def test_hostile_names_are_drawn_as_text(hostile: str, tmp_path: Path) -> None:
    rows = noisy(hostile) + noisy("PhaseFlip")
    figure = drawn(maps(rows))
    save_png(figure, tmp_path / "map.png", 40)
    assert hostile not in save_html(figure, tmp_path / "map.html", "map").read_text()


@pytest.mark.parametrize("suffix", FORMATS)
def test_maps_for_print_are_as_wide_as_asked_for(suffix: str, tmp_path: Path) -> None:
    found = maps(noisy("BitFlip") + noisy("PhaseFlip"), CONTROLLED)
    file = save(found, tmp_path / f"map.{suffix}", Format(width=3.4, aspect=1.25), dpi=100)
    content = file.read_bytes()
    if suffix == "png":
        assert struct.unpack(">I", content[16:20])[0] == 340
    else:
        assert len(content) > 1000


def test_maps_without_any_value_can_be_drawn(tmp_path: Path) -> None:
    rows = [row | {"health": "diverged"} for row in noisy()]
    found = maps(rows)
    save_png(drawn(found), tmp_path / "map.png", 40)
    save(found, tmp_path / "print.png", Format(), dpi=40)
