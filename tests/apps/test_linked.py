"""What is selected on one page is highlighted on the others, in a real browser; runs that still train are there too."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.browsing import FIGURE, link, query, until
from support.linked_runs import RATES, accuracy, write

from qlab.tracking.lock import experiment_lock
from qlab.tracking.store import Store

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")

RINGS = """n => [...Bokeh.documents[0]._all_models.values()].filter(m => m.type == "Figure").map(
  m => m.renderers.filter(r => r.glyph && r.glyph.type == "Scatter" && r.glyph.size.value == 17)
        .map(r => [...r.data_source.data.x].map((x, i) => [x, r.data_source.data.y[i]]))[0] || [])[n]"""
HOLLOW = """() => [...Bokeh.documents[0]._all_models.values()].filter(m => m.type == "ColumnDataSource" && m.data.said)
  .map(m => [...m.data.x].map((x, i) => [x, m.data.y[i], m.data.said[i]]))[0]"""
AXES = """() => [...Bokeh.documents[0]._all_models.values()].filter(m => m.type == "LogScale").length"""
PLACE = """([n, x, y]) => {
  const walk = function*(view) { yield view; for (const child of view.child_views || []) yield* walk(child) }
  const model = [...Bokeh.documents[0]._all_models.values()].filter(m => m.type == "Figure")[n]
  for (const root of Bokeh.index.roots) for (const view of walk(root)) if (view.model === model) {
    const box = view.el.getBoundingClientRect()
    return [box.x + view.frame.x_scale.compute(x), box.y + view.frame.y_scale.compute(y)]
  }
}"""

Ids = dict[tuple[str, float, float, int], str]


@pytest.fixture(scope="module")
def rates(
    serve: Any, tmp_path_factory: pytest.TempPathFactory, write_empty_store: Callable[[Path], str]
) -> Iterator[Any]:
    """Where a store is served with runs over learning rates and ratios, six of which still train; and their ids."""
    folder = tmp_path_factory.mktemp("linked")
    store = Store(write_empty_store(folder / "runs.db"))
    ids = write(store)
    with experiment_lock(store, store.experiment_id("rates")) as lock:
        lock.acquire()
        with serve(store.uri, folder) as found:
            yield found, ids


def test_a_point_that_is_clicked_is_ringed_and_its_training_stands_beside_it(
    visitor: Any, rates: tuple[str, Ids]
) -> None:
    address, ids = rates
    page = visitor.open(link(address, experiment="rates", page="Resilience"))
    until(lambda: page.locator(FIGURE).count() == 2)
    until(lambda: len(page.evaluate(HOLLOW) or ()) == 6)
    assert [
        0.4,
        pytest.approx(accuracy("MLP", 0.001, 0.4, 2) * 0.75),
        "seed 2, running, epoch 10 of 20",
    ] in page.evaluate(HOLLOW)
    mean = accuracy("MLP", 0.001, 0.2, 1)
    chosen = [ids["MLP", 0.001, 0.2, seed] for seed in (0, 1, 2)]

    def clicked() -> bool:  # again where the page has moved meanwhile
        page.mouse.click(*page.evaluate(PLACE, [0, 0.2, mean]))
        page.wait_for_timeout(1500)
        return sorted(json.loads(query(page).get("runs", "[]"))) == sorted(chosen)

    until(clicked)
    until(lambda: page.evaluate(RINGS, 0) == [[0.2, pytest.approx(mean)]])
    page.get_by_text("Training of 3 selected trials").wait_for()
    until(lambda: page.locator(FIGURE).count() == 4)
    curve, training = page.locator(FIGURE).nth(0).bounding_box(), page.locator(FIGURE).nth(2).bounding_box()
    assert training["x"] > curve["x"] + curve["width"]  # beside it
    assert training["y"] < 720  # in sight
    assert visitor.errors == []


def test_what_was_selected_on_another_page_is_ringed_over_any_axis(visitor: Any, rates: tuple[str, Ids]) -> None:
    address, ids = rates
    run = ids["PennyLaneQNN", 0.1, 0.2, 0]
    page = visitor.open(link(address, experiment="rates", page="Resilience", across="learning_rate", runs=[run]))
    until(lambda: page.locator(FIGURE).count() == 8)  # three ratios, two metrics, and the training
    until(lambda: page.evaluate(RINGS, 2) == [[0.1, pytest.approx(accuracy("PennyLaneQNN", 0.1, 0.2, 1))]])
    assert page.evaluate(RINGS, 0) == []
    assert page.evaluate(AXES) >= 6
    assert len(RATES) == 3
    assert page.get_by_role("combobox", name="Across").inner_text() == "training.learning_rate"
    page.get_by_role("button", name="Clear selection").click()
    until(lambda: page.evaluate(RINGS, 2) == [])
    until(lambda: page.locator(FIGURE).count() == 6)
    page = visitor.open(link(address, experiment="rates", page="Resilience", across="model.type"))
    page.get_by_text("across: model.type has the value MLP").first.wait_for()
    assert visitor.errors == []
