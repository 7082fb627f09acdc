"""The explorer in a real browser, on a store made by a real run that somebody hostile then wrote to."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from support.browsing import FIGURE, link, query, until

from qlab.tracking import frames, names
from qlab.tracking.store import Store

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")


def picture(page: Any) -> str:
    """A digest of what the first figure looks like; taken again if it is redrawn meanwhile."""
    from playwright.sync_api import Error

    end = time.monotonic() + 60.0
    while True:
        try:
            return hashlib.sha256(page.locator(FIGURE).first.screenshot(timeout=10_000)).hexdigest()
        except Error:
            if time.monotonic() > end:
                raise


def settled(page: Any) -> str:
    """The digest of the first figure once it does not change any more."""
    last = ""
    while (now := picture(page)) != last:
        last = now
        time.sleep(0.4)
    return last


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("Runs", ".tabulator-row"),
        ("Resilience", FIGURE),
        ("Unlearning", ".tabulator-row"),
        ("Landscape", FIGURE),
        ("Curvature", FIGURE),
        ("Data and circuit", FIGURE),
    ],
)
def test_each_page_opens(visitor: Any, address: str, name: str, seen: str) -> None:
    page = visitor.open(link(address))
    page.get_by_role("button", name=name, exact=True).click()
    page.locator(seen).first.wait_for()
    until(lambda: query(page).get("page") == name)
    assert visitor.errors == []


def test_the_table_of_runs_selects_for_every_page(visitor: Any, address: str, store: Store) -> None:
    page = visitor.open(link(address))
    page.locator(".tabulator-row").first.wait_for()
    page.locator(".tabulator-row input[type=checkbox]").nth(2).click()
    until(lambda: len(json.loads(query(page).get("runs", "[]"))) == 1)
    (run_id,) = json.loads(query(page)["runs"])
    page.get_by_role("button", name="Show run").click()
    run = store.get_run(run_id)
    page.get_by_text(run.info.run_name).first.wait_for()
    for title in ("Configuration", "Metrics", "Artifacts", "Lineage", "Tags"):
        page.get_by_role("tab", name=title).wait_for()
    href = page.get_by_text("open in the MLflow UI").get_attribute("href")
    assert href.endswith(f"#/experiments/{run.info.experiment_id}/runs/{run_id}?workflowType=machine_learning")


def test_an_mlflow_filter_narrows_the_runs(visitor: Any, address: str) -> None:
    page = visitor.open(link(address, where="params.`model.type` = 'MLP' and tags.`qlab.kind` = 'trial'"))
    page.get_by_text("6 runs, ").wait_for()
    page = visitor.open(link(address, where="what is this"))
    page.get_by_text("MLflow does not accept the filter").wait_for()


def test_grouping_changes_the_curves(visitor: Any, address: str) -> None:
    page = visitor.open(link(address, page="Resilience"))
    page.locator(".tabulator-row").first.wait_for()
    assert page.locator(".tabulator-row").count() == 6  # two models at three ratios, the clean twins among them
    settled(page)
    page.get_by_role("combobox", name="Group by").click()
    page.get_by_text("model.type", exact=True).click()
    page.mouse.click(20, 700)  # closes the list
    until(lambda: json.loads(query(page)["group_by"]) == ["model.type"])
    page.locator(".tabulator-row").first.wait_for()
    before = settled(page)
    page.get_by_label("Every run").click()
    until(lambda: query(page)["traces"] == "true")
    until(lambda: settled(page) != before)


def test_clicking_a_point_shows_its_training(visitor: Any, address: str, store: Store) -> None:
    page = visitor.open(link(address, page="Resilience"))
    figure = page.locator(FIGURE).first
    figure.wait_for()
    settled(page)
    box = figure.bounding_box()
    # Where the points are depends on the training: somewhere on the line above the middle ratio.
    for part in range(10, 75):
        page.mouse.click(box["x"] + 0.53 * box["width"], box["y"] + box["height"] * part / 100)
        page.wait_for_timeout(40)
        if json.loads(query(page).get("runs", "[]")):
            break
    until(lambda: len(json.loads(query(page)["runs"])) == 2)  # both seeds of the point
    page.get_by_text("Training of 2 selected trials").wait_for()
    frame = frames.trials(store, [store.experiment_id("small")]).set_index("run_id")
    chosen = frame.loc[json.loads(query(page)["runs"])]
    assert set(chosen["corruption.ratio"]) == {0.25}
    assert chosen["model.type"].nunique() == 1


def test_a_row_of_the_table_shows_the_training_too(visitor: Any, address: str) -> None:
    page = visitor.open(link(address, page="Resilience"))
    row = page.locator(".tabulator-row").first
    row.wait_for()
    settled(page)
    # The table draws its rows again when it comes into view: what is pressed before and let go after that is no click.
    row.scroll_into_view_if_needed()
    page.wait_for_timeout(1000)
    row.click()
    page.get_by_text("Training of 2 selected trials").wait_for()
    until(lambda: page.locator(FIGURE).count() == 4)


def test_dragging_the_span_redraws_the_slice(visitor: Any, address: str) -> None:
    page = visitor.open(link(address, page="Landscape", resolution=11))
    page.locator(FIGURE).first.wait_for()
    before = settled(page)
    slider = page.get_by_role("slider").first
    slider.focus()
    for _ in range(4):
        slider.press("ArrowRight")
    until(lambda: float(query(page)["span"]) == pytest.approx(1.2))
    until(lambda: picture(page) != before)
    assert visitor.errors == []


MADE = """[...Bokeh.documents[0]._all_models.values()].filter(m => m.type == "Figure").map(m => m.id).sort()"""
CELLS = """[...Bokeh.documents[0]._all_models.values()]
  .filter(m => m.type == "GlyphRenderer" && m.glyph.type == "Image").map(m => m.data_source.data.loss[0].length)"""


def test_a_slice_is_alive_while_the_slider_is_dragged(visitor: Any, address: str) -> None:
    page = visitor.open(link(address, page="Landscape", resolution=51, dimensions=2))
    page.locator(FIGURE).first.wait_for()
    until(lambda: set(page.evaluate(CELLS)) == {51 * 51})
    made = page.evaluate(MADE)
    slider = page.get_by_role("slider").first
    slider.scroll_into_view_if_needed()
    rail = slider.locator("xpath=../..").bounding_box()
    at = rail["y"] + rail["height"] / 2
    page.mouse.move(rail["x"] + rail["width"] * 0.3, at)
    page.mouse.down()
    seen = set()
    for place in range(30, 80):  # the hand moves on until a coarse picture has been seen twice
        page.mouse.move(rail["x"] + rail["width"] * place / 100, at)
        page.wait_for_timeout(60)
        if set(page.evaluate(CELLS)) == {21 * 21}:
            seen.add(query(page)["span"])
        if len(seen) > 1:
            break
    assert len(seen) > 1
    page.mouse.up()
    until(lambda: set(page.evaluate(CELLS)) == {51 * 51})
    assert page.evaluate(MADE) == made  # new numbers, no new pictures
    assert visitor.errors == []


def test_clicking_a_slice_cuts_it_and_a_line_joins_two_checkpoints(visitor: Any, address: str) -> None:
    page = visitor.open(link(address, page="Landscape", resolution=11))
    figures = page.locator(FIGURE)
    until(lambda: figures.count() == 4)
    settled(page)
    box = figures.first.bounding_box()
    page.mouse.click(box["x"] + 0.4 * box["width"], box["y"] + 0.4 * box["height"])
    until(lambda: figures.count() == 7)  # two cuts, and what the model decides there
    assert len(json.loads(query(page)["cut"])) == 2
    page.get_by_role("button", name="Line between the first two").click()
    until(lambda: figures.count() == 9)


def test_a_link_restores_the_view(visitor: Any, address: str) -> None:
    fields = {"page": "Landscape", "samples": "validation", "directions": "random", "span": 0.5, "resolution": 21}
    page = visitor.open(link(address, **fields))
    page.locator(FIGURE).first.wait_for()
    until(lambda: "row" in query(page))
    found = query(page)
    assert {name: found[name] for name in fields} == {name: str(value) for name, value in fields.items()}
    assert page.get_by_text("Span: 0.5").is_visible()
    assert "random direction 1" in page.locator("body").inner_text() or page.locator(FIGURE).count() == 4


def test_an_address_that_makes_no_sense_is_said_and_the_page_lives(visitor: Any, address: str) -> None:
    page = visitor.open(link(address, page="Resilience", bogus="1", span="wide", resolution=100000))
    page.get_by_text("Not understood in the address").wait_for()
    page.locator(FIGURE).first.wait_for()
    page = visitor.open(link(address, page="Nowhere"))
    page.get_by_text('There is no page "Nowhere"').wait_for()
    page.get_by_role("button", name="Open small").wait_for()


def test_a_card_opens_its_story_which_an_address_restores(visitor: Any, address: str) -> None:
    page = visitor.open(address)
    page.get_by_role("button", name="Open small").click()
    page.get_by_role("button", name="All experiments").wait_for()
    page.get_by_role("heading", name="Groups").wait_for()
    until(lambda: query(page).get("story") == "true")
    again = visitor.open(link(address, page="Findings", story=True))
    again.get_by_role("button", name="All experiments").click()
    again.get_by_role("button", name="Open small").wait_for()
    assert visitor.errors == []


def test_a_sample_of_the_map_shows_itself_and_what_models_say(visitor: Any, address: str) -> None:
    page = visitor.open(link(address, page="Data and circuit", row=3))
    page.get_by_text("probability of class 1").wait_for()
    page.get_by_text("delta").first.wait_for()
    assert page.locator(".tabulator-row").count() == 2  # both models
    page.get_by_alt_text("circuit with its light cone").first.wait_for()


def test_files_of_a_figure_and_of_a_page(visitor: Any, address: str, tmp_path: Path) -> None:
    page = visitor.open(link(address, page="Resilience"))
    page.locator(FIGURE).first.wait_for()
    starts = {"PDF, one column": b"%PDF", "SVG, two columns": b"<?xml", "CSV": b"model,corruption,ratio"}
    menu = page.get_by_role("button", name="Copy as").first
    for form, start in starts.items():
        menu.focus()
        menu.press("Enter")
        with page.expect_download() as waiting:
            page.get_by_role("menuitem", name=form).press("Enter")
        content = Path(waiting.value.path()).read_bytes()
        assert content.startswith(start), form
    with page.expect_download() as waiting:
        page.get_by_role("button", name="This page as HTML").click()
    alone = tmp_path / "page.html"
    alone.write_bytes(Path(waiting.value.path()).read_bytes())
    visitor.asked.clear()
    page.goto(alone.as_uri())
    page.locator(FIGURE).first.wait_for()
    assert [url for url in visitor.asked if not url.startswith(("file:", "data:", "blob:"))] == []


def test_names_are_shown_as_text_and_not_obeyed(visitor: Any, address: str, hostile: str) -> None:
    for name in ("Runs", "Resilience", "Run"):
        page = visitor.open(f"{address}?{urlencode({'experiment': hostile, 'page': name})}")
        page.get_by_text(hostile).first.wait_for()
        if name == "Resilience":
            box = page.locator(FIGURE).first.bounding_box()
            for step in range(30):
                page.mouse.move(box["x"] + box["width"] * (step + 0.5) / 30, box["y"] + box["height"] * 0.45)
        assert page.evaluate("window.obeyed") is None
        assert page.locator('img[src="x"]').count() == 0


def test_what_was_let_in_would_not_run(visitor: Any, address: str) -> None:
    page = visitor.open(link(address))
    page.evaluate("""() => {
      document.body.insertAdjacentHTML("beforeend", `
        <img src=x onerror="window.obeyed=1"><a href="javascript:window.obeyed=1">x</a>
        <iframe srcdoc="<script>top.obeyed=1</script>"></iframe><img src="http://canary.invalid/x">`);
      const script = document.createElement("script");
      script.text = "window.obeyed = 1";
      document.body.append(script);
      document.querySelector("a[href^=javascript]").click();
    }""")
    until(lambda: len(visitor.errors) >= 4)
    assert page.evaluate("window.obeyed") is None


def test_the_page_asks_nobody_else(visitor: Any, address: str) -> None:
    page = visitor.open(link(address, page="Resilience"))
    page.locator(FIGURE).first.wait_for()
    here = address.removesuffix("/explorer")
    assert visitor.asked
    asked = [url for url in visitor.asked if not url.startswith((here, here.replace("http", "ws"), "data:", "blob:"))]
    assert asked == []


def test_a_run_arrives_while_it_trains(visitor: Any, address: str, store: Store, hostile: str) -> None:
    page = visitor.open(f"{address}?{urlencode({'experiment': hostile, 'page': 'Runs'})}")
    page.locator(".tabulator-row").first.wait_for()
    before = page.locator(".tabulator-row").count()
    tags = {names.KIND: names.TRIAL, names.TRIAL_KEY: "y"}
    params = {"model.type": "Newcomer", "corruption.type": "LabelFlip", "corruption.ratio": "0.0", "task.type": "XXZ"}
    run_id = store.create_run(store.experiment_id(hostile), "new", params=params, tags=tags)
    page.get_by_text("new", exact=True).first.wait_for()
    assert page.locator(".tabulator-row").count() == before + 1
    page.get_by_text("1 interrupted").wait_for()  # no worker has it
    store.finish(run_id)
    page.get_by_text("1 interrupted").wait_for(state="detached")


def test_a_deleted_artifact_is_said(visitor: Any, address: str, store: Store) -> None:
    frame = frames.runs_of_kind(store, [store.experiment_id("small")], names.ORACLE)
    run_id = str(frame["run_id"].iloc[-1])  # no other test has had it read
    checkpoint = Path(store.artifact_place(run_id)) / names.CHECKPOINT
    content = checkpoint.read_bytes()
    checkpoint.unlink()
    try:
        page = visitor.open(link(address, page="Landscape", points=[run_id], resolution=11))
        page.get_by_text("has no artifact").wait_for()
        checkpoint.write_bytes(content[: len(content) // 2])
        page = visitor.open(link(address, page="Landscape", points=[run_id], resolution=11))
        page.get_by_text("is not a checkpoint").wait_for()
    finally:
        checkpoint.write_bytes(content)


def test_a_store_without_runs_says_what_to_do(visitor: Any, tmp_path: Path, serve: Any) -> None:
    store = Store(f"sqlite:///{tmp_path}/empty.db")
    with serve(store.uri, tmp_path) as found:
        page = visitor.open(found)
        page.get_by_text("qlab run xxz_flip").wait_for()


def test_slices_are_drawn_as_surfaces_on_demand(visitor: Any, address: str) -> None:
    page = visitor.open(link(address, page="Landscape", surface=True, resolution=11))
    page.locator("img").first.wait_for()
    assert page.locator(FIGURE).count() == 0
    assert page.get_by_text("Error").count() == 0
    assert visitor.errors == []
