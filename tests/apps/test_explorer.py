"""The explorer in a real browser, on a store that somebody hostile wrote to."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from qlab.experiment import schema
from qlab.experiment.runner import Runner
from qlab.tracking import frames, names
from qlab.tracking.store import Store

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning"),
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here"),
]

HOSTILE = "<img src=x onerror=window.obeyed=1>"

FILE = """
name = "tiny"
[task]
type = "XXZ"
length = 4
gapless = [-0.7, 0.7, 0.2]
gapped = [1.3, 2.7, 0.2]
validation = [-0.65, 2.65, 0.3]
[corruption]
type = "LabelFlip"
ratio = [0.0, 0.5]
[model]
type = "MLP"
hidden = [4]
[training]
epochs = 2
[run]
seeds = 2
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with a real experiment, then renamed, and a run whose params are markup."""
    folder = tmp_path_factory.mktemp("explored")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        store = Store()
        Runner(store).run(schema.parse(FILE, source="tiny.toml"))
        experiment_id = store.experiment_id("tiny")
    first = frames.trials(store, [experiment_id]).iloc[0]
    store.set_tags(first["run_id"], {names.NAME: HOSTILE, names.HEALTH: HOSTILE})
    params = {
        "model.type": HOSTILE,
        "corruption.type": HOSTILE,
        "corruption.ratio": "0.5",
        "task.type": "XXZ",
        "seed": "9",
    }
    run_id = store.create_run(
        experiment_id, HOSTILE, params=params, tags={names.KIND: names.TRIAL, names.TRIAL_KEY: "x"}
    )
    store.log_metrics(run_id, [(metric, 0.5, 1, 1) for metric in ("train_accuracy", "validation_accuracy")])
    store.finish(run_id)
    store.client.rename_experiment(experiment_id, HOSTILE)
    return store


@pytest.fixture(scope="module")
def address(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where `qlab explore` serves the store."""
    folder = tmp_path_factory.mktemp("explorer")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "qlab.cli", "explore", "--tracking-uri", store.uri, "--port", str(port)],
            cwd=folder,
            env=os.environ.copy(),
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    found = f"http://127.0.0.1:{port}/explorer"
    try:
        for _ in range(300):
            assert process.poll() is None, (folder / "log").read_text()
            try:
                with urllib.request.urlopen(found, timeout=30):
                    break
            except OSError:
                time.sleep(0.2)
        else:
            raise AssertionError((folder / "log").read_text())
        assert found in (folder / "log").read_text().splitlines()[0]
        yield found
    finally:
        process.terminate()
        process.wait(timeout=20)


@pytest.fixture(scope="module")
def visited(address: str) -> Iterator[tuple[Any, list[str], list[str]]]:
    """The page, once the figure is drawn; errors it met; addresses it asked for."""
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    arguments += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    errors: list[str] = []
    asked: list[str] = []
    with playwright.sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=CHROMIUM, args=arguments)
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.set_default_timeout(30_000)
        page.goto(address, wait_until="domcontentloaded")
        page.locator(".bk-Figure").first.wait_for()
        yield page, errors, asked
        browser.close()


def test_the_page_shows_figure_and_table(visited: tuple[Any, list[str], list[str]]) -> None:
    page, errors, _ = visited
    assert page.title() == "qlab explorer"
    assert page.locator(".bk-Figure canvas").count() >= 2
    page.get_by_text("Trials", exact=True).click()
    page.locator(".tabulator-row").first.wait_for()
    assert page.locator(".tabulator-row").count() == 5
    titles = page.locator(".tabulator-col-title").all_text_contents()
    for title in ("model", "corruption", "ratio", "seed", "status", "health", "validation"):
        assert title in titles
    assert errors == []


def test_names_are_shown_as_text_and_not_obeyed(visited: tuple[Any, list[str], list[str]]) -> None:
    page, _, _ = visited
    page.get_by_text("Trials", exact=True).click()
    page.locator(".tabulator-row").first.wait_for()
    assert page.locator("select option").all_text_contents() == [HOSTILE]
    cells = page.locator(".tabulator-cell").all_text_contents()
    # The model and the corruption of one run, the health of another.
    assert cells.count(HOSTILE) == 3
    assert page.locator('img[src="x"]').count() == 0
    assert page.evaluate("window.obeyed") is None


def test_hovering_over_a_point_obeys_nothing(visited: tuple[Any, list[str], list[str]]) -> None:
    page, _, _ = visited
    page.get_by_text("Resilience", exact=True).click()
    figure = page.locator(".bk-Figure").first
    figure.wait_for()
    box = figure.bounding_box()
    for step in range(30):
        page.mouse.move(box["x"] + box["width"] * (step + 0.5) / 30, box["y"] + box["height"] * 0.45)
    assert page.evaluate("window.obeyed") is None
    assert page.locator('img[src="x"]').count() == 0


def test_the_page_asks_nobody_else(visited: tuple[Any, list[str], list[str]], address: str) -> None:
    _, _, asked = visited
    here = address.removesuffix("/explorer")
    assert asked
    assert [url for url in asked if not url.startswith((here, here.replace("http", "ws"), "data:", "blob:"))] == []


def test_a_new_run_appears_by_itself(visited: tuple[Any, list[str], list[str]], store: Store) -> None:
    page, _, _ = visited
    page.get_by_text("Trials", exact=True).click()
    page.locator(".tabulator-row").first.wait_for()
    before = page.locator(".tabulator-row").count()
    tags = {names.KIND: names.TRIAL, names.TRIAL_KEY: "y"}
    params = {"model.type": "Newcomer", "corruption.type": "LabelFlip", "corruption.ratio": "0.0", "task.type": "XXZ"}
    store.create_run(store.experiment_id(HOSTILE), "new", params=params, tags=tags)
    page.get_by_text("Newcomer").first.wait_for()
    assert page.locator(".tabulator-row").count() == before + 1
