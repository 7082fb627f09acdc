"""Training up to a fitted fraction, through the runner: oracles, methods, claims, and trials that never get there."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from support.experiments import TASK

from qlab.cli import main
from qlab.reading import Results
from qlab.tracking import frames, names
from qlab.tracking.store import Store
from qlab.training import Trainer

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")

FILE = f"""
name = "goal"
{TASK}
[corruption]
type = "LabelFlip"
ratio = 0.25
[[model]]
type = "MLP"
hidden = [8]
[training]
epochs = 12
batch_size = 8
learning_rate = 0.1
stop_at = 0.7
stop_retain = 0.6
[[unlearner]]
type = "Finetune"
steps = 2
[run]
seeds = 6
oracles = 1
[[claim]]
name = "kept"
text = "It forgets"
metric = "forget_accuracy_polluted"
of = {{ "model.type" = "MLP", "unlearner.type" = "Finetune" }}
than = 2.0
statement = "below"
"""


@pytest.fixture
def ran(tmp_path, monkeypatch, write_empty_store):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "goal.toml").write_text(FILE)
    store = Store(write_empty_store(tmp_path / "mlruns" / "mlflow.db"))
    done = CliRunner().invoke(main, ["run", "goal.toml"])
    return store, done


def test_those_that_do_not_get_there_are_named_and_left_out_of_n(ran):
    store, done = ran
    assert done.exit_code == 0, done.output
    found = frames.runs(store, [store.find_experiment("goal")])
    trials = found[found["kind"] == names.TRIAL]
    missed = trials[trials["health"] == "unreached"]
    assert 0 < len(missed) < 6, "the case is no test"
    said = " ".join(done.output.split())
    assert f"{len(missed)} of 6 trials did not come to stop_at = 0.7 (with 0.6 of the clean rows) in 12 epochs" in said
    assert all(f"MLP LabelFlip 0.25 seed {seed} (" in said for seed in missed["seed"])
    assert (trials.loc[trials["health"] != "unreached", "forget_accuracy_polluted"] >= 0.7).all()
    assert (trials["trained_epochs"] <= 12).all()

    unlearned = found[found["kind"] == names.UNLEARNING].set_index("seed")["health"]
    assert set(unlearned[unlearned == "unreached"].index) == set(missed["seed"])
    [row] = Results.of(store, ["goal"]).claims.to_dict("records")
    assert (row["n"], row["of"]) == (6 - len(missed), 6)
    assert row["left_out"] == f"{len(missed)} unreached"

    oracles = found[found["kind"] == names.ORACLE]
    assert len(oracles) == 6
    assert "unreached" not in set(oracles["health"])


def test_methods_that_come_later_know_it_from_the_store(ran, tmp_path):
    store, _ = ran
    (tmp_path / "goal.toml").write_text(FILE + '[[unlearner]]\ntype = "Relabel"\nsteps = 1\n')
    done = CliRunner().invoke(main, ["run", "goal.toml"])
    assert done.exit_code == 0, done.output
    found = frames.runs(store, [store.find_experiment("goal")])
    health = found[found["kind"] == names.UNLEARNING].pivot(index="seed", columns="unlearner.type", values="health")
    assert set(health.index[health["Relabel"] == "unreached"]) == set(health.index[health["Finetune"] == "unreached"])


def test_oracles_are_trained_to_the_end() -> None:
    trainer = Trainer(epochs=7, stop_at=0.7, stop_retain=0.6)
    assert trainer.to_the_end == Trainer(epochs=7)
    assert Trainer().to_the_end == Trainer()
