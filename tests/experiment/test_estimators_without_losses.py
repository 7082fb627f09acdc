"""Estimators whose ``log_odds`` give None for some seeds: those trials have no losses, and the others have theirs."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.experiments import TASK

from qlab import seeding
from qlab.experiment.asking import schema
from qlab.experiment.reporting import Silent
from qlab.experiment.runner import Runner
from qlab.tracking import frames, names
from qlab.tracking.store import Store

SOMETIMES = '''
from qlab import Estimator


class Sometimes(Estimator):
    """Between two class means; log-odds only for some seeds.

    Args:
        low: those that draw less than a half, or the others.
    """

    low: bool = True

    def fit(self, x, y, generator):
        self.mean = x[y == 1].mean(0) - x[y == 0].mean(0)
        self.has = (generator.random() < 0.5) == self.low

    def decision(self, x):
        return x @ self.mean

    def log_odds(self, x, decision):
        return decision if self.has else None
'''

FILE = f"""
name = "some"
corruption = {{ type = "LabelFlip", ratio = 0.25 }}
model = {{ type = "some:Sometimes", low = [true, false] }}
unlearner = {{ type = "Retrain" }}
run = {{ seeds = 4, oracles = 1 }}
{TASK}
"""


class Heard(Silent):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.notices: list[str] = []

    def notice(self, message: str) -> None:
        self.notices.append(message)


def test_each_trial_has_the_losses_that_it_has(tmp_path: Path) -> None:
    (tmp_path / "some.py").write_text(SOMETIMES)
    store, heard = Store(f"sqlite:///{tmp_path}/mlruns/mlflow.db"), Heard()
    experiment = schema.parse(FILE, source="some.toml", folder=tmp_path)
    outcome = Runner(store, heard).run(experiment)
    assert not outcome.failed
    assert (outcome.trained, outcome.unlearned) == (8, 8)

    low = {seed: seeding.numpy_generator(seed, "fit").random() < 0.5 for seed in range(4)}
    assert set(low.values()) == {True, False}
    expected = {item.key: low[item.seed] == item.config["model"]["low"] for item in experiment.trials}
    ids = store.experiment_ids(["some"])
    trials = frames.runs_of_kind(store, ids, names.TRIAL).set_index("trial")
    assert trials["validation_accuracy"].notna().all()
    for loss in ("train_loss", "validation_loss", "retain_loss"):
        assert trials[loss].notna().to_dict() == expected
    for run in trials["run_id"]:
        metrics = store.get_run(run).data.metrics
        assert all(value == value for value in metrics.values())

    unlearned = frames.runs_of_kind(store, ids, names.UNLEARNING).set_index("trial")
    for item in experiment.unlearnings:
        steps = [step for step, _ in store.metric_history(unlearned.loc[item.key, "run_id"], "train_loss")]
        assert steps == [step for step, seed in ((0, item.teacher.seed), (1, item.seed))
                         if (seeding.numpy_generator(seed, "fit").random() < 0.5)
                         == item.teacher.config["model"]["low"]]  # fmt: skip

    few = sum(low.values())
    for without in (few, 4 - few):
        assert any(f"{without} of 4 some:Sometimes" in said and "have no losses" in said for said in heard.notices)


@pytest.mark.parametrize("low", ["true", "false"])
def test_nothing_is_said_where_all_or_none_have_losses(tmp_path: Path, low: str) -> None:
    (tmp_path / "some.py").write_text(SOMETIMES.replace("generator.random() < 0.5", "True"))
    text = FILE.replace("[true, false]", low).replace('unlearner = { type = "Retrain" }', "")
    heard = Heard()
    experiment = schema.parse(text.replace(", oracles = 1", ""), source="some.toml", folder=tmp_path)
    assert not Runner(Store(f"sqlite:///{tmp_path}/mlruns/mlflow.db"), heard).run(experiment).failed
    assert heard.notices == []
