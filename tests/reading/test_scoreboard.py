"""The scoreboard of unlearning against means taken by hand."""

from __future__ import annotations

import statistics
from typing import Any

import pandas as pd
import pytest
from support.mapped_runs import frame_of

from qlab.reading.known import KNOWN
from qlab.reading.scoreboard import BEFORE, METHOD, ORACLE, REACHABLE, scoreboard
from qlab.tracking import names

SEEDS = (0, 1, 2)


def row(kind: str, run: str, seed: int, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "run_id": run,
        "kind": kind,
        "trial": run,
        "start": seed,
        "seed": seed,
        "status": "FINISHED",
        "health": "healthy",
        "qlab.not_finite": (),
        "task.type": "XXZ",
        "corruption.type": "LabelFlip",
        "corruption.ratio": 0.3,
        "model.type": "MLP",
    }
    return found | {key.replace("__", "."): value for key, value in more.items()}


def store(**changed: Any) -> pd.DataFrame:
    """Three trained models, two oracles of each and two methods; some rows are hidden."""
    rows = []
    for seed in SEEDS:
        trained = {"validation_accuracy": 0.6 + 0.01 * seed, "retain_accuracy": 0.9, "forget_accuracy_polluted": 0.8}
        rows.append(row(names.TRIAL, f"trial {seed}", seed, **trained))
        for known, number in ((None, 0), (0.5, 1), (0.25, 2)):
            about = {names.TEACHER: f"trial {seed}", KNOWN: known}
            rows.append(row(names.ORACLE, f"oracle {number} {seed}", seed) | about)
        for method in ("Finetune", "Scrub"):
            found = {
                "validation_accuracy": 0.8 + 0.02 * seed,
                "oracle_accuracy": 0.95,
                "oracle_accuracy_std": 0.01,
                "oracle_gap": -0.15 + 0.02 * seed,
                "reachable_accuracy": 0.85,
                "corrective_accuracy": 0.5,
                "corrective_accuracy_teacher": 0.1 * seed,
                "corrective_accuracy_oracle": 0.97,
                "membership_auc": 0.6,
                "membership_auc_oracle": 0.5,
                "klom_forget_excess": 1.0,
                "klom_forget_teacher": 4.0,
                "klom_forget_floor": 0.5,
                "relearn_steps": 3.0 if seed else None,
            }
            about = {names.TEACHER: f"trial {seed}", KNOWN: 0.5, "unlearner.type": method}
            rows.append(row(names.UNLEARNING, f"{method} {seed}", seed, **found) | about | changed)
    return frame_of(rows)


def board(frame: pd.DataFrame) -> Any:
    found = scoreboard(frame[frame["kind"] == names.UNLEARNING], frame)
    return found, found.table.set_index("method")


def test_methods_stand_below_what_they_are_compared_with_and_know_their_runs() -> None:
    found, table = board(store())
    assert list(table.index) == [BEFORE, ORACLE, REACHABLE, "Finetune", "Scrub"]
    assert list(table["row"]) == [BEFORE, ORACLE, REACHABLE, METHOD, METHOD]
    assert found.runs == (
        tuple(f"trial {seed}" for seed in SEEDS),
        tuple(f"oracle 0 {seed}" for seed in SEEDS),
        tuple(f"oracle 1 {seed}" for seed in SEEDS),
        tuple(f"Finetune {seed}" for seed in SEEDS),
        tuple(f"Scrub {seed}" for seed in SEEDS),
    )


def test_numbers_are_those_of_runs_and_count_each_trained_model_once() -> None:
    _, table = board(store())
    own = [0.8 + 0.02 * seed for seed in SEEDS]
    assert table.loc["Scrub", "validation_accuracy_mean"] == pytest.approx(statistics.mean(own))
    assert table.loc["Scrub", "validation_accuracy_std"] == pytest.approx(statistics.stdev(own))
    assert table.loc["Scrub", "relearn_steps_n"] == 2
    before = table.loc[BEFORE]
    assert before["validation_accuracy_mean"] == pytest.approx(0.61)
    assert before["retain_accuracy_n"] == 3
    assert before["corrective_accuracy_mean"] == pytest.approx(0.1)
    assert before["oracle_gap_mean"] == pytest.approx(0.61 - 0.95)
    assert before["klom_forget_excess_mean"] == pytest.approx(3.5)
    oracle = table.loc[ORACLE]
    assert (oracle["oracle_gap_mean"], oracle["oracle_gap_std"]) == (0.0, pytest.approx(0.01))
    assert oracle["membership_auc_mean"] == 0.5
    assert oracle["corrective_accuracy_n"] == 3
    assert table.loc[REACHABLE, "oracle_gap_mean"] == pytest.approx(-0.1)
    assert table.loc["Finetune", "oracle_accuracy_std_mean"] == pytest.approx(0.01)
    assert "hidden_accuracy_clean_mean" not in table  # nobody has it


def test_with_one_oracle_for_each_model_the_floor_is_their_deviation() -> None:
    frame = store(oracle_accuracy_std=None)
    own = frame["kind"] == names.UNLEARNING
    frame.loc[own, "oracle_accuracy"] = [0.9 + 0.01 * seed for seed in frame.loc[own, "seed"]]
    _, table = board(frame)
    floor = statistics.stdev([0.9, 0.91, 0.92])
    assert table.loc["Scrub", "oracle_accuracy_std_mean"] == pytest.approx(floor)
    assert table.loc[ORACLE, "oracle_gap_std"] == pytest.approx(floor)


def test_runs_that_failed_are_counted_and_said() -> None:
    frame = store()
    frame.loc[frame["run_id"] == "Scrub 1", "status"] = "FAILED"
    frame.loc[frame["run_id"] == "Scrub 2", "health"] = "diverged"
    _, table = board(frame)
    assert tuple(table.loc["Scrub", ["kept", "runs", "left_out"]]) == (1, 3, "diverged, failed")
    assert table.loc["Scrub", "validation_accuracy_mean"] == 0.8


def test_without_trials_and_oracles_only_what_is_known_is_there() -> None:
    frame = store()
    found, _ = board(frame[frame["kind"] == names.UNLEARNING])
    assert set(found.table["row"]) == {BEFORE, ORACLE, REACHABLE, METHOD}
    assert found.runs[:3] == ((), (), ())
    assert scoreboard(frame.iloc[:0], frame).table.empty
