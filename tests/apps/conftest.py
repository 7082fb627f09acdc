"""A store with a real small study, somebody hostile in it, and the explorer on it."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.commands import serving
from support.experiments import TASK
from support.runs import run_in

from qlab.tracking import frames, names
from qlab.tracking.store import Store

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

HOSTILE = "<img src=x onerror=window.obeyed=1>"

SMALL = f"""
name = "small"
{TASK}
[corruption]
type = "LabelFlip"
ratio = [0.25, 0.5]
[[model]]
type = "MLP"
hidden = [4]
[[model]]
type = "PennyLaneQNN"
depth = 2
[training]
epochs = 4
[[unlearner]]
type = "Finetune"
steps = 3
[[unlearner]]
type = "Scrub"
steps = 3
[[probe]]
type = "HessianProbe"
[[probe]]
type = "RougheningProbe"
[[probe]]
type = "SliceProbe"
directions = "pca"
resolution = 5
[run]
seeds = 2
"""

TINY = """
name = "tiny"
[task]
type = "XXZ"
length = 4
[corruption]
type = "LabelFlip"
ratio = 0.5
[model]
type = "MLP"
hidden = [4]
[training]
epochs = 2
[run]
seeds = 2
"""


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two real experiments; the second renamed to markup, with markup in names, tags and params of its runs."""
    store = run_in(tmp_path_factory.mktemp("explored"), SMALL, TINY)
    experiment_id = store.experiment_id("tiny")
    first = frames.trials(store, [experiment_id]).iloc[0]
    store.set_tags(first["run_id"], {names.NAME: HOSTILE, names.HEALTH: HOSTILE})
    params = {
        "model.type": HOSTILE,
        "model.depth": HOSTILE,
        "corruption.type": HOSTILE,
        "corruption.ratio": "0.5",
        "task.type": "XXZ",
        "seed": "9",
    }
    tags = {names.KIND: names.TRIAL, names.TRIAL_KEY: "x"}
    run_id = store.create_run(experiment_id, HOSTILE, params=params, tags=tags)
    store.log(run_id, metrics=[(metric, 0.5, 1, 1) for metric in ("train_accuracy", "validation_accuracy")])
    store.finish(run_id)
    store.client.rename_experiment(experiment_id, HOSTILE)
    return store


@contextlib.contextmanager
def explorer(uri: str, folder: Path, *options: str) -> Iterator[str]:
    """Serves a store; the address of the page, as it is printed."""
    with serving(folder, "explore", "--tracking-uri", uri, *options) as server:
        yield server.address


@pytest.fixture(scope="session")
def hostile() -> str:
    """Markup that sets ``window.obeyed`` if anything renders it."""
    return HOSTILE


@pytest.fixture(scope="session")
def serve() -> Any:
    """Serves a store, see :func:`explorer`."""
    return explorer


@pytest.fixture(scope="session")
def address(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where `qlab explore` serves the store."""
    with explorer(store.uri, tmp_path_factory.mktemp("explorer")) as found:
        yield found


class Visitor:
    """A page in a real browser, the errors it met and the addresses it asked for."""

    def __init__(self, context: Any) -> None:
        self.page = context.new_page()
        self.page.set_default_timeout(120_000)
        self.errors: list[str] = []
        self.asked: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._said)
        self.page.on("request", lambda request: self.asked.append(request.url))

    def _said(self, message: Any) -> None:
        if "Content Security Policy" in message.text:
            self.errors.append(message.text)

    def open(self, address: str) -> Any:
        """Opens an address and waits until the page is alive."""
        self.page.goto(address, wait_until="domcontentloaded")
        self.page.get_by_role("button", name="Resilience", exact=True).wait_for()
        return self.page


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Debian's Chromium, headless."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium here")
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    arguments += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    with playwright.sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def context(browser: Any) -> Any:
    """What visitors share: scripts that one has loaded are not fetched and compiled again for the next."""
    return browser.new_context(viewport={"width": 1280, "height": 720})


@pytest.fixture
def visitor(context: Any) -> Iterator[Visitor]:
    """A fresh visitor, in a tab of its own."""
    found = Visitor(context)
    yield found
    found.page.close()
    context.clear_cookies()
