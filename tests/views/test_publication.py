"""Figures for print: exactly as wide as asked for, with every label inside and none over another."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.image import imread

from qlab.views import publication
from qlab.views.lines import Line, Panel
from qlab.views.palette import styles
from qlab.views.publication import Format


def panels(titles=("",), names=("MLP", "PennyLaneQNN"), metrics=("validation accuracy",), **counts):
    """Panels with a line for each name."""
    counts = {"kept": 9, "runs": 10, "left_out": "diverged"} | counts
    x, by_name = np.array([0.001, 0.01, 0.1]), styles(names)
    lines = tuple(
        Line(name, by_name[name], counts, x, np.array([0.2, 0.5, 0.9]) - 0.05 * place, np.array([0.1, np.nan, 0.1]))
        for place, name in enumerate(names)
    )
    return [
        Panel(title, "learning rate", metric, lines, bounded="accuracy" in metric)
        for title in titles
        for metric in metrics
    ]


CASES = {
    "one column": (panels(), Format()),
    "two metrics in a column": (panels(metrics=("validation accuracy", "training loss")), Format(log_x=True)),
    "two metrics across": (panels(metrics=("validation accuracy", "training loss")), Format(width=7.0)),
    "many panels": (panels(titles=[f"LabelFlip {r}" for r in (0.1, 0.2, 0.3)]), Format(width=7.0, log_x=True)),
    "long names": (
        panels(names=[f"MLP hidden=[64, 16] training.learning_rate={k} and more of it" for k in (0.1, 0.2, 0.3)]),
        Format(width=2.5, font_size=7),
    ),
    "long titles": (panels(titles=["a corruption with a very long name " * 3, "b"]), Format(width=3.4)),
    "formulas": (panels(names=["$x_1$ {y}", "a & b"]), Format()),
}


@pytest.mark.parametrize("name", CASES)
def test_labels_are_inside_and_apart(name: str) -> None:
    drawn, form = CASES[name]
    with mpl.rc_context(publication.settings(form)):
        figure = publication.draw(drawn, form)
        figure.draw_without_rendering()
        renderer = figure.canvas.get_renderer()
        assert figure.get_size_inches()[0] == pytest.approx(form.width)
        boxes = [
            part.get_window_extent(renderer)
            for axes in figure.axes
            for part in (axes.xaxis.label, axes.yaxis.label, axes.title)
            if part.get_text()
        ]
        boxes += [legend.get_window_extent(renderer) for legend in figure.legends]
        frames = [axes.get_window_extent(renderer) for axes in figure.axes if axes.axison]
        ticks = [
            tick.get_window_extent(renderer)
            for axes in figure.axes
            for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim()))
            for tick, place in zip(axis.get_ticklabels(), axis.get_ticklocs(), strict=True)
            if tick.get_text() and low <= place <= high
        ]
        whole = figure.bbox
        for box in [*boxes, *ticks]:
            assert box.x0 >= whole.x0 - 1
            assert box.x1 <= whole.x1 + 1
            assert box.y0 >= whole.y0 - 1
            assert box.y1 <= whole.y1 + 1
        for one, other in itertools.combinations(boxes, 2):
            assert not one.padded(-1).overlaps(other.padded(-1))
        for one, other in itertools.product(boxes, [*frames, *ticks]):
            assert not one.padded(-1).overlaps(other.padded(-1))
        for frame in frames:
            assert frame.width / frame.height == pytest.approx(form.aspect, rel=0.05)


def test_the_legend_says_how_many_are_kept_and_why_others_are_not() -> None:
    """Once for all panels: metrics show the same runs, ratios show others."""
    drawn = panels(titles=["0.1", "0.2"], metrics=("a", "b"))
    with mpl.rc_context(publication.settings(Format(width=7))):
        figure = publication.draw(drawn, Format(width=7))
    (legend,) = figure.legends
    texts = [" ".join(text.get_text().split()) for text in legend.get_texts()]
    assert texts == [f"{name} (18 of 20 runs; left out: diverged)" for name in ("MLP", "PennyLaneQNN")]


def test_a_pdf_has_its_fonts_inside_and_the_width_asked_for(tmp_path: Path) -> None:
    content = publication.save(panels(), tmp_path / "f.pdf", Format(width=3.4)).read_bytes()
    assert b"/Subtype /CIDFontType2" in content or b"/Subtype /TrueType" in content  # type 42
    assert b"/Subtype /Type3" not in content
    assert b"/FontFile2" in content
    width = float(re.search(rb"/MediaBox \[ ?0 0 ([\d.]+)", content)[1])
    assert width == pytest.approx(3.4 * 72, abs=0.01)
    again = publication.save(panels(), tmp_path / "g.pdf", Format(width=3.4)).read_bytes()
    assert again == content


def test_an_svg_has_the_width_asked_for(tmp_path: Path) -> None:
    text = publication.save(panels(), tmp_path / "f.svg", Format(width=3.0)).read_text()
    assert float(re.search(r'<svg[^>]* width="([\d.]+)pt"', text)[1]) == pytest.approx(216)


def test_a_png_has_the_dots_asked_for(tmp_path: Path) -> None:
    path = publication.save(panels(), tmp_path / "f.png", Format(width=3.0), dpi=100)
    assert imread(path).shape[1] == 300


def test_lines_of_which_nothing_is_kept_are_named(tmp_path: Path) -> None:
    empty = np.empty(0)
    line = Line("MLP", styles(["MLP"])["MLP"], {"kept": 0, "runs": 3, "left_out": "failed"}, empty, empty, empty)
    drawn = [Panel("", "ratio", "loss", (line,), bounded=False)]
    for form in (Format(), Format(log_x=True, log_y=True)):
        with mpl.rc_context(publication.settings(form)):
            figure = publication.draw(drawn, form)
        assert figure.legends[0].get_texts()[0].get_text() == "MLP (0 of 3 runs; left out: failed)"


def test_settings_of_the_process_stay(tmp_path: Path) -> None:
    before = dict(mpl.rcParams)
    publication.save(panels(), tmp_path / "f.pdf", Format())
    assert dict(mpl.rcParams) == before
