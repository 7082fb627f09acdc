"""Audits that are killed, that fail in part, or that share a store with what came before, end with the same numbers."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.experiments import TASK
from support.forks import Forks
from support.runs import run_text, runner

from qlab.experiment.asking import schema
from qlab.experiment.reporting import Silent
from qlab.tracking import frames, names
from qlab.tracking.store import Store

OWN = """
import time
from pathlib import Path

import torch
from qlab import MLP, Finetune, seeding
from qlab.unlearning import oracle

HERE = Path(__file__).parent
SEEDS = [oracle.seed_of(0, 5), oracle.seed_of(0, 20), oracle.shadow_seed_of(0, 7)]
BAD = {seeding.generator(seed, "initialization").initial_seed() for seed in SEEDS}


class Slow(Finetune):
    '''Leaves word that it unlearns, and waits, while there is a file "wait".'''

    def loss(self, student, teacher, data):
        while (HERE / "wait").exists():
            (HERE / "there").touch()
            time.sleep(0.01)
        return super().loss(student, teacher, data)


class Odd(MLP):
    '''Two oracles and a shadow model of seed 0 have no numbers; with a file "raise" they fail, with "stuck" they
    say the same of every row, whatever they are trained on.'''

    def reset_parameters(self, generator):
        super().reset_parameters(generator)
        if generator.initial_seed() in BAD:
            if (HERE / "stuck").exists():
                for parameter in self.parameters():
                    torch.nn.init.zeros_(parameter)
            if (HERE / "raise").exists():
                raise RuntimeError("the kettle is dry")
            if (HERE / "odd").exists():
                torch.nn.init.constant_(self.biases[0], torch.nan)
"""


def text(model: str = "MLP", method: str = "Finetune", *, metrics: str = '"klom", "distance"', seeds: int = 1) -> str:
    return f"""
name = "audited"
{TASK}
[corruption]
type = "LabelFlip"
ratio = 0.5
[[model]]
type = "{model}"
hidden = [4]
dtype = "float64"
training = {{ epochs = 40, batch_size = 8 }}
[[unlearner]]
type = "{method}"
steps = 3
[audit]
oracles = 16
models = 16
bins = 4
metrics = [{metrics}]
[run]
seeds = {seeds}
oracles = 2
checkpoint_seconds = 0.0
"""


def numbers(store: Store) -> pd.DataFrame:
    """Metrics of unlearning runs, but for times."""
    found = frames.runs_of_kind(store, store.experiment_ids(), names.UNLEARNING)
    metrics = [name for name in frames.metric_columns(found) if not name.endswith("seconds")]
    return found.set_index("trial")[metrics].sort_index()


def wait_for(found: Callable[[], bool], folder: Path) -> None:
    end = time.monotonic() + 120.0
    while not found():
        assert time.monotonic() < end, (folder / "output.txt").read_text()
        time.sleep(0.005)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_killed_while_it_trains_for_audits_and_while_it_unlearns_it_ends_as_if_undisturbed(
    tmp_path: Path, write_empty_store: Callable[[Path], str]
) -> None:
    folder, warmup = tmp_path / "killed", tmp_path / "warmup"
    for place in (folder, warmup):
        write_empty_store(place / "mlruns" / "mlflow.db")
        (place / "own.py").write_text(OWN)
        (place / "swept.toml").write_text(text(method="own:Slow"))
    printed = folder / "output.txt"

    def said() -> str:
        return printed.read_text() if printed.exists() else ""

    with contextlib.closing(Forks(folder, warmup)) as forks:
        for words in ("oracles of MLP on XXZ: 14 trials", "shadow models of MLP on XXZ: 16 trials"):
            pid = forks.start("run", "swept.toml")
            wait_for(lambda words=words: words in said(), folder)
            os.kill(pid, signal.SIGKILL)
            forks.wait()
        assert "audits of" not in said()
        (folder / "wait").touch()
        pid = forks.start("run", "swept.toml")
        wait_for((folder / "there").exists, folder)
        os.kill(pid, signal.SIGKILL)
        assert forks.wait() == -signal.SIGKILL
        (folder / "wait").unlink()
        forks.start("run", "swept.toml")
        assert forks.wait() == 0, said()
    assert re.search(r"\[1/1\] audits of MLP LabelFlip 0.5 seed 0: 1 method against 16 oracles", said())
    assert "Traceback" not in said()
    store = Store(f"sqlite:///{folder}/mlruns/mlflow.db", create=False)
    runs = list(store.search(store.experiment_ids(["audited"])))
    assert not any(run.info.status == "RUNNING" for run in runs)
    finished = Counter(run.data.tags.get(names.TRIAL_KEY) for run in runs if run.info.status == "FINISHED")
    assert set(finished.values()) == {1}
    alone = Store(write_empty_store(tmp_path / "alone" / "mlflow.db"))
    assert not runner(alone).run(schema.load(folder / "swept.toml")).failed
    expected = numbers(alone)
    assert expected["klom_forget"].notna().all()
    pd.testing.assert_frame_equal(numbers(store), expected, rtol=1e-9)


class Told(Silent):
    """Keeps how many jobs there are to be, how many there were, and what is remarked."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.assembled_jobs: list[int] = []
        self.remarks: list[str] = []

    def assembled(self, jobs: int) -> None:
        self.assembled_jobs.append(jobs)

    def ensemble_started(self, label: str, engine: str, trials: int, epochs: int) -> None:
        self.begun.append(label)

    def auditing_started(self, label: str, oracles: int, methods: int) -> None:
        self.begun.append(label)

    def measuring_finished(self, seconds: float, failed: int, remark: str = "") -> None:
        self.remarks.append(remark)


def test_how_much_there_is_to_do_is_known_from_the_start(store: Store, tmp_path: Path) -> None:
    told = Told()
    runner(store, told).run(schema.parse(text(seeds=2), source="given.toml", folder=tmp_path))
    # Training, oracles, the method; and of each model further oracles, shadow models and audits.
    assert told.assembled_jobs == [len(told.begun)] == [3 + 2 * 3]
    assert told.remarks == ["", ""]


def test_models_without_numbers_are_left_out_and_said(store: Store, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "odd").touch()
    told = Told()
    given = schema.parse(text("own:Odd"), source="given.toml", folder=tmp_path)
    assert not runner(store, told).run(given).failed
    assert told.remarks == ["1 of 16 oracles left out (1 diverged) and 1 of 16 shadow models left out (1 diverged)"]
    (row,) = frames.runs_of_kind(store, store.experiment_ids(), names.UNLEARNING).to_dict("records")
    assert (row["klom_oracles"], row["klom_models"]) == (15, 15)


def test_shadow_models_that_never_fit_as_many_flips_are_left_out_and_said(store: Store, tmp_path: Path) -> None:
    """Also those that a run finds in its store. Oracles have no flips to fit."""
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "stuck").touch()
    goal = text("own:Odd").replace("epochs = 40, batch_size = 8", "epochs = 60, learning_rate = 0.05, stop_at = 0.7")
    for metrics in ('"klom", "distance"', '"klom", "distance", "corrective_accuracy"'):
        told = Told()
        given = goal.replace('"klom", "distance"', metrics)
        assert not runner(store, told).run(schema.parse(given, source="given.toml", folder=tmp_path)).failed
        shadows = frames.runs_of_kind(store, store.experiment_ids(), names.SHADOW)
        missed = int((shadows["health"] == "unreached").sum())
        assert 1 <= missed <= 12
        assert told.remarks == [f"{missed} of 16 shadow models left out ({missed} unreached)"]
        [run] = store.search(store.experiment_ids(), f"tags.`{names.KIND}` = '{names.UNLEARNING}'")
        assert run.data.tags[names.LEFT_OUT_OF_AUDITS] == told.remarks[0]
        assert run.data.metrics["klom_models"] == 16 - missed
    with np.load(store.fetch_file(run.info.run_id, names.AUDIT_FILE.format("corrective_accuracy"), tmp_path)) as found:
        assert found["unlearned"].shape == (16 - missed,)


def test_an_audit_of_too_few_that_are_sound_fails_and_says_how_many_there_are(store: Store, tmp_path: Path) -> None:
    never = text().replace("epochs = 40, batch_size = 8", "epochs = 2, stop_at = 1.0")
    outcome = run_text(store, tmp_path, never)
    ((label, why),) = outcome.failed.values()
    assert label == "klom of Finetune of MLP LabelFlip 0.5 seed 0"
    assert "it takes 4 unlearned models, and only 0 of 16 can be compared (16 unreached)" in why


def test_oracles_that_fail_fail_their_audits_and_leave_no_old_numbers_in_their_place(
    store: Store, tmp_path: Path
) -> None:
    (tmp_path / "own.py").write_text(OWN)
    given = text("own:Odd").replace("[[unlearner]]", '[[model]]\ntype = "MLP"\nhidden = [4]\n[[unlearner]]', 1)
    assert not run_text(store, tmp_path, given).failed
    (tmp_path / "raise").touch()
    outcome = run_text(store, tmp_path, given, audit__oracles=40)
    labels = sorted(label for label, _ in outcome.failed.values())
    own = "Finetune of own:Odd LabelFlip 0.5 seed 0"
    assert labels == [f"distance of {own}", f"klom of {own}"]
    assert all("the kettle is dry" in why for _, why in outcome.failed.values())
    table = frames.runs_of_kind(store, store.experiment_ids(), names.UNLEARNING).set_index("model.type")
    assert table.loc["MLP", "klom_oracles"] == 40
    assert np.isnan(table.loc["own:Odd", "klom_forget"])  # those of 16 oracles are no result of this audit
    assert np.isfinite(table.loc["own:Odd", "retain_accuracy"])
    assert list(outcome.audits["model"]) == ["MLP"]
    (tmp_path / "raise").unlink()
    assert not run_text(store, tmp_path, given, audit__oracles=40).failed
    table = frames.runs_of_kind(store, store.experiment_ids(), names.UNLEARNING).set_index("model.type")
    assert table.loc["own:Odd", "klom_oracles"] == 40
