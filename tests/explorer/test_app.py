"""The app without a browser: what the store has new reaches every visitor."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from qlab.explorer.app import Explorer
from qlab.explorer.loaded import Loader
from qlab.explorer.reader import Reader
from qlab.tracking import names
from qlab.tracking.store import Store


@pytest.fixture
def store(tmp_path: Path, write_empty_store: Callable[[Path], str]) -> Store:
    found = Store(write_empty_store(tmp_path / "runs.db"))
    found.create_run(found.experiment_id("live"), "first", tags={names.KIND: names.TRIAL, names.TRIAL_KEY: "a"})
    return found


@pytest.fixture
def visitors(store: Store, loop: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Explorer]]:
    """Two visitors of one server, who look at the runs."""
    reader = Reader(store.uri)
    found = [Explorer(reader, Loader(reader), loop.calls.put) for _ in range(2)]
    for visitor in found:
        drawn: list[int] = []
        monkeypatch.setattr(visitor.page, "update", lambda drawn=drawn: drawn.append(1))
        monkeypatch.setattr(visitor, "drawn", drawn, raising=False)
        monkeypatch.setattr(visitor._filtered, "count", lambda: None)  # a job of its own
    yield found
    for visitor in found:
        visitor.work.close()


def refresh(visitors: list[Explorer], loop: Any) -> list[int]:
    """How often each has drawn so far, after a look at the store."""
    for visitor in visitors:
        visitor.refresh()
        loop.run(1)
    return [len(visitor.drawn) for visitor in visitors]  # type: ignore[attr-defined]


def test_what_is_new_reaches_every_visitor_once(visitors: list[Explorer], loop: Any, store: Store) -> None:
    assert refresh(visitors, loop) == [1, 1]
    assert refresh(visitors, loop) == [1, 1]
    store.create_run(store.experiment_id("live"), "second", tags={names.KIND: names.TRIAL, names.TRIAL_KEY: "b"})
    assert refresh(visitors, loop) == [2, 2]
    assert refresh(visitors, loop) == [2, 2]


def test_a_slow_store_is_not_asked_again_before_it_answers(
    visitors: list[Explorer], loop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = threading.Event()
    asked: list[str] = []
    visitor = visitors[0]
    answer = visitor.reader.refresh

    def slowly(experiment: str) -> int:
        asked.append(experiment)
        assert go.wait(30)
        return answer(experiment)

    monkeypatch.setattr(visitor.reader, "refresh", slowly)
    for _ in range(5):
        visitor.refresh()
    go.set()
    loop.run(1)
    assert asked == ["live"]
    assert len(visitor.drawn) == 1  # type: ignore[attr-defined]
