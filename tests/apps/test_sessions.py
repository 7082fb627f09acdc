"""A visitor's session ends with the page: nothing of it stays in the server's memory."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import panel as pn
import pytest
from bokeh.client import pull_session
from panel.io.server import get_server
from panel.io.state import set_curdoc
from tornado.ioloop import IOLoop

from qlab.explorer import app
from qlab.explorer.app import Explorer
from qlab.explorer.state import PAGES
from qlab.resources import folder
from qlab.tracking.store import Store

pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning"),
    # What libraries say of each other; as an error it would be logged, and the log would hold on to the page.
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning"),
]


def until(condition: Callable[[], object], seconds: float = 300.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def drawn(explorer: Explorer | None, title: str) -> bool:
    """Whether a page shows what the store has."""
    assert explorer is not None
    page = explorer.pages[title]
    if title in ("Findings", "Runs", "Unlearning", "Compare", "Run"):  # without a figure, or a selection for one
        return explorer.page is page and not page.stale and not explorer.work.busy
    return bool(page.figures())


class Served:
    """The explorer's server in a thread of this process."""

    def __init__(self, file: Path) -> None:
        ready = threading.Event()

        def run() -> None:
            asyncio.set_event_loop(asyncio.new_event_loop())
            self.server = get_server(
                {"explorer": file},
                port=0,
                check_unused_sessions_milliseconds=100,
                unused_session_lifetime_milliseconds=1,
            )
            self.loop = IOLoop.current()
            self.server.start()
            ready.set()
            self.loop.start()

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()
        assert ready.wait(120)

    def visit(self, made: list[weakref.ref[Explorer]], *pages: str) -> weakref.ref[Any]:
        """Opens pages, one after the other, until each has drawn; the session's document, when it is gone."""
        # Only the ratio is swept there: up the heat map is a label, without which it says that it needs one.
        arguments = {"experiment": "small", "page": pages[0], "resolution": "11", "map_y": "model"}
        client = pull_session(url=f"http://localhost:{self.server.port}/explorer", arguments=arguments)
        (session,) = self.server.get_sessions("/explorer")
        document = session.document

        def load() -> None:
            with set_curdoc(document):
                pn.state._on_load(document)

        def go(page: str) -> None:
            made[-1]().state.page = page  # type: ignore[union-attr]

        self.loop.add_callback(document.add_next_tick_callback, load)
        for page in pages:
            if page != pages[0]:
                self.loop.add_callback(document.add_next_tick_callback, lambda page=page: go(page))
            until(lambda page=page: drawn(made[-1](), page))
        client.close()
        until(lambda: not self.server.get_sessions("/explorer"))
        return weakref.ref(document)

    def stop(self) -> None:
        def end() -> None:
            self.server.stop()
            self.loop.stop()

        self.loop.add_callback(end)
        self.thread.join(30)


@pytest.fixture
def served(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.uri)
    found = Served(folder("apps") / "explorer.py")
    yield found
    found.stop()


def test_a_closed_session_leaves_nothing(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[weakref.ref[Explorer]] = []
    begin = app.Explorer.__init__

    def spied(self: Explorer, *args: Any) -> None:
        begin(self, *args)
        made.append(weakref.ref(self))

    monkeypatch.setattr(app.Explorer, "__init__", spied)
    one = ("Landscape", "Resilience")
    documents = []
    for pages in (one, PAGES, one, ("Runs",)):
        # In a thread: an event loop of the browser's tools may be running in this one.
        with ThreadPoolExecutor(1) as thread:
            documents.append(thread.submit(served.visit, made, *pages).result())

    def gone() -> bool:
        gc.collect()
        # A library holds on to the first page, and a thread's context to a document that it worked for, which is empty
        # by then: one of each, however many visitors come.
        kept = [held for held in documents if held() is not None]
        return not any(held() is not None for held in made[1:3]) and len(kept) <= 2

    until(gone, 60)
