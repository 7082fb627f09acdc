"""A store that stays as it is is not read again, one that has changed is; a filter is asked once for the same runs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from qlab.explorer.reader import Reader
from qlab.explorer.run_tables import Stamp
from qlab.tracking import names
from qlab.tracking.store import Store

FILTER = "metrics.loss > 0.5"


def settled(store: Store) -> None:
    """Makes the store's file look as if it had been written a while ago."""
    file = Path(store.uri.removeprefix("sqlite:///"))
    os.utime(file, (file.stat().st_atime, time.time() - 60))


@pytest.fixture
def store(tmp_path: Path, write_empty_store: Callable[[Path], str]) -> Store:
    found = Store(write_empty_store(tmp_path / "runs.db"))
    for loss in (0.25, 0.75):
        run = found.create_run(found.experiment_id("own"), str(loss), tags={names.KIND: names.TRIAL})
        found.log(run, metrics=[("loss", loss, 0, 1)])
        found.finish(run)
    settled(found)
    return found


def asked(reader: Reader) -> list[str]:
    """What is asked for of runs from now on."""
    found: list[str] = []

    def listen(*given: Any) -> None:
        found.extend([given[2]] if "FROM runs" in given[2] else [])

    sqlalchemy.event.listen(reader.store.client._tracking_client.store.engine, "before_cursor_execute", listen)
    return found


def test_a_file_that_stays_as_it_is_is_not_read_again(store: Store) -> None:
    reader = Reader(store.uri)
    version, found = reader.refresh("own"), reader.findings()
    heard = asked(reader)
    assert reader.refresh("own") == version
    assert reader.findings() is found
    assert heard == []
    store.set_tags(reader.runs("own")["run_id"].iloc[0], {names.HEALTH: "diverged"})  # of a run that has ended
    assert reader.refresh("own") == version  # one that was written just now is only asked for what began
    settled(store)
    reader._tables._whole.clear()  # a minute later
    assert reader.refresh("own") == version + 1
    assert reader.runs("own")["health"].iloc[0] == "diverged"


def test_a_file_that_was_written_just_now_is_not_trusted(store: Store) -> None:
    file = Path(store.uri.removeprefix("sqlite:///"))
    assert Stamp.of(file) == Stamp.of(file) is not None
    os.utime(file)
    assert Stamp.of(file) is None
    assert Stamp.of(file.with_name("gone.db")) is None


def test_a_filter_is_asked_once_for_the_same_runs(store: Store) -> None:
    reader = Reader(store.uri)
    assert reader.runs("own", FILTER)["name"].tolist() == ["0.75"]
    heard = asked(reader)
    assert reader.runs("own", f" {FILTER} ")["name"].tolist() == ["0.75"]
    assert heard == []
    run = store.create_run(store.experiment_id("own"), "0.9", tags={names.KIND: names.TRIAL})
    store.log(run, metrics=[("loss", 0.9, 0, 1)])
    store.finish(run)
    reader.refresh("own")
    assert reader.runs("own", FILTER)["name"].tolist() == ["0.75", "0.9"]
