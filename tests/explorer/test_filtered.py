"""What the pages say of the filter and the selection."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qlab.explorer.filtered import LONGEST, Filtered, described
from qlab.explorer.reader import Reader
from qlab.explorer.state import State
from qlab.explorer.work import Work
from qlab.tracking import names
from qlab.tracking.store import Store

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")


@pytest.mark.parametrize(
    ("fields", "counted", "refused", "said"),
    [
        ({"experiment": "xxz"}, (3000, 3000), False, "xxz  ·  all 3,000 runs"),
        ({"experiment": "xxz", "where": "a > 1"}, (12, 3000), False, "xxz  ·  filter a > 1  ·  12 of 3,000 runs"),
        ({"experiment": "xxz", "runs": ["a", "b"]}, (4, 4), False, "xxz  ·  all 4 runs  ·  2 selected"),
        ({"experiment": "xxz"}, None, False, "xxz"),
        (
            {"experiment": "xxz", "where": "?"},
            None,
            True,
            "xxz  ·  filter ?  ·  is not understood, so that nothing is shown",
        ),
    ],
)
def test_a_line_says_what_is_shown(fields: dict[str, Any], counted: Any, refused: bool, said: str) -> None:
    assert described(State(**fields), counted, refused) == said


def test_a_long_filter_is_cut_and_a_hostile_one_stays_one_line() -> None:
    said = described(State(experiment="xxz", where="a = '" + "x" * 500 + "'"), (0, 1))
    assert f"filter a = '{'x' * (LONGEST - 6)}…  ·  0 of 1 runs" in said
    assert "\n" not in described(State(experiment="xxz", where="a\n\n\nb"), (0, 1))


def test_runs_are_counted_by_the_store(tmp_path: Path, write_empty_store: Callable[[Path], str], loop: Any) -> None:
    store = Store(write_empty_store(tmp_path / "runs.db"))
    experiment = store.experiment_id("live")
    for number in range(3):
        tags = {names.KIND: names.TRIAL, names.TRIAL_KEY: str(number)}
        run = store.create_run(experiment, str(number), params={"seed": str(number)}, tags=tags)
        store.finish(run)
    store.create_run(experiment, "whole", tags={names.KIND: names.EXPERIMENT})
    state, work = State(experiment="live"), Work(loop.calls.put)
    try:
        filtered = Filtered(state, Reader(store.uri), work)
        wanted = {
            "": "all 3 runs",
            "params.seed = '1'": "1 of 3 runs",
            "what is this": "not understood",
            " ": "all 3 runs",
        }
        for where, said in wanted.items():
            state.where = where
            filtered.count()
            loop.run(1)
            assert said in filtered._words.object
            assert filtered._no_filter.visible == bool(where.strip())
        state.runs = ["a"]
        assert "1 selected" in filtered._words.object
        filtered._no_runs.param.trigger("clicks")
        assert state.runs == []
    finally:
        work.close()
