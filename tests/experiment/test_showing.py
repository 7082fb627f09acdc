"""What the MLflow UI shows of an experiment after a run."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.experiments import TASK, TINY
from support.runs import runner

from qlab.experiment.asking import schema
from qlab.experiment.recording import showing
from qlab.experiment.runner import Outcome, Runner
from qlab.models import MLP
from qlab.tracking import names
from qlab.tracking.store import Store

UNLEARNED = f"""
name = "unlearned"
{TASK}
[corruption]
type = "LabelFlip"
ratio = [0.25, 0.5]
[[model]]
type = "MLP"
hidden = [[4], [2, 3]]
[training]
epochs = 2
[[unlearner]]
type = "Finetune"
steps = 2
[run]
seeds = 2
"""


@dataclasses.dataclass
class Shown:
    store: Store
    outcome: Outcome
    experiment_id: str
    seconds: float

    def points(self, metric: str) -> list[tuple[int, float]]:
        return self.store.metric_history(self.outcome.parent_run, metric)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory, write_empty_store: Callable[[Path], str]) -> Shown:
    store = Store(write_empty_store(tmp_path_factory.mktemp("shown") / "mlflow.db"))
    spent = []
    with pytest.MonkeyPatch.context() as patch:
        show = showing.show_experiment

        def timed(*given: Any, **named: Any) -> None:
            start = time.process_time()
            show(*given, **named)
            spent.append(time.process_time() - start)

        patch.setattr(showing, "show_experiment", timed)
        outcome = Runner(store).run(schema.parse(UNLEARNED, source="a b.toml"))
    return Shown(store, outcome, store.experiment_id("unlearned"), spent[0])


def test_the_experiments_run_has_the_summarys_means_and_deviations(shown: Shown) -> None:
    for row in shown.outcome.table.to_dict("records"):
        label = str(row["model"]).replace("hidden=[4]", "hidden 4").replace("hidden=[2, 3]", "hidden 2-3")
        for part in ("mean", "std"):
            points = dict(shown.points(f"validation_accuracy_{part}/{label} LabelFlip"))
            assert points[round(100 * row["ratio"])] == pytest.approx(row[f"validation_accuracy_{part}"])


def test_methods_have_a_value_for_every_unlearning_step(shown: Shown) -> None:
    points = dict(shown.points("unlearning_validation_accuracy_mean/MLP hidden 4 LabelFlip 0.25 Finetune"))
    assert list(points) == [0, 1, 2]
    final = shown.outcome.unlearning
    own = final[final["model"].str.contains("4") & (final["ratio"] == 0.25)].iloc[0]
    assert points[2] == pytest.approx(own["validation_accuracy_mean"])


def test_the_description_says_what_is_asked_and_the_command(shown: Shown) -> None:
    note = shown.store.experiment_tags(shown.experiment_id)[names.NOTE]
    assert "8 trials" in note
    assert "ratios 0.25, 0.5; 2 seeds; 8 unlearning runs" in note
    assert f"get-artifact?path=summary%2Faccuracy.png&run_uuid={shown.outcome.parent_run}" in note
    assert note.splitlines()[-1] == "    qlab run 'a b.toml'"


def test_it_costs_little(shown: Shown) -> None:
    assert shown.seconds < 0.5


def test_running_again_writes_nothing(shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(showing, "write_curves", None)
    monkeypatch.setattr(showing, "show", None)
    Runner(shown.store).run(schema.parse(UNLEARNED, source="a b.toml"))


def test_an_experiment_in_which_everything_failed_is_shown_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_empty_store: Callable[[Path], str]
) -> None:
    store = Store(write_empty_store(tmp_path / "mlflow.db"))
    text = TINY.replace('[[model]]\ntype = "PennyLaneQNN"\ndepth = 2\n', "")
    with monkeypatch.context() as patch:
        patch.setattr(MLP, "reset_parameters", lambda self, generator: 1 / 0)
        outcome = runner(store).run(schema.parse(text, source="tiny.toml"))
    metric = "validation_accuracy_mean/MLP LabelFlip"
    assert outcome.failed
    assert store.metric_history(outcome.parent_run, metric) == []
    assert "4 trials" in store.experiment_tags(store.experiment_id("tiny"))[names.NOTE]
    again = runner(store).run(schema.parse(text, source="tiny.toml"))
    assert again.parent_run == outcome.parent_run
    assert [step for step, _ in store.metric_history(outcome.parent_run, metric)] == [0, 50]
