"""`qlab ui` on a real store, in a real browser: the prepared view compares runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from support.commands import serving

from qlab.tracking.store import Store


@pytest.fixture(scope="module")
def printed(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """What `qlab ui` prints, once it answers."""
    with serving(tmp_path_factory.mktemp("ui"), "ui", "--tracking-uri", store.uri) as server:
        yield server.printed


def page_of(browser: Any, address: str) -> Any:
    page = browser.new_page(viewport={"width": 1500, "height": 950})
    page.set_default_timeout(120_000)
    page.goto(address, wait_until="domcontentloaded")
    return page


def test_the_prepared_view_has_rows_means_and_drawn_charts(browser: Any, printed: str) -> None:
    address = re.search(r"^compare small: (http\S+)$", printed, re.MULTILINE)
    assert address is not None, printed
    page = page_of(browser, address[1])
    try:
        page.get_by_text("qlab: trials").first.wait_for()
        page.get_by_text(re.compile(r"^Group: model\.type")).first.wait_for()
        page.get_by_text(re.compile("^MLP LabelFlip 0.25 seed")).first.wait_for()  # a row of its own below its group
        page.locator(".js-plotly-plot .scatterlayer .trace path.js-line").first.wait_for(state="attached")
        page.locator(".js-plotly-plot .barlayer path").first.wait_for(state="attached")
        assert page.get_by_text("Evaluation runs").count() == 0
    finally:
        page.close()


def test_a_view_that_the_ui_does_not_know_opens_the_plain_page(browser: Any, printed: str, store: Store) -> None:
    """As if a later MLflow read another tag."""
    address = re.search(r"^compare small: (http\S+)$", printed, re.MULTILINE)
    assert address is not None
    page = page_of(browser, address[1].replace("viewStateShareKey=qlab", "viewStateShareKey=other"))
    try:
        page.get_by_role("link", name="small").first.wait_for()
    finally:
        page.close()
