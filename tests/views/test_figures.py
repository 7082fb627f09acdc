"""The figure of a resilience study, drawn and saved by both backends."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import bokeh.plotting
import holoviews as hv
import pandas as pd
import pytest
from support.pages import Page

from qlab.views.backends import pyplot
from qlab.views.deviations import deviations
from qlab.views.resilience import accuracy_against_ratio
from qlab.views.saving import save_html, save_png

Table = Callable[..., pd.DataFrame]

PNG = b"\x89PNG\r\n\x1a\n"


def curves(figure: hv.Layout) -> dict[str, pd.DataFrame]:
    """The lines of the first panel by label."""
    return {curve.label: curve.dframe() for curve in figure.traverse(lambda curve: curve, [hv.Curve])[: len(figure)]}


TABLES: dict[str, list[tuple[str, float, float, int]]] = {
    "two models": [(model, ratio, 0.9 - ratio, 5) for model in ("MLP", "PennyLaneQNN") for ratio in (0.0, 0.2, 0.4)],
    "one ratio": [("MLP", 0.3, 0.7, 5)],
    "one trial for each ratio": [("MLP", ratio, 0.7, 1) for ratio in (0.0, 0.5)],
    "a ratio of which nothing is kept": [("MLP", 0.0, 0.9, 5), ("MLP", 0.2, float("nan"), 0), ("MLP", 0.4, 0.7, 4)],
    "a model of which nothing is kept": [
        *(("MLP", ratio, float("nan"), 0) for ratio in (0.0, 0.2)),
        *(("PennyLaneQNN", ratio, 0.9, 5) for ratio in (0.0, 0.2)),
    ],
    "nothing kept at all": [("MLP", ratio, float("nan"), 0) for ratio in (0.0, 0.2)],
    "six models": [(f"MLP hidden=[{width}]", ratio, 0.8, 5) for width in range(6) for ratio in (0.0, 0.2)],
}


@pytest.mark.parametrize("name", TABLES)
def test_the_figure_is_saved_as_png_and_as_a_page_of_its_own(name: str, make_table: Table, tmp_path: Path) -> None:
    figure = accuracy_against_ratio(make_table(*TABLES[name]))
    assert save_png(figure, tmp_path / "a.png", dpi=40).read_bytes().startswith(PNG)
    page = Page(save_html(figure, tmp_path / "a.html", "a title").read_text(encoding="utf-8"))
    assert "script" in page.tags
    assert page.outside == []


def test_the_legend_says_how_many_trials_are_shown(make_table: Table) -> None:
    figure = accuracy_against_ratio(make_table(*TABLES["a ratio of which nothing is kept"]))
    assert set(curves(figure)) == {"MLP (9 of 15 trials; left out: diverged)"}


def test_many_models_have_a_legend_too(make_table: Table) -> None:
    """HoloViews leaves out the legend of an overlay of more than 25 parts, without a word."""
    rows = [(f"MLP hidden=[{width}]", ratio, 0.8, 5) for width in range(13) for ratio in (0.0, 0.2)]
    figure = accuracy_against_ratio(make_table(*rows))
    page: Any = hv.render(figure, backend="bokeh")
    assert [len(plot.legend[0].items) for plot in page.select({"type": bokeh.plotting.figure})] == [13, 13]
    with pyplot():
        drawn: Any = hv.render(figure, backend="matplotlib")
        assert max(len(legend.get_texts()) for axes in drawn.axes if (legend := axes.get_legend())) == 13


def test_a_ratio_of_which_nothing_is_kept_is_a_gap(make_table: Table) -> None:
    figure = accuracy_against_ratio(make_table(*TABLES["a ratio of which nothing is kept"]))
    (line,) = curves(figure).values()
    assert list(line["ratio"]) == [0.0, 0.2, 0.4]
    assert list(line["mean"].isna()) == [False, True, False]


def test_points_are_drawn_in_the_order_of_the_ratio(make_table: Table) -> None:
    figure = accuracy_against_ratio(make_table(("MLP", 0.4, 0.5, 5), ("MLP", 0.0, 0.9, 5)))
    (line,) = curves(figure).values()
    assert list(line["mean"]) == [0.9, 0.5]


def test_of_a_single_ratio_the_deviation_is_a_bar() -> None:
    x = hv.Dimension("ratio")
    assert isinstance(deviations(([0.3], [0.8], [0.1]), x, "#000000"), hv.ErrorBars)
    assert isinstance(deviations(([0.3, 0.4], [0.8, 0.7], [0.1, 0.1]), x, "#000000"), hv.Spread)


def test_a_row_of_panels_for_each_corruption(make_table: Table) -> None:
    both = [make_table(("MLP", 0.2, 0.7, 5), corruption=name) for name in ("LabelFlip", "FeatureRandomization")]
    figure = accuracy_against_ratio(pd.concat(both, ignore_index=True))
    assert len(figure) == 4


@pytest.mark.parametrize("label", ["$x", "$\\frac{$ of $y_", "a_b^c {x} %s", "ψ = α|0⟩", "x" * 300])
def test_any_name_of_a_model_can_be_drawn(label: str, make_table: Table, tmp_path: Path) -> None:
    figure = accuracy_against_ratio(make_table((label, 0.0, 0.9, 5), (label, 0.2, 0.8, 5)))
    assert save_png(figure, tmp_path / "a.png", dpi=40).read_bytes().startswith(PNG)


def test_a_name_is_text_in_a_page_and_not_markup(hostile: str, make_table: Table, tmp_path: Path) -> None:
    table = make_table((hostile, 0.0, 0.9, 5), (hostile, 0.2, 0.8, 5), corruption=hostile)
    text = save_html(accuracy_against_ratio(table), tmp_path / "a.html", hostile).read_text(encoding="utf-8")
    page = Page(text)
    assert "img" not in page.tags
    assert page.handlers == []
    assert "onerror=alert(1)" in text


def test_threads_draw_side_by_side(make_table: Table, tmp_path: Path) -> None:
    def draw(number: int) -> bytes:
        figure = accuracy_against_ratio(make_table(*TABLES["two models"]))
        return save_png(figure, tmp_path / f"{number}.png", dpi=40).read_bytes()

    with ThreadPoolExecutor(2) as pool:
        pictures = list(pool.map(draw, range(4)))
    assert len(set(pictures)) == 1


def test_drawing_leaves_the_backend_as_it_was(make_table: Table, tmp_path: Path) -> None:
    import matplotlib.pyplot as plt

    def state() -> Any:
        return hv.Store.current_backend, plt.get_backend(), plt.get_fignums()

    plt.figure("somebody else's")
    before = state()
    save_png(accuracy_against_ratio(make_table(*TABLES["one ratio"])), tmp_path / "a.png", dpi=40)
    assert state() == before
    plt.close("somebody else's")
