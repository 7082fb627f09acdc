"""Back and forward in a real browser, a server that dies, and links to what is gone."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from support import browsing
from support.browsing import FIGURE, link, query

from qlab.tracking import names
from qlab.tracking.store import Store

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")

until = functools.partial(browsing.until, seconds=120.0)


def at(seen: Any, **fields: str) -> Callable[[], bool]:
    """Whether the address says so."""
    return lambda: {name: query(seen).get(name) for name in fields} == fields


def process(port: int | None) -> int:
    """The process that serves at a port of this machine."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (folder / "cmdline").read_bytes().endswith(f"--port\0{port}\0".encode()):
                return int(folder.name)
    raise AssertionError(f"nobody serves at {port}")


def test_back_and_forward_restore_what_was_seen_and_back_leaves(visitor: Any, address: str) -> None:
    page = visitor.page
    page.goto("about:blank")
    visitor.open(link(address, page="Resilience"))
    page.locator(FIGURE).first.wait_for()
    until(lambda: "row" in query(page))
    start = page.evaluate("history.length")
    page.get_by_role("button", name="Landscape", exact=True).click()
    until(at(page, page="Landscape"))
    page.get_by_text("Span: 1").wait_for()
    page.locator(FIGURE).first.wait_for()
    slider = page.get_by_role("slider").first
    slider.focus()
    for _ in range(4):
        slider.press("ArrowRight")
    until(lambda: float(query(page)["span"]) > 1.15)
    assert page.evaluate("history.length") == start + 2  # the page, and the slider once
    page.go_back(wait_until="commit")
    until(at(page, page="Landscape", span="1.0"))
    page.get_by_text("Span: 1").wait_for()
    page.go_back(wait_until="commit")
    until(at(page, page="Resilience"))
    page.get_by_text("Every run").first.wait_for()
    page.go_forward(wait_until="commit")
    until(at(page, page="Landscape", span="1.0"))
    page.get_by_text("Line between the first two").wait_for()
    time.sleep(1.0)  # nothing is written that would cut off the way forward
    page.go_forward(wait_until="commit")
    until(lambda: float(query(page)["span"]) > 1.15)
    for _ in range(3):
        page.go_back(wait_until="commit")
        time.sleep(0.5)
    until(lambda: page.url == "about:blank")
    assert visitor.errors == []


def test_a_server_that_dies_is_said_and_found_again(visitor: Any, store: Store, tmp_path: Path, serve: Any) -> None:
    with serve(store.uri, tmp_path) as found:
        page = visitor.open(link(found, page="Resilience"))
        page.locator(FIGURE).first.wait_for()
        page.get_by_role("button", name="Curvature", exact=True).click()
        until(at(page, page="Curvature"))
        page.locator(FIGURE).first.wait_for()
    alert = page.get_by_role("alert")
    alert.get_by_text("Connection lost").wait_for()
    assert page.locator(FIGURE).first.is_visible()
    box, picture = alert.bounding_box(), page.locator(FIGURE).first.bounding_box()
    assert box["y"] + box["height"] <= picture["y"]
    with serve(store.uri, tmp_path, "--port", str(urlsplit(found).port)):
        alert.wait_for(state="detached")
        page.locator(FIGURE).first.wait_for()
        assert query(page)["page"] == "Curvature"
        assert visitor.errors == []


def test_a_server_that_was_only_busy_keeps_the_page(visitor: Any, store: Store, tmp_path: Path, serve: Any) -> None:
    with serve(store.uri, tmp_path) as found:
        page = visitor.open(link(found, page="Resilience"))
        page.locator(FIGURE).first.wait_for()
        page.evaluate("window.kept = 1")
        server = process(urlsplit(found).port)
        os.kill(server, signal.SIGSTOP)
        try:
            page.evaluate("window.dispatchEvent(new Event('online'))")  # asks the server at once
            page.get_by_text("Connection lost").wait_for()
        finally:
            os.kill(server, signal.SIGCONT)
        page.get_by_role("alert").wait_for(state="detached")
        assert page.evaluate("window.kept") == 1
        assert visitor.errors == []


def test_what_is_gone_is_named_and_nothing_else_shown(visitor: Any, address: str, store: Store) -> None:
    page = visitor.open(link(address, experiment="nothing of that name", page="Resilience"))
    page.get_by_text('There is no experiment "nothing of that name"').wait_for()
    page.get_by_text("Choose one on the left").wait_for()
    assert page.locator(FIGURE).count() == 0
    assert query(page)["experiment"] == "nothing of that name"
    page = visitor.open(link(address, page="Landscape", points=["0123456789abcdef"]))
    page.get_by_text("0123456789abcdef: no finished run").wait_for()
    page.get_by_text(": run 0123456789abcdef").wait_for()
    assert page.locator(FIGURE).count() == 0
    page = visitor.open(link(address, page="Nowhere"))
    page.get_by_text('There is no page "Nowhere"').wait_for()


def test_an_experiment_that_is_renamed_or_emptied_while_looked_at(visitor: Any, address: str, store: Store) -> None:
    number = store.experiment_id("passing")
    tags = {names.KIND: names.TRIAL, names.TRIAL_KEY: "x"}
    run = store.create_run(number, "only", params={"model.type": "MLP"}, tags=tags)
    store.finish(run)
    page = visitor.open(link(address, experiment="passing", page="Runs"))
    page.get_by_text("1 run, ").wait_for()
    store.client.rename_experiment(number, "renamed")
    page.get_by_text('There is no experiment "passing"').wait_for()
    store.client.rename_experiment(number, "passing")
    page.get_by_text('There is no experiment "passing"').wait_for(state="hidden")
    page.get_by_text("1 run, ").wait_for()
    store.client.delete_experiment(number)
    page.get_by_text('There is no experiment "passing"').wait_for()
