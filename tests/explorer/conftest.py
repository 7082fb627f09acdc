"""An event loop for pages without a browser, and pages on a store without a thread."""

from __future__ import annotations

import queue
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.runs import run_text

from qlab.explorer.loaded import Loader
from qlab.explorer.page import Context, Page
from qlab.explorer.reader import Reader
from qlab.explorer.state import State
from qlab.explorer.work import Meanwhile
from qlab.tracking.store import Store


class Loop:
    """An event loop of our own: functions are called when it is told to."""

    def __init__(self) -> None:
        self.calls: queue.Queue[Callable[[], None]] = queue.Queue()

    def run(self, count: int) -> None:
        for _ in range(count):
            self.calls.get(timeout=30)()


@pytest.fixture
def loop() -> Loop:
    return Loop()


class Now:
    """Work that is done at once."""

    def follow(
        self,
        name: str,
        compute: Callable[[Meanwhile[Any]], Any],
        show: Callable[[Any], None],
        failed: Callable[[str], None],
    ) -> None:
        self.submit(name, lambda: compute(Meanwhile(lambda: False, show)), show, failed)

    def submit(
        self, name: str, compute: Callable[[], Any], show: Callable[[Any], None], failed: Callable[[str], None]
    ) -> None:
        try:
            show(compute())
        except Exception as error:
            failed(str(error))


@pytest.fixture
def at_once() -> Now:
    """For pages on stores that tests have made themselves."""
    return Now()


@pytest.fixture
def opened(tmp_path: Path, write_empty_store: Callable[[Path], str]) -> Callable[..., Any]:
    """Runs the text of an experiment file in the test's folder and opens a page on it, which is not updated yet."""

    def made(kind: type[Page], text: str, **assignments: Any) -> Page:
        uri = write_empty_store(tmp_path / "mlruns" / "mlflow.db")
        run_text(Store(uri), tmp_path, text, **assignments)
        reader = Reader(uri)
        state = State(experiment=tomllib.loads(text)["name"])
        found = kind(Context(state, reader, Loader(reader), Now()))  # type: ignore[arg-type]
        assert found.view is not None
        return found

    return made
