"""Checkpoints that are not what was written are noticed when they are needed, and made again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.experiments import TASK
from support.runs import runner

from qlab.digests import file_digest
from qlab.experiment.asking import schema
from qlab.experiment.planning.plan import DAMAGED
from qlab.experiment.reporting import Silent
from qlab.experiment.runner import Outcome
from qlab.tracking import names
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
