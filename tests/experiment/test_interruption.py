"""Stopping a run: Ctrl-C, or the signal by which batch systems stop a job."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.experiments import SLOW, TASK
from support.runs import runner

from qlab.experiment.asking import schema
from qlab.tracking import frames, names
from qlab.tracking.store import Store

pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning"),
    pytest.mark.skipif(sys.platform == "win32", reason="signals are not sent to processes on Windows"),
]

EXPERIMENT = f"""
name = "stopped"
{TASK}
[[model]]
type = "MLP"
hidden = [4]
training = {{ epochs = 1 }}
[[model]]
type = "slow:Slow"
hidden = [4]
[training]
epochs = 120
batch_size = 64
[run]
seeds = 2
"""


@dataclasses.dataclass(frozen=True)
class Stopped:
    """A run that was stopped while its second ensemble was training."""

    folder: Path
    status: int
    output: str
    errors: str

    def store(self) -> Store:
        return Store(f"sqlite:///{self.folder}/mlruns/mlflow.db", create=False)


def statuses(database: Path) -> Counter[str]:
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return Counter(status for (status,) in connection.execute("SELECT status FROM runs WHERE name != 'claims'"))


def wait_until_second_ensemble_runs(process: subprocess.Popen[str], database: Path) -> None:
    """Until two trials have finished, and two others and the experiment itself are running."""
    for _ in range(3600):
        if process.poll() is not None:
            raise AssertionError(f"ended early: {process.communicate()}")
        if statuses(database) == {"FINISHED": 2, "RUNNING": 3}:
            time.sleep(0.3)
            return
        time.sleep(0.05)
    raise AssertionError(f"never came to its second ensemble: {statuses(database)}")


SIGNALS = {"Ctrl-C": signal.SIGINT, "termination": signal.SIGTERM}


@pytest.fixture(scope="module")
def all_stopped(
    tmp_path_factory: pytest.TempPathFactory, write_empty_store: Callable[[Path], str]
) -> Iterator[dict[str, Stopped]]:
    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    processes = {}
    for name in SIGNALS:
        folder = tmp_path_factory.mktemp("stopped")
        (folder / "slow.py").write_text(SLOW)
        (folder / "slow").touch()
        (folder / "stopped.toml").write_text(EXPERIMENT)
        write_empty_store(folder / "mlruns" / "mlflow.db")
        processes[name] = (
            folder,
            subprocess.Popen(
                [sys.executable, "-m", "qlab.cli", "run", "stopped.toml"],
                cwd=folder,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            ),
        )
    found = {}
    try:
        for name, (folder, process) in processes.items():
            wait_until_second_ensemble_runs(process, folder / "mlruns" / "mlflow.db")
            process.send_signal(SIGNALS[name])
            output, errors = process.communicate(timeout=60)
            found[name] = Stopped(folder, process.returncode, output, errors)
        yield found
    finally:
        for _, process in processes.values():
            process.kill()
            process.wait()
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()


@pytest.fixture(params=SIGNALS)
def stopped(request: pytest.FixtureRequest, all_stopped: dict[str, Stopped]) -> Stopped:
    return all_stopped[request.param]


def test_it_ends_with_a_word_and_no_traceback(stopped: Stopped) -> None:
    assert stopped.status == 130
    assert "Interrupted" in stopped.errors
    assert "Traceback" not in stopped.output + stopped.errors


def test_plain_lines_tell_how_far_it_came(stopped: Stopped) -> None:
    lines = stopped.output.splitlines()
    assert lines[0] == "stopped: 4 trials, 0 in the store already, 4 to train in 2 ensembles"
    assert lines[1].startswith("[1/2] MLP on XXZ, NoCorruption: 2 trials, 1 epoch")
    assert lines[-1].startswith("[2/2] slow:Slow on XXZ")
    assert "\x1b" not in stopped.output


def test_what_was_running_is_killed_and_what_was_finished_is_kept(stopped: Stopped) -> None:
    store = stopped.store()
    found = frames.runs(store, store.experiment_ids(["stopped"]))
    parents = found[found["kind"] == names.EXPERIMENT]
    trials = found[found["kind"] == names.TRIAL]
    assert list(parents["status"]) == ["KILLED"]
    assert set(trials[trials["model.type"] == "MLP"]["status"]) == {"FINISHED"}
    killed = trials[trials["model.type"] == "slow:Slow"]
    assert list(killed["status"]) == ["KILLED", "KILLED"]
    for run_id in killed["run_id"]:
        assert store.client.get_run(run_id).data.tags[names.ERROR] == "interrupted"


def test_the_epochs_until_then_are_kept(stopped: Stopped) -> None:
    store = stopped.store()
    found = frames.trials(store, store.experiment_ids(["stopped"]))
    for run_id in found[found["status"] == "KILLED"]["run_id"]:
        steps = [metric.step for metric in store.client.get_metric_history(run_id, "train_loss")]
        assert steps == list(range(1, len(steps) + 1))
        assert len(steps) >= 1


def test_a_second_run_goes_on(all_stopped: dict[str, Stopped]) -> None:
    stopped = all_stopped["Ctrl-C"]
    (stopped.folder / "slow").unlink()
    store = stopped.store()
    outcome = runner(store).run(schema.load(stopped.folder / "stopped.toml"))
    assert (outcome.trained, outcome.reused, outcome.failed) == (2, 2, {})
    assert store.client.get_run(outcome.parent_run).info.status == "FINISHED"
    assert list(outcome.table["kept"]) == [2, 2]
    (stopped.folder / "slow").touch()
