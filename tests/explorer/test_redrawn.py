"""Newer numbers are shown by the picture that is there; one of other parts takes its place."""

from __future__ import annotations

from typing import Any

import holoviews as hv
import numpy as np
import pandas as pd
import pytest
from bokeh.models import ColumnDataSource, Plot, Range1d

from qlab.explorer import drawing
from qlab.explorer.figure import Figure
from qlab.views.resilience import accuracy_against_ratio
from qlab.views.summary import labelled_trials, summarize


def trials(seeds: int, models: tuple[int, ...] = (3, 4), shift: float = 0.0) -> pd.DataFrame:
    """Finished trials of some models at three ratios."""
    rows = [
        {
            **{"run_id": f"{depth}-{ratio}-{seed}", "status": "FINISHED", "health": "healthy", "kind": "trial"},
            **{"model.type": "PennyLaneQNN", "model.depth": depth, "corruption.type": "LabelFlip"},
            **{"corruption.ratio": ratio, "seed": seed, "train_accuracy": 0.9 - ratio / 2 + shift},
            "validation_accuracy": 0.9 - ratio / 3 - 0.01 * seed + shift,
        }
        for depth in models
        for ratio in (0.0, 0.2, 0.4)
        for seed in range(seeds)
    ]
    return pd.DataFrame(rows)


def drawn(frame: pd.DataFrame, traces: bool = False) -> tuple[Any, pd.DataFrame]:
    table = summarize(frame)
    return accuracy_against_ratio(table, None, labelled_trials(frame) if traces else None), table


def plots(figure: Figure) -> list[Any]:
    panes = figure.view.select(lambda item: isinstance(getattr(item, "object", None), Plot))
    return [pane.object for pane in panes]


def said(model: Any) -> list[Any]:
    """What a plot shows: its numbers in order, titles, axes and ends."""
    sources = [renderer.data_source.data for renderer in model.renderers if hasattr(renderer, "data_source")]
    numbers = [{name: [str(value) for value in np.ravel(values)] for name, values in data.items()} for data in sources]
    ranges = [(part.start, part.end) for part in (model.x_range, model.y_range)]
    return [numbers, model.title.text, [axis.axis_label for axis in (*model.xaxis, *model.yaxis)], ranges]


@pytest.mark.parametrize("traces", [False, True])
def test_newer_numbers_are_shown_by_the_same_picture(traces: bool) -> None:
    figure = Figure("resilience")
    figure.show(*drawn(trials(2), traces))
    before = plots(figure)
    newer = drawn(trials(3, shift=0.03), traces)
    figure.show(*newer)
    assert plots(figure) == before
    fresh = [drawing.rendered(panel, 380) for panel in drawing.panels_of(newer[0])]
    assert [said(model) for model in plots(figure)] == [said(model) for model in fresh]
    legend = str([pane.object for pane in figure.view.select() if "Legend" in str(getattr(pane, "object", ""))])
    assert "9 of 9 trials" in legend
    assert "6 of 6" not in legend
    assert figure.table is newer[1]


def test_another_picture_takes_its_place() -> None:
    figure = Figure("resilience")
    figure.show(*drawn(trials(2)))
    for frame, traces in ((trials(2), True), (trials(2, (3, 4, 5)), False), (trials(2), False)):
        before = plots(figure)
        newer = drawn(frame, traces)
        figure.show(*newer)
        assert not set(before) & set(plots(figure))
        fresh = [drawing.rendered(panel, 380) for panel in drawing.panels_of(newer[0])]
        assert [said(model) for model in plots(figure)] == [said(model) for model in fresh]
    figure.clear()
    figure.show(*drawn(trials(2)))
    assert len(plots(figure)) == 2


def test_where_somebody_has_zoomed_to_stays_until_the_picture_has_other_ends() -> None:
    figure = Figure("own")

    def curve(last: float, height: float) -> Any:
        return hv.Curve(([0.0, last], [0.0, height])).opts(backend="bokeh", ylim=(0.0, 1.0))

    figure.show(curve(1.0, 0.5), pd.DataFrame())
    [model] = plots(figure)
    model.y_range.update(start=0.4, end=0.6)
    model.x_range.update(start=0.2, end=0.3)
    figure.show(curve(2.0, 0.7), pd.DataFrame())
    assert plots(figure) == [model]
    assert (model.y_range.start, model.y_range.end) == (0.4, 0.6)
    assert (model.x_range.start, model.x_range.end) == (0.0, 2.0)


def test_what_was_added_to_a_picture_stays() -> None:
    figure = Figure("resilience")
    figure.show(*drawn(trials(2)))
    [model, *_] = plots(figure)
    marks = model.scatter("x", "y", source=ColumnDataSource({"x": [0.2], "y": [0.5]}))
    figure.show(*drawn(trials(3)))
    assert plots(figure)[0] is model
    assert marks in model.renderers
    assert marks.data_source.data["y"] == [0.5]
    assert isinstance(model.x_range, Range1d)
