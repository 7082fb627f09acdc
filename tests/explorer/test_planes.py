"""Planes that live: their numbers are those of the slice, and they are drawn once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from bokeh.events import Pan, PanEnd, Tap
from bokeh.models import LinearColorMapper, LogColorMapper

from qlab.explorer.planes import Planes, Sight
from qlab.landscape import Landscape, ProbeResult, SliceProbe
from qlab.models import MLP, Features
from qlab.tasks import Split
from qlab.views.panels import finite_limits


@pytest.fixture(scope="module")
def landscape() -> Landscape:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(12, 3, generator=generator, dtype=torch.float64)
    split = Split(x, (x[:, 0] > 0).long())
    model = MLP(hidden=(4,), dtype="float64").build(Features(3, False, torch.ones(3, dtype=torch.bool)))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return Landscape(model, split)


def sight(result: ProbeResult, limits: tuple[float, float] | None = None, title: str = "MLP") -> Sight:
    return Sight(title, "12 train samples", result, limits or finite_limits(result.arrays["loss"]))


def sources(planes: Planes) -> dict[str, Any]:
    """The data of each glyph of the first plane, by its kind."""
    return {part.glyph.__class__.__name__: part for part in planes.view.objects[0].object.renderers}


def test_an_image_has_the_loss_of_each_grid_point_at_its_place(landscape: Landscape) -> None:
    result = SliceProbe(resolution=5, span=2.0).measure(landscape)
    planes = Planes(lambda *told: None)
    planes.show([sight(result)])
    data = sources(planes)["Image"].data_source.data
    # A cell is as wide as the step of the grid, with the point in its middle.
    assert (data["x"], data["dw"], data["dh"]) == ([-2.5], [5.0], [5.0])
    for row, b in enumerate((-2.0, -1.0, 0.0, 1.0, 2.0)):
        for column, a in enumerate((-2.0, -1.0, 0.0, 1.0, 2.0)):
            flat = landscape.theta + torch.tensor([a, b], dtype=torch.float64) @ torch.tensor(
                result.arrays["directions"]
            )
            assert data["loss"][0][row, column] == pytest.approx(float(landscape.loss(flat)), abs=1e-12)


def test_contours_lie_where_the_loss_has_their_value() -> None:
    axis = np.linspace(-1.0, 1.0, 41)
    loss = np.add.outer(axis**2, axis**2)  # circles
    found = _result(axis, loss)
    planes = Planes(lambda *told: None)
    planes.show([sight(found, (0.0, 2.0))])
    lines = sources(planes)["MultiLine"].data_source.data
    levels = {round(float((x[0] ** 2 + y[0] ** 2) / 2.0 * 11.0)) for x, y in zip(lines["xs"], lines["ys"], strict=True)}
    assert levels == set(range(1, 11))
    for x, y in zip(lines["xs"], lines["ys"], strict=True):
        assert np.ptp(x**2 + y**2) < 2e-3


def test_new_numbers_change_the_source_and_not_the_picture(landscape: Landscape) -> None:
    planes = Planes(lambda *told: None)
    limits = (0.1, 1.0)
    planes.show([sight(SliceProbe(resolution=5).measure(landscape), limits)])
    pane, figure = planes.view.objects[0], planes.view.objects[0].object
    planes.show([sight(SliceProbe(resolution=7, span=0.5).measure(landscape), limits, "another <b>title</b>")])
    assert planes.view.objects == [pane]
    assert pane.object is figure
    assert sources(planes)["Image"].data_source.data["loss"][0].shape == (7, 7)
    assert (figure.x_range.start, figure.y_range.end) == (-0.5, 0.5)
    assert [part.text for part in figure.above if hasattr(part, "text")][-1] == "another <b>title</b>"


def test_losses_over_decades_are_coloured_by_their_logarithm(landscape: Landscape) -> None:
    result = SliceProbe(resolution=5).measure(landscape)
    planes = Planes(lambda *told: None)
    kinds = {(0.1, 1.0): LinearColorMapper, (0.01, 10.0): LogColorMapper}
    for limits, kind in kinds.items():
        planes.show([sight(result, limits)])
        mapper = sources(planes)["Image"].glyph.color_mapper
        assert isinstance(mapper, kind)
        assert (mapper.low, mapper.high) == limits


def test_a_slice_without_a_finite_loss_and_one_after_none(landscape: Landscape) -> None:
    result = _result(np.linspace(-1.0, 1.0, 5), np.full((5, 5), np.nan))
    planes = Planes(lambda *told: None)
    planes.show([sight(result), sight(result)])
    assert len(planes.view.objects) == 2
    planes.clear()
    assert planes.view.objects == []
    planes.show([sight(result)])
    assert sources(planes)["MultiLine"].data_source.data == {"xs": [], "ys": []}


def test_a_click_tells_its_place(landscape: Landscape) -> None:
    told: list[tuple[int, float, float, bool]] = []
    planes = Planes(lambda *event: told.append(event))
    result = SliceProbe(resolution=5).measure(landscape)
    planes.show([sight(result), sight(result)])
    figure = planes.view.objects[1].object
    figure._trigger_event(Tap(figure, sx=1, sy=2, x=0.25, y=-0.5))
    for moving in (Pan, PanEnd):
        figure._trigger_event(moving(figure, sx=1, sy=2, x=0.5, y=-0.5))
    assert told == [(1, 0.25, -0.5, False), (1, 0.5, -0.5, True), (1, 0.5, -0.5, False)]
    planes.mark((0.5, -0.5))
    rings = figure.renderers[-1].data_source
    assert (rings.data["x"], rings.data["y"]) == ([0.5], [-0.5])


def _result(axis: Any, loss: Any) -> ProbeResult:
    arrays = {
        "axis": axis,
        "loss": loss,
        "accuracy": np.zeros_like(loss),
        "directions": np.eye(2),
        "marks": np.zeros((1, 3)),
    }
    scalars = {"direction_length_1": 1.0, "direction_length_2": 1.0}
    return ProbeResult(scalars, arrays, "slice", {"marks": ["trained"]}, config={"directions": "random"})
