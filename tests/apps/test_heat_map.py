"""The explorer's heat map in a real browser: axes, control and contours, all of it in the address."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.browsing import FIGURE, link, query, until
from support.mapped_runs import RATIOS, STRENGTHS, accuracy

from qlab.tracking import names
from qlab.tracking.store import Store

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")


@pytest.fixture(scope="module")
def mapped(serve: Any, tmp_path_factory: pytest.TempPathFactory, write_empty_store: Callable[[Path], str]) -> Any:
    """Where a store is served with runs over ratio and strength of two channels, one of them markup."""
    folder = tmp_path_factory.mktemp("mapped")
    store = Store(write_empty_store(folder / "runs.db"))
    experiment = store.experiment_id("noisy")
    for number, (channel, ratio, strength) in enumerate(
        (channel, ratio, strength)
        for channel in ("BitFlip", "<b>bold</b>")
        for ratio in RATIOS
        for strength in STRENGTHS
    ):
        params = {
            "task.type": "XXZ",
            "corruption.type": "LabelFlip",
            "corruption.ratio": str(ratio),
            "model.type": "PennyLaneQNN",
            "model.noise.1.channel": channel,
            "model.noise.1.p": str(strength),
            "seed": "0",
        }
        tags = {names.KIND: names.TRIAL, names.TRIAL_KEY: str(number), names.HEALTH: "healthy"}
        run = store.create_run(experiment, f"run {number}", params=params, tags=tags)
        store.log(run, metrics=[("validation_accuracy", accuracy(ratio, strength, 0), 1, 1), ("train_loss", 0.5, 1, 1)])
        store.finish(run)
    with serve(store.uri, folder) as found:
        yield found


def at(address: str, **fields: object) -> str:
    """An address of the page."""
    return link(address, experiment="noisy", page="Heat map", **fields)


@pytest.fixture
def page(visitor: Any, mapped: str) -> Iterator[Any]:
    """The page as it opens by itself."""
    found = visitor.open(at(mapped))
    found.set_default_timeout(40_000)
    found.locator(FIGURE).nth(1).wait_for()
    yield found
    assert visitor.errors == []


def test_maps_appear_by_themselves_and_take_a_control(page: Any) -> None:
    assert page.locator(FIGURE).count() == 2  # one for each channel
    assert page.get_by_role("combobox", name="Up").inner_text() == "model.noise.1.p"
    page.get_by_role("combobox", name="Subtract runs with").click()
    page.get_by_text("model.noise.1.p = 0.0", exact=True).click()
    until(lambda: json.loads(query(page)["control"]) == ["model.noise.1.p = 0.0"])
    until(lambda: page.locator(FIGURE).count() == 4)


def test_a_metric_is_chosen_and_stands_in_the_address(page: Any) -> None:
    page.get_by_role("combobox", name="Metric").click()
    page.get_by_text("train_loss", exact=True).click()
    until(lambda: query(page).get("map_metric") == "train_loss")


def test_names_of_pages_stand_below_each_other_beside_the_figures(page: Any) -> None:
    first, last = (page.get_by_role("button", name=name, exact=True).bounding_box() for name in ("Findings", "Run"))
    assert first["x"] == last["x"]
    assert first["y"] + 5 * first["height"] < last["y"]
    assert last["x"] + last["width"] <= page.locator(FIGURE).first.bounding_box()["x"]


def test_the_pointer_is_told_the_counts(page: Any) -> None:
    box = page.locator(FIGURE).first.bounding_box()
    for part in (0.3, 0.35, 0.4, 0.45):
        page.mouse.move(box["x"] + part * box["width"], box["y"] + 0.4 * box["height"])
        page.wait_for_timeout(300)
        if page.get_by_text("1 of 1").count():
            break
    page.get_by_text("error probability p:").first.wait_for()
    page.get_by_text("1 of 1").first.wait_for()


def test_an_address_restores_the_view(visitor: Any, mapped: str) -> None:
    where = at(
        mapped, map_x="model.noise.1.p", map_y="corruption.ratio", contours="0.9", control=["model.noise.1.p = 0"]
    )
    page = visitor.open(where)
    until(lambda: page.locator(FIGURE).count() == 4)
    assert page.get_by_role("combobox", name="Across").inner_text() == "model.noise.1.p"
    assert page.get_by_role("combobox", name="Up").inner_text() == "corruption.ratio"
    assert page.get_by_label("Contours").input_value() == "0.9"
    assert visitor.errors == []


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"map_y": "model.dept"}, 'y: unknown param "model.dept"'),
        ({"map_metric": "acuracy"}, 'metric: unknown metric "acuracy"'),
        ({"map_of": "trails"}, 'map_of: unknown kind "trails"'),
        ({"control": ["nonsense"]}, 'control: got "nonsense", accepts a param and its value'),
        ({"control": ["model.noise.1.p = 7"]}, "control: no run here has model.noise.1.p = 7"),
        ({"contours": "high"}, 'contours: got "high", accepts numbers'),
        ({"map_of": "probes"}, 'No probes in "noisy" yet'),
    ],
)
def test_what_an_address_gets_wrong_is_said(visitor: Any, mapped: str, fields: dict[str, Any], said: str) -> None:
    page = visitor.open(at(mapped, **fields))
    page.get_by_text(said).first.wait_for()
    assert visitor.errors == []
