"""A sweep whose process is killed again and again ends with what it would have had undisturbed."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.experiments import TASK
from support.forks import Forks
from support.runs import Stop, Stopper, runner

from qlab.errors import StoreError
from qlab.experiment.asking import schema
from qlab.experiment.asking.experiment import Experiment
from qlab.experiment.planning.plan import Plan
from qlab.experiment.recording import trainings
from qlab.experiment.runner import Outcome
from qlab.tracking import frames, names
from qlab.tracking.store import Store

EXPERIMENT = f"""
name = "swept"
{TASK}
[corruption]
type = "LabelFlip"
ratio = [0.0, 0.25]
[[model]]
type = "MLP"
hidden = [4]
dtype = "float64"
[[model]]
type = "PennyLaneQNN"
depth = 2
[training]
epochs = 100
batch_size = 8
[run]
seeds = 1
checkpoint_seconds = 0.0
"""

EVERY_EPOCH = trainings.EVERY_EPOCH


@pytest.fixture
def folder(tmp_path: Path, write_empty_store: Callable[[Path], str]) -> Path:
    (tmp_path / "swept.toml").write_text(EXPERIMENT)
    write_empty_store(tmp_path / "mlruns" / "mlflow.db")
    return tmp_path


def store_of(folder: Path) -> Store:
    return Store(f"sqlite:///{folder}/mlruns/mlflow.db", create=False)


def histories(store: Store, name: str) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """All metrics of every finished trial, by the trial's key."""
    trials = frames.trials(store, store.experiment_ids([name]), "attributes.status = 'FINISHED'")
    metrics = frames.metric_columns(trials)
    return {
        row["trial"]: {metric: store.metric_history(row["run_id"], metric) for metric in metrics}
        for row in trials.to_dict("records")
    }


def assert_same_histories(found: dict[str, Any], expected: dict[str, Any], tolerance: float) -> None:
    assert found.keys() == expected.keys()
    for key, metrics in expected.items():
        for metric, points in metrics.items():
            assert [step for step, _ in found[key][metric]] == [step for step, _ in points], metric
            np.testing.assert_allclose(
                [value for _, value in found[key][metric]], [value for _, value in points], atol=tolerance, rtol=0
            )


def wait_for_a_state(folder: Path) -> None:
    """Until a second state is being written: then the tag names the first."""
    end = time.monotonic() + 120.0
    while not any((folder / "mlruns").rglob(names.RESUME_SLOTS[1])):
        assert time.monotonic() < end, (folder / "output.txt").read_text()
        time.sleep(0.02)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_at_any_moment_it_ends_as_if_undisturbed(
    kills: int, folder: Path, tmp_path_factory: pytest.TempPathFactory, write_empty_store: Callable[[Path], str]
) -> None:
    moments = random.Random(20)
    warmup = tmp_path_factory.mktemp("warmup")
    (warmup / "swept.toml").write_text(EXPERIMENT)
    write_empty_store(warmup / "mlruns" / "mlflow.db")
    with contextlib.closing(Forks(folder, warmup)) as forks:
        for number in range(kills):
            pid = forks.start("run", "swept.toml")
            if number == 1:  # on a busy machine the others may all come too early: this one waits for a first state
                wait_for_a_state(folder)
            time.sleep(moments.uniform(0.1, 2.0) if number > 1 else 0.0)
            os.kill(pid, signal.SIGKILL)
            assert forks.wait() in (-signal.SIGKILL, 0)
        forks.start("run", "swept.toml", "--set", "run.checkpoint_seconds=30.0")
        assert forks.wait() == 0, (folder / "output.txt").read_text()
    store = store_of(folder)
    runs = list(store.search(store.experiment_ids(["swept"])))
    assert not any(run.info.status == "RUNNING" for run in runs)
    finished = Counter(run.data.tags.get(names.TRIAL_KEY) for run in runs if run.info.status == "FINISHED")
    assert finished.pop(None) == 1  # the experiment itself
    assert set(finished.values()) == {1}
    assert len(finished) == 4
    for run in runs:
        if run.info.status == "FINISHED":
            assert names.RESUME not in run.data.tags
            assert names.ERROR not in run.data.tags
            assert not (Path(store.artifact_place(run.info.run_id)) / "resume").exists()
    said = (folder / "output.txt").read_text()
    assert ", after epoch " in said
    assert "Traceback" not in said
    alone = Store(write_empty_store(tmp_path_factory.mktemp("undisturbed") / "mlflow.db"))
    undisturbed = runner(alone).run(schema.load(folder / "swept.toml", [("run.checkpoint_seconds", 30.0)]))
    assert undisturbed.trained == 4
    expected = histories(alone, "swept")
    assert_same_histories(histories(store, "swept"), expected, 1e-9)
    for metrics in expected.values():
        assert [step for step, _ in metrics["train_loss"]] == list(range(1, 101))


# In this process


SMALL = EXPERIMENT.replace("epochs = 100", "epochs = 9").replace('dtype = "float64"', "").split("[[model]]")
ONE_MODEL = SMALL[0] + "[[model]]" + SMALL[1] + SMALL[2][SMALL[2].index("[training]") :]


class Setting:
    """A store, and an experiment of two trials that was interrupted in its sixth epoch."""

    def __init__(self, store: Store, text: str = ONE_MODEL, epoch: int = 6) -> None:
        self.store = store
        self.text = text
        with pytest.raises(Stop):
            self.run(epoch)

    @property
    def experiment(self) -> Experiment:
        return schema.parse(self.text, source="swept.toml")

    def run(self, stop_after: int | None = None) -> tuple[Outcome, Stopper]:
        stopper = Stopper(stop_after)
        return runner(self.store, stopper).run(self.experiment), stopper

    def trials(self) -> list[Any]:
        ids = self.store.experiment_ids(["swept"])
        return list(self.store.search(ids, f"tags.`{names.KIND}` = '{names.TRIAL}'"))

    def slot(self, run: Any, which: str = "file") -> Path:
        entry = json.loads(run.data.tags[names.RESUME])
        file = entry["file"] if which == "file" else entry["previous"]["file"]
        return Path(self.store.artifact_place(run.info.run_id)) / file


@pytest.fixture
def interrupted(tmp_path: Path, write_empty_store: Callable[[Path], str], monkeypatch: pytest.MonkeyPatch) -> Setting:
    monkeypatch.chdir(tmp_path)
    return Setting(Store(write_empty_store(tmp_path / "mlruns" / "mlflow.db")))


@pytest.fixture
def expected(tmp_path_factory: pytest.TempPathFactory, write_empty_store: Callable[[Path], str]) -> Iterator[Any]:
    """The histories of an undisturbed run."""
    store = Store(write_empty_store(tmp_path_factory.mktemp("undisturbed") / "mlflow.db"))
    runner(store).run(schema.parse(ONE_MODEL, source="swept.toml"))
    return histories(store, "swept")


def test_the_same_runs_go_on_where_they_were(interrupted: Setting, expected: Any) -> None:
    before = interrupted.trials()
    assert [run.info.status for run in before] == ["KILLED", "KILLED"]
    outcome, told = interrupted.run()
    assert (outcome.trained, outcome.failed) == (2, {})
    assert told.labels == ["MLP on XXZ, LabelFlip, after epoch 5"]
    assert told.epochs == [6, 7, 8, 9]
    after = interrupted.trials()
    assert {run.info.run_id for run in after} == {run.info.run_id for run in before}
    for run in after:
        assert run.info.status == "FINISHED"
        assert not {names.RESUME, names.ERROR} & run.data.tags.keys()
        assert not (Path(interrupted.store.artifact_place(run.info.run_id)) / "resume").exists()
    assert_same_histories(histories(interrupted.store, "swept"), expected, 0.0)


def test_the_state_of_a_training_whose_worker_was_killed_when_it_had_finished_goes(interrupted: Setting) -> None:
    first, second = interrupted.trials()
    folders = [Path(interrupted.store.artifact_place(run.info.run_id)) / "resume" for run in (first, second)]
    interrupted.store.finish(first.info.run_id)  # and then, before it could delete the state, the power went
    interrupted.run()
    assert not any(folder.exists() for folder in folders)
    for run in interrupted.trials():
        assert run.info.status == "FINISHED"
        assert names.RESUME not in run.data.tags


def test_a_damaged_state_is_named_and_the_one_before_is_used(interrupted: Setting, expected: Any) -> None:
    damaged, whole = interrupted.trials()
    path = interrupted.slot(damaged)
    path.write_bytes(path.read_bytes()[:-7])
    _, told = interrupted.run()
    assert len(told.notices) == 1
    assert "its state after epoch 5 is damaged" in told.notices[0]
    assert damaged.info.run_name in told.notices[0]
    assert sorted(told.labels) == [f"MLP on XXZ, LabelFlip, after epoch {epoch}" for epoch in (4, 5)]
    assert {run.info.run_id for run in interrupted.trials()} == {damaged.info.run_id, whole.info.run_id}
    assert_same_histories(histories(interrupted.store, "swept"), expected, 1e-5)


def test_without_any_state_a_trial_starts_again_in_a_new_run(interrupted: Setting, expected: Any) -> None:
    damaged = interrupted.trials()[0]
    altered = bytearray(interrupted.slot(damaged).read_bytes())
    altered[len(altered) // 2] ^= 1
    interrupted.slot(damaged).write_bytes(altered)
    interrupted.slot(damaged, "previous").unlink()
    _, told = interrupted.run()
    assert [notice.split("epoch ")[1] for notice in told.notices] == [
        "5 is damaged and is not used",
        "4 is missing and is not used",
    ]
    assert told.labels == ["MLP on XXZ, LabelFlip", "MLP on XXZ, LabelFlip, after epoch 5"]
    states = Counter(run.info.status for run in interrupted.trials())
    assert states == {"FINISHED": 2, "KILLED": 1}
    assert_same_histories(histories(interrupted.store, "swept"), expected, 1e-5)


@pytest.mark.parametrize("tag", ["no JSON", "[]", "{}", '{"file": "/etc/passwd", "sha256": "", "epoch": 1}'])
def test_a_tag_that_says_nothing_is_no_state(interrupted: Setting, tag: str) -> None:
    for run in interrupted.trials():
        interrupted.store.set_tags(run.info.run_id, {names.RESUME: tag})
    outcome, told = interrupted.run()
    assert outcome.trained == 2
    assert told.labels == ["MLP on XXZ, LabelFlip"]


def test_an_error_of_the_store_costs_no_state(
    tmp_path: Path, write_empty_store: Callable[[Path], str], monkeypatch: pytest.MonkeyPatch, expected: Any
) -> None:
    """As when the disk is full for a moment: there is nothing wrong with the trials."""
    store = Store(write_empty_store(tmp_path / "mlruns" / "mlflow.db"))
    log_file, calls = Store.log_file, []

    def log_file_until_it_is_full(self: Store, run_id: str, file: Path, folder: str | None = None) -> None:
        calls.append(folder)
        if calls.count("resume") == 11:
            raise StoreError("There is no space left.")
        log_file(self, run_id, file, folder)

    monkeypatch.setattr(Store, "log_file", log_file_until_it_is_full)
    experiment = schema.parse(ONE_MODEL, source="swept.toml")
    with pytest.raises(StoreError, match="no space"):
        runner(store).run(experiment)
    told = Stopper(None)
    assert runner(store, told).run(experiment).trained == 2
    assert told.labels == ["MLP on XXZ, LabelFlip, after epoch 5"]
    assert_same_histories(histories(store, "swept"), expected, 0.0)


def test_what_failed_starts_afresh(interrupted: Setting) -> None:
    for run in interrupted.trials():
        interrupted.store.finish(run.info.run_id, "FAILED")
    outcome, told = interrupted.run()
    assert outcome.trained == 2
    assert told.epochs == list(range(1, 10))
    assert Counter(run.info.status for run in interrupted.trials()) == {"FAILED": 2, "FINISHED": 2}


def test_running_runs_without_a_worker_and_a_state_end_as_killed(interrupted: Setting) -> None:
    for run in interrupted.trials():
        interrupted.store.delete_tag(run.info.run_id, names.RESUME)
        interrupted.store.finish(run.info.run_id, "RUNNING")
    plan = Plan.of(interrupted.experiment, interrupted.store)
    assert plan.interrupted == {trial.key for trial in interrupted.experiment.trials}
    interrupted.run()
    assert Counter(run.info.status for run in interrupted.trials()) == {"KILLED": 2, "FINISHED": 2}


def test_a_trajectory_survives(tmp_path: Path, write_empty_store: Callable[[Path], str]) -> None:
    probe = '\n[[probe]]\ntype = "SliceProbe"\ndirections = "pca"\nresolution = 3\n'
    setting = Setting(Store(write_empty_store(tmp_path / "mlflow.db")), ONE_MODEL + probe)
    outcome, told = setting.run()
    assert outcome.measured == 2
    assert told.labels == ["MLP on XXZ, LabelFlip, after epoch 5"]  # nothing was trained again for the trajectory
    for run in setting.trials():
        assert setting.store.has_file(run.info.run_id, names.TRAJECTORY)


def test_a_curve_is_of_one_version_of_its_metric(tmp_path: Path, write_empty_store: Callable[[Path], str]) -> None:
    first = ONE_MODEL + '\n[[metric]]\ntype = "CalibrationError"\nwhen = "epoch"\nbins = 2\n'
    same = Setting(Store(write_empty_store(tmp_path / "same.db")), first)
    assert same.run()[1].labels == ["MLP on XXZ, LabelFlip, after epoch 5"]
    edited = Setting(Store(write_empty_store(tmp_path / "edited.db")), first)
    for run in edited.trials():
        edited.store.finish(run.info.run_id, "RUNNING")  # as if killed
    edited.text = first.replace("bins = 2", "bins = 7")
    outcome, told = edited.run()
    assert (outcome.trained, outcome.failed) == (2, {})
    assert told.epochs == list(range(1, 10))
    [said] = [text for text in told.notices if "calibration" in text]
    assert said.startswith("validation_calibration_error: 2 trials were interrupted before this version of the metric")
    assert Counter(run.info.status for run in edited.trials()) == {"KILLED": 2, "FINISHED": 2}
    undisturbed = Store(write_empty_store(tmp_path / "undisturbed.db"))
    runner(undisturbed).run(edited.experiment)
    assert_same_histories(histories(edited.store, "swept"), histories(undisturbed, "swept"), 0.0)


def test_a_version_counts_before_the_first_point_of_its_curve_too(
    tmp_path: Path, write_empty_store: Callable[[Path], str]
) -> None:
    """The state may be older than what was logged last."""
    first = ONE_MODEL.replace("seeds = 1", "seeds = 1\nevaluate_every = 7")
    first += '\n[[metric]]\ntype = "CalibrationError"\nwhen = "epoch"\nbins = 2\n'
    setting = Setting(Store(write_empty_store(tmp_path / "mlflow.db")), first, epoch=7)
    entries = [json.loads(run.data.tags[names.RESUME]) for run in setting.trials()]
    assert [entry["epoch"] for entry in entries] == [6, 6]
    setting.text = first.replace("bins = 2", "bins = 7")
    assert setting.run()[1].labels == ["MLP on XXZ, LabelFlip"]


def test_how_often_states_are_written_is_no_part_of_a_trial() -> None:
    often = schema.parse(ONE_MODEL, source="swept.toml")
    never = schema.parse(ONE_MODEL.replace("checkpoint_seconds = 0.0", ""), source="swept.toml")
    assert [trial.key for trial in often.trials] == [trial.key for trial in never.trials]
    assert often.content == never.content
    assert (often.checkpoint_seconds, never.checkpoint_seconds) == (0.0, 30.0)
