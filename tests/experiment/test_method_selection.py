"""Settings of unlearning methods chosen by what one who does not know the hidden rows can compute."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support.experiments import TASK
from support.runs import run_text

from qlab.console import unlearning_table
from qlab.errors import ConfigError
from qlab.experiment.asking.schema import parse
from qlab.tracking import frames, garbage, names
from qlab.tracking.store import Store

MODEL = """
[corruption]
type = "LabelFlip"
ratio = 0.5
known = [0.5, 1.0]
[[model]]
type = "MLP"
hidden = [4]
training = { epochs = 3, batch_size = 8, learning_rate = 0.05 }
[run]
seeds = 2
oracles = 1
"""
METHODS = """
[[unlearner]]
type = "GradientAscent"
steps = 2
beta = [0.1, 5.0]
[[unlearner]]
type = "Finetune"
steps = 2
"""
BASE = 'name = "methods"\n' + TASK + MODEL + METHODS
SELECT = '[select]\nover = ["unlearner.beta"]\nreport = "validation"\nseeds = 1\n'


def runs(store: Store, kind: str) -> pd.DataFrame:
    experiment = store.find_experiment("methods")
    assert experiment is not None
    found = frames.runs_of_kind(store, [experiment], kind)
    return found[found["unlearner.type"].notna()] if "unlearner.type" in found else found


def chosen(store: Store) -> dict[float, Any]:
    """The chosen beta by known fraction."""
    found = runs(store, names.UNLEARNING)
    found = found[found["unlearner.type"] == "GradientAscent"]
    known = found["corruption.known"].fillna(1.0) if "corruption.known" in found else pd.Series(1.0, found.index)
    values = {fraction: set(own) for fraction, own in found.groupby(known)["unlearner.beta"]}
    assert all(len(own) == 1 for own in values.values())
    return {fraction: own.pop() for fraction, own in values.items()}


@pytest.mark.parametrize(
    ("metric", "value", "sign"),
    [
        ("validation_accuracy", lambda row: row["selection_accuracy"], 1),
        ("validation_loss", lambda row: row["selection_loss"], -1),
        ("given_accuracy_retain", lambda row: row["given_accuracy_retain"], 1),
        ("given_accuracy_forget", lambda row: row["given_accuracy_forget"], -1),
        ("utility_and_forgetting", lambda row: row["selection_accuracy"] + 1 - row["given_accuracy_forget"], 1),
    ],
)
def test_the_best_by_a_criterion_is_reported_with_other_seeds(
    store: Store, tmp_path: Path, metric: str, value: Any, sign: int
) -> None:
    outcome = run_text(store, tmp_path, BASE + SELECT + f'metric = "{metric}"\n')
    candidates = runs(store, names.SELECTION)
    # Two values at two known fractions; Finetune has nothing to choose.
    assert list(candidates["unlearner.type"].unique()) == ["GradientAscent"]
    assert len(candidates) == 4
    assert set(candidates["seed"]) == {100_000}
    expected = {}
    for known, own in candidates.groupby(candidates["corruption.known"].fillna(1.0)):
        scores = {row["unlearner.beta"]: sign * value(row) for row in own.to_dict("records")}
        expected[known] = max((0.1, 5.0), key=lambda beta: (scores[beta], -beta))
    assert chosen(store) == expected
    reported = runs(store, names.UNLEARNING)
    assert set(reported["seed"]) == {0, 1}
    assert len(reported) == 8  # two methods, two fractions, two seeds
    assert set(reported["select.metric"]) == {metric}
    assert outcome.unlearned == 8
    assert any(metric.removeprefix("validation_") in line for line in outcome.choices)
    assert not garbage.find_garbage(store, store.experiment_ids())  # nor are teachers of a selection
    # Done once.
    again = run_text(store, tmp_path, BASE + SELECT + f'metric = "{metric}"\n')
    assert (again.unlearned, again.compared, again.trained) == (0, 0, 0)


@pytest.mark.parametrize(
    ("metric", "taken"),
    [
        ("corrective_accuracy", "the labels that rows had before corruption"),
        ("hidden_accuracy_clean", "which rows are hidden, and the labels that rows had before corruption"),
        ("forget_accuracy_polluted", "which rows are hidden"),
        ("retain_accuracy", "which rows are hidden"),
        ("oracle_gap", "which rows are hidden"),
    ],
)
def test_what_nobody_knows_is_refused_by_name(metric: str, taken: str) -> None:
    with pytest.raises(ConfigError, match=f'select.metric: got "{metric}", which needs {taken}: whoever chooses'):
        parse(BASE + SELECT + f'metric = "{metric}"\n', source="peek.toml")


def test_an_oracle_is_asked_for_recorded_and_shown(store: Store, tmp_path: Path) -> None:
    outcome = run_text(store, tmp_path, BASE + SELECT + 'metric = "corrective_accuracy"\noracle = true\n')
    reported = runs(store, names.UNLEARNING)
    assert reported["select.oracle"].tolist() == [True] * len(reported)
    assert any("by corrective_accuracy (oracle)" in line for line in outcome.choices)
    table = unlearning_table(outcome.unlearning, "methods")
    cells = [str(cell) for column in table.columns if str(column.header) == "chosen" for cell in column.cells]
    assert any("by an oracle: corrective_accuracy" in cell for cell in cells)


@pytest.mark.parametrize(
    ("select", "said"),
    [
        ('over = ["unlearner.gamma"]', 'no method has "unlearner.gamma"'),
        ('over = ["unlearner.steps"]', "each method has one value of unlearner.steps"),
        ('over = ["unlearner.beta", "training.epochs"]', 'got "unlearner.beta" and "training.epochs"'),
        ('over = ["unlearner.beta"]\nmetric = "kl"', 'unknown criterion "kl"'),
        ('over = ["unlearner.beta"]\noracle = true', "takes nothing that is hidden; leave it out"),
        ('over = ["unlearner.beta"]\nseeds = [1]', "are also seeds of"),
    ],
)
def test_what_cannot_be_chosen_is_refused(select: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse(BASE + "[select]\n" + select + "\n", source="select.toml")


def test_settings_of_models_are_not_chosen_by_an_oracle() -> None:
    text = BASE.replace("learning_rate = 0.05", "learning_rate = [0.05, 0.1]")
    with pytest.raises(ConfigError, match=r"select\.oracle: got true"):
        parse(text + '[select]\nover = ["training.learning_rate"]\noracle = true\n', source="select.toml")


def test_without_a_method_there_is_nothing_to_choose() -> None:
    with pytest.raises(ConfigError, match=r"the file has no \[\[unlearner\]\]"):
        parse(BASE.replace(METHODS, "") + SELECT, source="select.toml")


def test_given_labels_are_those_of_the_rows_that_a_method_is_told(store: Store, tmp_path: Path) -> None:
    run_text(store, tmp_path, BASE)
    found = runs(store, names.UNLEARNING)
    all_known = found[found["corruption.known"].isna()] if found["corruption.known"].isna().any() else found
    all_known = all_known[all_known["corruption.known"].fillna(1.0) == 1.0]
    assert np.allclose(all_known["given_accuracy_forget"], all_known["forget_accuracy_polluted"])
    assert np.allclose(all_known["given_accuracy_retain"], all_known["retain_accuracy"])
    partly = found[found["corruption.known"] == 0.5]
    # 8 rows are corrupted, 4 of them known: the others are retained with their polluted labels, beside 8 clean ones.
    expected = (8 * partly["retain_accuracy"] + 4 * partly["hidden_accuracy_polluted"]) / 12
    assert np.allclose(partly["given_accuracy_retain"], expected)
    assert np.allclose(partly["given_accuracy_forget"], partly["known_accuracy_polluted"])
