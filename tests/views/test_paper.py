"""Figures of pages at the width of a paper's column: exactly as wide, nothing cut off, the page's figure as it was."""

from __future__ import annotations

import io
import re
from typing import Any

import holoviews as hv
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from qlab.views.paper import MILLIMETRES, Column, draw, paper_bytes
from qlab.views.publication import Format, settings
from qlab.views.resilience import accuracy_against_ratio

pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")  # HoloViews' own


def resilience(corruptions: int = 2) -> Any:
    rows = [
        {"model": model, "corruption": f"Corruption{number} with $many$ words in its {{name}}", "ratio": ratio}
        | {f"{metric}_{part}": 0.1 for metric in ("train_accuracy", "validation_accuracy") for part in ("mean", "std")}
        | {"kept": 5, "trials": 5, "left_out": ""}
        for model in ("MLP", "PennyLaneQNN depth=4", "PennyLaneQNN depth=8")
        for number in range(corruptions)
        for ratio in (0.0, 0.5)
    ]
    return accuracy_against_ratio(pd.DataFrame(rows))


def image() -> Any:
    axis = np.linspace(-1.0, 1.0, 5)
    picture = hv.Image((axis, axis, np.outer(axis, axis) + 2.0), ["a", "b"], "loss")
    return picture.opts(backend="matplotlib", colorbar=True, title="a slice")


@pytest.mark.parametrize("column", ["single", "double"])
def test_files_are_exactly_as_wide_as_a_column(column: Column) -> None:
    figure = resilience()
    content = paper_bytes(figure, "pdf", column)
    page = re.search(rb"/MediaBox \[ 0 0 ([0-9.]+) ([0-9.]+) \]", content)
    assert page is not None
    assert b"/CIDFontType2" in content  # the font is in the file, as outlines
    assert float(page[1]) * 25.4 / 72.0 == pytest.approx(MILLIMETRES[column], abs=0.1)
    with Image.open(io.BytesIO(paper_bytes(figure, "png", column, dpi=100))) as drawn:
        assert drawn.width == pytest.approx(MILLIMETRES[column] / 25.4 * 100, abs=1)


def test_no_label_is_cut_off_and_the_legend_names_every_line_once() -> None:
    form = Format(width=MILLIMETRES["single"] / 25.4)
    with mpl.rc_context(settings(form)):
        drawn: Any = draw(resilience(), form)
        renderer = drawn.canvas.get_renderer()
        drawn.draw_without_rendering()
        whole = drawn.bbox
        boxes = [axes.get_tightbbox(renderer) for axes in drawn.axes]
        legend = drawn.legends[0]
    assert all(box.x0 >= -1 and box.x1 <= whole.x1 + 1 and box.y1 <= whole.y1 + 1 for box in boxes)
    assert [text.get_text() for text in legend.get_texts()] == [
        "MLP (10 of 10 trials)",
        "PennyLaneQNN depth=4 (10 of 10 trials)",
        "PennyLaneQNN depth=8 (10 of 10 trials)",
    ]
    bottom = min(box.y0 for box in boxes)
    assert legend.get_window_extent(renderer).y1 <= bottom + 1


def test_panels_stand_in_parts_of_the_rows_of_the_page() -> None:
    form = {name: Format(width=width / 25.4) for name, width in MILLIMETRES.items()}
    figure = resilience()
    for name, columns in (("single", 1), ("double", 2), ("single", 1)):
        with mpl.rc_context(settings(form[name])):
            drawn = draw(figure, form[name])
        assert len({round(axes.get_position().x0, 2) for axes in drawn.axes}) == columns
    assert figure._max_cols == 2  # the page goes on with its own


def test_a_picture_keeps_its_bar_of_colours_beside_it() -> None:
    form = Format(width=MILLIMETRES["single"] / 25.4)
    with mpl.rc_context(settings(form)):
        drawn = draw(image(), form)
        drawn.draw_without_rendering()
    panel, bar = drawn.axes
    assert bar.get_ylabel() == "loss"
    assert bar.get_position().x0 > panel.get_position().x1
    assert bar.get_position().x1 < 1.0
