"""Several commands run one file at a time: one works, the others wait, and all end with everything."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.experiments import SLOW, TASK

from qlab.experiment.asking import schema
from qlab.experiment.planning.plan import Plan
from qlab.experiment.runner import Runner
from qlab.tracking import names
from qlab.tracking.lock import experiment_lock
from qlab.tracking.standing import REASON
from qlab.tracking.store import Store

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are not sent to processes on Windows")

EXPERIMENT = f"""
name = "shared"
{TASK}
[corruption]
type = "LabelFlip"
ratio = 0.25
[[model]]
type = "slow:Slow"
hidden = [4]
[[model]]
type = "MLP"
hidden = [4]
[training]
epochs = 3
[run]
seeds = 3
oracles = 1
"""

MORE = """
[[unlearner]]
type = "Finetune"
steps = 3
[[probe]]
type = "HessianProbe"
"""


@pytest.fixture
def folder(tmp_path: Path, write_empty_store: Callable[[Path], str]) -> Path:
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "shared.toml").write_text(EXPERIMENT)
    write_empty_store(tmp_path / "mlruns" / "mlflow.db")
    return tmp_path


def start(folder: Path, *options: str, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "qlab", "run", "shared.toml", *options],
        cwd=folder,
        env={key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"} | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def store_of(folder: Path) -> Store:
    return Store(f"sqlite:///{folder}/mlruns/mlflow.db", create=False)


def runs_of(folder: Path) -> list[Any]:
    store = store_of(folder)
    return list(store.search(store.experiment_ids(["shared"])))


def wait_for(condition: Callable[[], bool], what: str) -> None:
    for _ in range(600):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError(f"never: {what}")


def running_trials(folder: Path) -> int:
    store = store_of(folder)
    if store.find_experiment("shared") is None:
        return 0
    return sum(run.info.status == "RUNNING" and run.data.tags[names.KIND] == names.TRIAL for run in runs_of(folder))


def waiting(process: subprocess.Popen[str]) -> str:
    """The line in which a command says whom it waits for."""
    assert process.stdout is not None
    while "waiting" not in (line := process.stdout.readline()):
        assert process.poll() is None
    return line


def test_one_works_and_the_others_find_the_work_done(folder: Path) -> None:
    (folder / "shared.toml").write_text(EXPERIMENT + MORE)
    (folder / "wait").touch()
    first = start(folder)
    try:
        wait_for(lambda: running_trials(folder) == 3, "three trials running")
        others = [start(folder) for _ in range(2)]
        for other in others:
            said = waiting(other)
            assert re.fullmatch(rf"shared is being run by process {first.pid} on \S+, since \d\d:\d\d: waiting\n", said)
        (folder / "wait").unlink()
        outputs = [process.communicate(timeout=240) for process in (first, *others)]
        assert [process.returncode for process in (first, *others)] == [0, 0, 0], outputs
        assert "6 trials trained, 0 from the store, 6 unlearning runs, 6 probes taken" in outputs[0][0]
        for output, errors in outputs[1:]:
            assert "0 trials trained, 6 from the store, 0 unlearning runs, 0 probes taken" in output
            assert errors == ""
    finally:
        first.kill()
        first.communicate()
    keys = Counter(run.data.tags[names.TRIAL_KEY] for run in runs_of(folder) if names.TRIAL_KEY in run.data.tags)
    assert set(keys.values()) == {1}
    assert {run.info.status for run in runs_of(folder)} == {"FINISHED"}


def test_who_waits_takes_over_from_who_is_killed(folder: Path) -> None:
    (folder / "wait").touch()
    first = start(folder, "--set", "run.checkpoint_seconds=0")
    try:
        wait_for(lambda: running_trials(folder) == 3, "three trials running")
        second = start(folder, "--set", "run.checkpoint_seconds=0")
        waiting(second)
        first.send_signal(signal.SIGKILL)
        first.wait()
        (folder / "wait").unlink()
        output, errors = second.communicate(timeout=240)
        assert second.returncode == 0, (output, errors)
        assert "6 trials trained, 0 from the store" in output
    finally:
        first.kill()
        first.communicate()
    trials = [run for run in runs_of(folder) if run.data.tags[names.KIND] == names.TRIAL]
    assert Counter(run.info.status for run in trials) == {"FINISHED": 6, "KILLED": 3}
    assert {run.data.tags[names.ERROR] for run in trials if run.info.status == "KILLED"} == {REASON}


def test_who_does_not_wait_says_for_whom_it_would_have_to(folder: Path) -> None:
    (folder / "wait").touch()
    first = start(folder)
    try:
        wait_for(lambda: running_trials(folder) == 3, "three trials running")
        second = start(folder, "--no-wait")
        _, errors = second.communicate(timeout=60)
        assert second.returncode == 1
        assert re.match(rf"Error: shared is being run by process {first.pid} on \S+, since [\d:]+\. ", errors)
        assert "--no-wait" in errors
        assert errors.count("\n") == 1
        assert running_trials(folder) == 3
        (folder / "wait").unlink()
        first.communicate(timeout=240)
        assert first.returncode == 0
    finally:
        first.kill()
        first.communicate()


def test_who_waits_can_be_interrupted(folder: Path) -> None:
    (folder / "wait").touch()
    first = start(folder)
    try:
        wait_for(lambda: running_trials(folder) == 3, "three trials running")
        second = start(folder)
        waiting(second)
        second.send_signal(signal.SIGINT)
        _, errors = second.communicate(timeout=60)
        assert second.returncode == 130
        assert "Traceback" not in errors
        assert running_trials(folder) == 3
        (folder / "wait").unlink()
        first.communicate(timeout=240)
        assert first.returncode == 0
    finally:
        (folder / "wait").unlink(missing_ok=True)
        first.kill()
        first.communicate()


def test_what_fails_elsewhere_is_not_tried_again_and_counts_as_failed(folder: Path) -> None:
    (folder / "wait").touch()
    first = start(folder)
    try:
        wait_for(lambda: running_trials(folder) == 3, "three trials running")
        second = start(folder)
        waiting(second)
        (folder / "fail").touch()
        (folder / "wait").unlink()
        outputs = [process.communicate(timeout=240)[0] for process in (first, second)]
        assert [first.returncode, second.returncode] == [1, 1]
        for output in outputs:
            assert output.count("the kettle is dry") >= 1
    finally:
        first.kill()
        first.communicate()
    failed = [run for run in runs_of(folder) if run.info.status == "FAILED" and names.TRIAL_KEY in run.data.tags]
    assert len([run for run in failed if run.data.tags[names.KIND] == names.TRIAL]) == 3


def test_a_dry_run_calls_what_nobody_runs_interrupted(folder: Path) -> None:
    store = store_of(folder)
    experiment = schema.load(folder / "shared.toml")
    place = store.experiment_id("shared")
    for trial in experiment.trials[:2]:
        tags = {names.KIND: names.TRIAL, names.TRIAL_KEY: trial.key}
        store.create_run(place, trial.label, params=trial.params, tags=tags)

    def states() -> list[str]:
        return [Plan.of(experiment, store).state(trial.key) for trial in experiment.trials[:3]]

    assert states() == ["interrupted", "interrupted", "new"]
    with experiment_lock(store, place) as lock:
        lock.acquire()
        assert states() == ["running", "running", "new"]


def test_threads_of_one_process_share_as_well(folder: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def work(_: int) -> int:
        store = store_of(folder)
        experiment = schema.load(folder / "shared.toml", [("training.epochs", 2)])
        return Runner(store).run(experiment).trained

    with ThreadPoolExecutor(2) as pool:
        trained = list(pool.map(work, range(2)))
    assert sum(trained) == 6
