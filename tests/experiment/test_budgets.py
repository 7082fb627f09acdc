"""A budget of gradient evaluations for all methods of an experiment: asked for, refused, kept, shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.experiments import TASK
from support.runs import refused_alone, run_text

from qlab.console import unlearning_table
from qlab.errors import ConfigError
from qlab.experiment.asking.schema import parse
from qlab.tracking import frames, names
from qlab.tracking.store import Store

MODEL = """
[corruption]
type = "LabelFlip"
ratio = 0.5
[[model]]
type = "MLP"
hidden = [4]
training = { epochs = 3, batch_size = 8, learning_rate = 0.05 }
"""
METHODS = """
[[unlearner]]
type = "Finetune"
[[unlearner]]
type = "GradientAscent"
[[unlearner]]
type = "SSD"
"""
BASE = 'name = "equal"\n' + TASK + MODEL


def methods(text: str) -> list[dict[str, object]]:
    return [item.config["unlearner"] for item in parse(text, source="budget.toml").unlearnings]


def test_without_a_budget_nothing_is_said_of_one() -> None:
    for table in methods(BASE + METHODS):
        assert "budget" not in table
        assert "steps" in table


def test_all_methods_get_that_of_the_run_but_those_with_their_own() -> None:
    found = methods(BASE + METHODS + '[[unlearner]]\ntype = "Scrub"\nbudget = 900\n[run]\nseeds = 1\nbudget = 400\n')
    assert [table["budget"] for table in found] == [400, 400, 400, 900]
    # Steps that the budget decides are not said to be 50.
    assert ["steps" in table for table in found] == [False, False, True, False]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("steps = 3\n[run]\nbudget = 400\n", r"unlearner\[4\]: has steps = 3, but run.budget decides"),
        ("steps = [3, 4]\nbudget = 400\n", r"unlearner\[4\]: has steps = \[3, 4\], but budget decides"),
        ("budget = -1\n", r"unlearner\[4\].budget: got -1"),
        ("[run]\nbudget = 0\n", r"run.budget: got 0, accepts"),
        ("[run]\nbudget = 2.5\n", r"run.budget: got 2.5, accepts"),
    ],
)
def test_what_is_no_budget_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse(BASE + METHODS + '[[unlearner]]\ntype = "Scrub"\n' + text, source="budget.toml")


def test_a_budget_below_one_step_is_refused_before_anything_is_trained(store: Store, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"unlearner GradientAscent of MLP: budget: got 15 .* accepts at least 16"):
        run_text(store, tmp_path, BASE + METHODS + "[run]\nseeds = 1\nbudget = 15\n")
    refused_alone(store)


def test_iterative_methods_spend_it_and_one_step_methods_say_what_they_spent(store: Store, tmp_path: Path) -> None:
    outcome = run_text(store, tmp_path, BASE + METHODS + "[run]\nseeds = 2\noracles = 1\nbudget = 100\n")
    experiment = store.find_experiment("equal")
    assert experiment is not None
    rows = frames.runs_of_kind(store, [experiment], names.UNLEARNING).set_index("unlearner.type")
    assert len(rows) == 6
    spent = {name: set(own) for name, own in rows.groupby(level=0)["gradient_evaluations"]}
    # 8 rows to retain and 8 to forget: 12 steps of 8, 6 of 16, and Fisher information of all rows.
    assert spent == {"Finetune": {96.0}, "GradientAscent": {96.0}, "SSD": {16.0}}
    assert (rows.loc["Finetune", "unlearner.budget"] == 100).all()
    last = {
        method: max(step for step, _ in store.metric_history(str(own["run_id"].iloc[0]), "validation_accuracy"))
        for method, own in rows.groupby(level=0)
    }
    assert last == {"Finetune": 12, "GradientAscent": 6, "SSD": 1}
    shown = unlearning_table(outcome.unlearning, "methods")
    cells = dict(zip((str(column.header) for column in shown.columns), shown.columns, strict=True))
    assert [str(cell) for cell in cells["gradient evaluations"].cells] == ["96", "96", "16"]


def test_a_budget_is_another_run_and_none_is_the_same_as_before(store: Store, tmp_path: Path) -> None:
    finetune = BASE + '[[unlearner]]\ntype = "Finetune"\n'
    assert run_text(store, tmp_path, finetune, run__seeds=1, unlearner__steps=2).unlearned == 1
    assert run_text(store, tmp_path, finetune, run__seeds=1, run__budget=100).unlearned == 1
    assert run_text(store, tmp_path, finetune, run__seeds=1, run__budget=100).unlearned == 0
