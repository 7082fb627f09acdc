"""How runs are going, in words."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from qlab.explorer import standing
from qlab.explorer.tables import matching
from qlab.tracking import names

NOW = 10_000_000.0
MINUTE = 60_000


def frame(*rows: dict[str, Any]) -> pd.DataFrame:
    usual = {"kind": names.TRIAL, "status": "FINISHED", "health": None, "start": NOW - 10 * MINUTE, names.END: None}
    usual |= {names.SEEN: None, names.ERROR: None, "corruption.ratio": 0.2, "seed": 0, names.NOT_FINITE: ()}
    return pd.DataFrame(
        [{**usual, "run_id": f"r{number}", "name": f"n{number}", **row} for number, row in enumerate(rows)]
    )


def table(*rows: dict[str, Any]) -> pd.DataFrame:
    return standing.table_of(frame(*rows), NOW).set_index("run")


def test_a_finished_run_says_how_long_it_took() -> None:
    found = table({names.END: NOW - 10 * MINUTE + 3_723_000}).loc["r0"]
    assert (found["state"], found["took"], found["left"], found["progress"]) == ("finished", "1:02:03", "", "")


def test_a_running_one_how_far_it_is_and_how_much_longer_it_takes() -> None:
    # 50 of 200 epochs in 8 of the 10 minutes since it began: the other 150 take 24.
    seen = (50, NOW - 2 * MINUTE)
    found = table({"status": "RUNNING", names.SEEN: seen, "training.epochs": 200}).loc["r0"]
    assert (found["state"], found["progress"], found["left"]) == ("running", "50 of 200 epochs", "0:24:00")
    assert found["took"] == "0:10:00"


def test_steps_of_unlearning_are_its_own() -> None:
    row = {"status": "RUNNING", "kind": names.UNLEARNING, names.SEEN: (5, NOW), "training.epochs": 200}
    assert table({**row, "unlearner.steps": 20}).loc["r0"]["progress"] == "5 of 20 steps"


@pytest.mark.parametrize(("minutes", "said"), [(4.9, "running"), (5.0, "running, no sign of life for 5 min")])
def test_silence_is_said_after_five_minutes(minutes: float, said: str) -> None:
    assert table({"status": "RUNNING", names.SEEN: (3, NOW - minutes * MINUTE)}).loc["r0"]["state"] == said


def test_a_run_that_has_logged_nothing_is_silent_since_it_began() -> None:
    found = table({"status": "RUNNING"}).loc["r0"]
    assert found["state"] == "running, no sign of life for 10 min"
    assert (found["progress"], found["left"]) == ("", "")


def test_runs_are_shown_by_how_they_stand() -> None:
    stands = ("FINISHED", "RUNNING", "FAILED", "KILLED", "INTERRUPTED")
    found = standing.table_of(frame(*({"status": status} for status in stands)), NOW)
    assert standing.counts(found) == {"all": 5, "running": 1, "failed": 3}
    assert set(found[standing.mask(found, "failed")]["run"]) == {"r2", "r3", "r4"}


def test_an_error_is_shown_where_there_is_one_and_columns_that_are_chosen() -> None:
    found = standing.table_of(frame({}, {"status": "FAILED", names.ERROR: "out of memory"}), NOW)
    assert found.set_index("run").loc["r1", "error"] == "out of memory"
    assert "error" in standing.columns_of(found, [])
    assert "error" not in standing.columns_of(standing.table_of(frame({}), NOW), [])
    assert standing.columns_of(found, ["seed", "no such column", "seed"]) == ["name", "seed"]


def test_no_runs_give_an_empty_table() -> None:
    found = standing.table_of(frame({}).iloc[:0], NOW)
    assert list(found.columns) == list(standing.COLUMNS)
    assert standing.counts(found) == {"all": 0, "running": 0, "failed": 0}


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("> 0.5", [0.9]),
        (">=.5", [0.5, 0.9]),
        ("< 1e-1", [0.0]),
        ("0.5", [0.5]),
        ("!= 0.5", [0.0, 0.9]),
        ("<= 0.5", [0.0, 0.5]),
        (" = 0.9 ", [0.9]),
        ("> -1", [0.0, 0.5, 0.9]),
        ("0.", [0.0]),
        ("> high", []),
    ],
)
def test_columns_of_numbers_are_compared(text: str, kept: list[float]) -> None:
    column = pd.Series([0.0, 0.5, None, 0.9], dtype=object)
    assert column[matching(column, text)].tolist() == kept


def test_columns_of_text_are_searched_letter_by_letter() -> None:
    column = pd.Series(["MLP [4]", "QNN 2", None])
    assert column[matching(column, "mlp [")].tolist() == ["MLP [4]"]
    assert column[matching(column, "2")].tolist() == ["QNN 2"]
