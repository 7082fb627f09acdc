"""Checkpoints that are not what was written are noticed when they are needed, and made again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.experiments import TASK
from support.runs import runner

from qlab.experiment import schema
from qlab.experiment.plan import DAMAGED, Plan
from qlab.experiment.reporting import Silent
from qlab.experiment.runner import Outcome
from qlab.experiment.session import Session, file_digest
from qlab.tracking import names
from qlab.tracking.claims import Claims
from qlab.tracking.store import Store

TRIALS = f"""
name = "damaged"
{TASK}
[corruption]
type = "LabelFlip"
ratio = 0.25
[[model]]
type = "MLP"
hidden = [4]
[training]
epochs = 2
[run]
seeds = 2
oracles = 1
"""

UNLEARNING = '[[unlearner]]\ntype = "Finetune"\nsteps = 2\n'
PROBE = '[[probe]]\ntype = "HessianProbe"\n'
AT_UNLEARNED = '[[probe]]\ntype = "HessianProbe"\nat = "Finetune"\n'
MORE_UNLEARNING = '[[unlearner]]\ntype = "Retrain"\nsteps = 2\n'

DAMAGE: dict[str, Callable[[Path], object]] = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-5]),
    "altered": lambda path: path.write_bytes(path.read_bytes()[:-1] + bytes([path.read_bytes()[-1] ^ 1])),
    "empty": lambda path: path.write_bytes(b""),
    "missing": lambda path: path.unlink(),
}


class Listener(Silent):
    def __init__(self) -> None:
        self.notices: list[str] = []

    def notice(self, message: str) -> None:
        self.notices.append(message)


class Setting:
    def __init__(self, store: Store) -> None:
        self.store = store

    def run(self, text: str) -> tuple[Outcome, list[str]]:
        listener = Listener()
        return runner(self.store, listener).run(schema.parse(text, source="damaged.toml")), listener.notices

    def runs(self, kind: str) -> list[Any]:
        ids = self.store.experiment_ids(["damaged"])
        return list(self.store.search(ids, f"tags.`{names.KIND}` = '{kind}'"))

    def checkpoint(self, run: Any) -> Path:
        return Path(self.store.artifact_place(run.info.run_id)) / names.CHECKPOINT


@pytest.fixture
def setting(tmp_path: Path, write_empty_store: Callable[[Path], str]) -> Setting:
    return Setting(Store(write_empty_store(tmp_path / "mlflow.db")))


def test_every_checkpoint_has_its_checksum(setting: Setting) -> None:
    setting.run(TRIALS + UNLEARNING)
    for kind, count in ((names.TRIAL, 2), (names.ORACLE, 2), (names.UNLEARNING, 2)):
        runs = setting.runs(kind)
        assert len(runs) == count
        for run in runs:
            assert run.data.tags[names.CHECKPOINT_DIGEST] == file_digest(setting.checkpoint(run))


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
@pytest.mark.parametrize("then", [UNLEARNING, PROBE], ids=["unlearning", "probe"])
def test_a_trial_is_trained_again(setting: Setting, damage: Callable[[Path], object], then: str) -> None:
    setting.run(TRIALS)
    spoilt = setting.runs(names.TRIAL)[0]
    damage(setting.checkpoint(spoilt))
    outcome, notices = setting.run(TRIALS + then)
    assert notices == [f"{spoilt.info.run_name}: its checkpoint is damaged; it is made again"]
    assert (outcome.trained, outcome.reused, outcome.failed) == (1, 1, {})
    assert outcome.unlearned + outcome.measured == 2
    assert list(outcome.table["kept"]) == [2]
    after = setting.runs(names.TRIAL)
    assert Counter(run.info.status for run in after) == {"FINISHED": 2, "FAILED": 1}
    marked = setting.store.get_run(spoilt.info.run_id)
    assert (marked.info.status, marked.data.tags[names.ERROR]) == ("FAILED", DAMAGED)
    again, notices = setting.run(TRIALS + then)
    assert (again.trained, again.reused, notices) == (0, 2, [])


def test_who_trained_it_and_lives_on_is_not_waited_for(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another worker has the trials for itself, and will not do them again."""
    setting.run(TRIALS)
    trials = setting.runs(names.TRIAL)
    for run in trials:
        setting.checkpoint(run).unlink()

    def wait(seconds: float) -> None:
        raise AssertionError("waits for what nobody will do")

    monkeypatch.setattr("qlab.experiment.sharing.time.sleep", wait)
    with Claims(setting.store, setting.store.experiment_id("damaged")) as other:
        keys = {run.data.tags[names.TRIAL_KEY] for run in trials}
        assert other.claim(keys) == keys
        outcome, notices = setting.run(TRIALS + UNLEARNING)
        assert (outcome.trained, outcome.unlearned, outcome.failed, len(notices)) == (2, 2, {}, 2)
        # The other finds the same damage, and then what was made in its place.
        assert Plan.of(schema.parse(TRIALS + UNLEARNING, source="damaged.toml"), setting.store).todo == []


def test_the_same_damage_is_mended_by_one_worker(setting: Setting) -> None:
    setting.run(TRIALS)
    spoilt = setting.runs(names.TRIAL)[0]
    key = spoilt.data.tags[names.TRIAL_KEY]
    experiment = schema.parse(TRIALS, source="damaged.toml")
    workers = [Session(setting.store, Silent(), experiment, torch.device("cpu")) for _ in range(2)]
    with workers[0].claims, workers[1].claims:
        assert workers[0].claim(Plan.of(experiment, setting.store), [key]) == {key}
        for worker in workers:
            worker.discard(spoilt.info.run_id, key)
        plan = Plan.of(experiment, setting.store)
        assert workers[1].claim(plan, [key]) == {key}
        assert workers[0].claim(plan, [key]) == set()
        assert list(workers[0].holders(plan, [key])) == [key]


def test_what_is_not_needed_is_not_looked_at(setting: Setting) -> None:
    setting.run(TRIALS)
    setting.checkpoint(setting.runs(names.TRIAL)[0]).unlink()
    outcome, notices = setting.run(TRIALS)
    assert (outcome.trained, outcome.reused, notices) == (0, 2, [])


def test_oracles_and_unlearned_models_are_made_again(setting: Setting) -> None:
    setting.run(TRIALS + UNLEARNING)
    for kind in (names.ORACLE, names.UNLEARNING):
        setting.checkpoint(setting.runs(kind)[0]).write_bytes(b"")
    outcome, notices = setting.run(TRIALS + UNLEARNING + MORE_UNLEARNING + AT_UNLEARNED)
    assert len(notices) == 2
    assert (outcome.trained, outcome.unlearned, outcome.measured, outcome.failed) == (0, 3, 2, {})
    assert Counter(run.info.status for run in setting.runs(names.ORACLE)) == {"FINISHED": 2, "FAILED": 1}
    assert Counter(run.info.status for run in setting.runs(names.UNLEARNING)) == {"FINISHED": 4, "FAILED": 1}
    assert not any(
        run.info.status == "RUNNING" for kind in (names.PROBE, names.UNLEARNING) for run in setting.runs(kind)
    )
