"""The heat map among the figures of a run that sweeps two numbers, and in a report."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from support.experiments import TASK

from qlab.experiment.asking import schema
from qlab.experiment.runner import Outcome, Runner
from qlab.report.sections import section_of
from qlab.tracking.store import Store

SWEPT = f"""
name = "swept"
{TASK}
[corruption]
type = "LabelFlip"
ratio = [0.0, 0.2, 0.4]
[model]
type = "MLP"
hidden = [2]
[training]
epochs = 1
learning_rate = [0.001, 0.01, 0.1, 1.0]
[run]
seeds = 2
"""

MAPS = {"summary/map.csv", "summary/map.png", "summary/map.html"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store for both experiments."""
    folder = tmp_path_factory.mktemp("swept")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        return Store()


@pytest.fixture(scope="module")
def outcome(store: Store) -> Outcome:
    """Of the sweep over both."""
    return Runner(store).run(schema.parse(SWEPT, source="swept.toml"))


def saved(store: Store, outcome: Outcome) -> set[str]:
    return {item.path for item in store.client.list_artifacts(outcome.parent_run, "summary")}


def test_a_sweep_over_two_numbers_has_a_map_beside_its_curves(store: Store, outcome: Outcome, tmp_path: Path) -> None:
    assert outcome.maps == ("map",)
    assert saved(store, outcome) >= MAPS | {"summary/accuracy.png"}
    table = pd.read_csv(store.fetch_file(outcome.parent_run, "summary/map.csv", tmp_path))
    assert len(table) == 12
    assert set(table["training.learning_rate"]) == {0.001, 0.01, 0.1, 1.0}
    assert (table["runs"] == 2).all()
    assert "path=summary%2Fmap.png" in store.note(outcome.parent_run) + store.client.get_experiment(
        store.experiment_id("swept")
    ).tags.get("mlflow.note.content", "")


def test_the_report_shows_it(store: Store, outcome: Outcome) -> None:
    assert outcome.maps
    section = section_of(store, "swept", None)
    assert section is not None
    assert not section.missing
    caption, draw = section.figures["map"]
    assert caption.startswith("Validation accuracy over corruption ratio and learning rate: mean over seeds")
    assert len(draw()) == 1
    assert len(section.tables["map"][1]) == 12


def test_other_runs_have_the_figures_that_they_had(store: Store) -> None:
    text = SWEPT.replace(", 1.0]", "]").replace('"swept"', '"plain"')
    found = Runner(store).run(schema.parse(text, source="plain.toml"))
    assert found.maps == ()
    assert saved(store, found) == {"summary/summary.csv", "summary/accuracy.png", "summary/accuracy.html"}
