"""`qlab run --jobs`: the same experiment in several processes, some of which are killed."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import psutil
import pytest
from click.testing import CliRunner
from support.commands import started
from support.experiments import SLOW, TASK
from support.runs import runner

from qlab.cli import main
from qlab.experiment.asking import schema
from qlab.tracking import frames, names
from qlab.tracking.store import Store

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are not sent to processes on Windows")

DEADLY = """
import multiprocessing, os

from qlab import MLP


class Deadly(MLP):
    def forward(self, prepared):
        if multiprocessing.parent_process() is not None:
            os._exit(1)
        return super().forward(prepared)
"""

EXPERIMENT = f"""
name = "shared"
{TASK}
[corruption]
type = "LabelFlip"
ratio = 0.25
[[model]]
type = "slow:Slow"
hidden = [4]
dtype = "float64"
[training]
epochs = 3
[[unlearner]]
type = "Finetune"
steps = 3
[[probe]]
type = "HessianProbe"
[run]
seeds = 4
oracles = 1
"""


@pytest.fixture
def folder(tmp_path: Path, write_empty_store: Callable[[Path], str]) -> Path:
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "shared.toml").write_text(EXPERIMENT)
    write_empty_store(tmp_path / "mlruns" / "mlflow.db")
    return tmp_path


def running(folder: Path) -> AbstractContextManager[subprocess.Popen[str]]:
    return started(folder, "run", "shared.toml", "--jobs", "2", session=True)


def runs_of(store: Store) -> list[Any]:
    return list(store.search(store.experiment_ids(["shared"])))


def store_of(folder: Path) -> Store:
    return Store(f"sqlite:///{folder}/mlruns/mlflow.db", create=False)


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 90.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.1)


def trials(folder: Path, *statuses: str) -> list[Any]:
    found = runs_of(store_of(folder))
    return [run for run in found if run.data.tags[names.KIND] == names.TRIAL and run.info.status in statuses]


def saved(folder: Path) -> list[Any]:
    """The trials that have a state to go on from."""
    if not (folder / "mlruns" / "mlflow.db").exists() or store_of(folder).find_experiment("shared") is None:
        return []
    return [run for run in trials(folder, "RUNNING", "KILLED", "FINISHED") if names.RESUME in run.data.tags]


def training(folder: Path) -> list[int]:
    """The processes that train, of those that leave their numbers."""
    found = (int(file.name) for file in (folder / "processes").iterdir())
    return [pid for pid in found if exists(pid)]


def until_both_train(folder: Path) -> None:
    store = store_of(folder)

    def both() -> bool:
        return store.find_experiment("shared") is not None and len(trials(folder, "RUNNING")) == 4

    wait_for(both, "two workers, each with two trials running")


def workers(process: subprocess.Popen[str]) -> list[int]:
    """The processes that Dask has started to run jobs."""
    found = psutil.Process(process.pid).children(recursive=True)
    return [child.pid for child in found if "spawn_main" in " ".join(child.cmdline())]


def exists(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def histories(store: Store) -> dict[str, list[tuple[int, float]]]:
    """The losses after each epoch, by trial."""
    return {
        run.data.tags[names.TRIAL_KEY]: [
            (step, round(value, 9)) for step, value in store.metric_history(run.info.run_id, "train_loss")
        ]
        for run in runs_of(store)
        if run.data.tags[names.KIND] == names.TRIAL
    }


def finals(runs: list[Any]) -> dict[tuple[str, str], dict[str, float]]:
    left_out = ("seconds", "loss_evaluations")
    return {
        (run.data.tags[names.KIND], run.data.tags[names.TRIAL_KEY]): {
            name: value for name, value in run.data.metrics.items() if not name.endswith(left_out)
        }
        for run in runs
        if names.TRIAL_KEY in run.data.tags
    }


def check_same(folder: Path, alone: Store, *assignments: tuple[str, Any]) -> None:
    """Runs the experiment in this process, and compares."""
    runner(alone).run(schema.load(folder / "shared.toml", assignments))
    expected, found = finals(runs_of(alone)), finals(runs_of(store_of(folder)))
    assert found.keys() == expected.keys()
    for key, metrics in expected.items():
        assert found[key] == pytest.approx(metrics, abs=1e-9, rel=1e-9, nan_ok=True)
    assert histories(store_of(folder)) == histories(alone)


def test_two_processes_give_what_one_gives(folder: Path, write_empty_store: Callable[[Path], str]) -> None:
    (folder / "wait").touch()
    with running(folder) as process:
        until_both_train(folder)
        (folder / "wait").unlink()
        output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, (output, errors)
    assert re.search(r"^2 worker processes; dashboard: http://127\.0\.0\.1:\d+/status$", output, re.MULTILINE)
    assert "4 trials trained, 0 from the store, 4 unlearning runs, 4 probes taken" in output
    assert errors == ""
    runs = runs_of(store_of(folder))
    assert {run.info.status for run in runs} == {"FINISHED"}
    keys = Counter(run.data.tags[names.TRIAL_KEY] for run in runs if names.TRIAL_KEY in run.data.tags)
    assert set(keys.values()) == {1}
    check_same(folder, Store(write_empty_store(folder / "alone" / "mlflow.db")))


def test_a_worker_that_is_killed_is_replaced(folder: Path) -> None:
    (folder / "wait").touch()
    with running(folder) as process:
        until_both_train(folder)
        os.kill(workers(process)[0], signal.SIGKILL)
        (folder / "wait").unlink()
        output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, (output, errors)
    runs = runs_of(store_of(folder))
    assert {run.info.status for run in runs} == {"FINISHED"}
    keys = Counter(run.data.tags[names.TRIAL_KEY] for run in runs if names.TRIAL_KEY in run.data.tags)
    assert set(keys.values()) == {1}
    assert "4 of 4" in output


@pytest.mark.slow
def test_ten_workers_killed_in_one_run_change_nothing(folder: Path, write_empty_store: Callable[[Path], str]) -> None:
    """More often than Dask tries any job: a training that got on goes on from its last state."""
    (folder / "slow").touch()
    (folder / "processes").mkdir()
    longer = ("--set", "training.epochs=300", "--set", "run.checkpoint_seconds=0")
    with started(folder, "run", "shared.toml", "--jobs", "2", *longer, session=True) as process:
        wait_for(lambda: len(saved(folder)) == 4, "states of all trials")
        killed = 0
        while killed < 10:
            wait_for(lambda: bool(training(folder)) or process.poll() is not None, "a worker trains")
            assert process.poll() is None, process.communicate()
            worker = training(folder)[0]
            time.sleep(1.5 + 0.1 * killed)  # it gets on, and is not always at the same place
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
                killed += 1
            wait_for(lambda gone=worker: not exists(gone), "it is gone")
        assert process.poll() is None, process.communicate()
        (folder / "slow").unlink()
        output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, (output, errors)
    assert len(trials(folder, "FINISHED")) == len(trials(folder, "RUNNING", "KILLED", "FAILED", "FINISHED")) == 4
    check_same(folder, Store(write_empty_store(folder / "alone" / "mlflow.db")), ("training.epochs", 300))


def test_processes_end_with_a_command_that_is_killed(folder: Path) -> None:
    (folder / "wait").touch()
    with running(folder) as process:
        until_both_train(folder)
        children = workers(process)
        process.kill()
        process.wait()
        wait_for(lambda: not any(exists(child) for child in children), "the workers end", 20.0)
    # It could not say that they run no more; whoever reads the store sees it.
    assert len(trials(folder, "RUNNING")) == 4
    store = store_of(folder)
    assert {"RUNNING"}.isdisjoint(frames.trials(store, store.experiment_ids(["shared"]))["status"])


def test_trainings_of_workers_go_on_from_their_states(folder: Path, write_empty_store: Callable[[Path], str]) -> None:
    (folder / "slow").touch()
    longer = ("--set", "training.epochs=30", "--set", "run.checkpoint_seconds=0")
    with started(folder, "run", "shared.toml", "--jobs", "2", *longer, session=True) as process:
        wait_for(lambda: len(saved(folder)) == 4, "states of all trials")
        process.kill()
    (folder / "slow").unlink()
    with started(folder, "run", "shared.toml", "--jobs", "2", *longer, session=True) as process:
        output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, (output, errors)
    # Some may be an epoch behind the others, and then go on by themselves.
    assert sum(map(int, re.findall(r"Slow on XXZ, LabelFlip, after epoch \d+: (\d) trials?", output))) == 4
    assert len(trials(folder, "FINISHED")) == len(trials(folder, "RUNNING", "KILLED", "FINISHED")) == 4
    assert not saved(folder)
    alone = Store(write_empty_store(folder / "alone" / "mlflow.db"))
    runner(alone).run(schema.load(folder / "shared.toml", [("training.epochs", 30)]))
    assert histories(store_of(folder)) == histories(alone)


@pytest.mark.parametrize("how", ["Ctrl-C", "SIGTERM"])
def test_an_interrupt_ends_all_processes(folder: Path, how: str) -> None:
    (folder / "wait").touch()
    with running(folder) as process:
        until_both_train(folder)
        children = workers(process)
        if how == "Ctrl-C":
            os.killpg(process.pid, signal.SIGINT)
        else:
            process.send_signal(signal.SIGTERM)
        start = time.monotonic()
        _, errors = process.communicate(timeout=60)
        assert time.monotonic() - start < 9.0
        assert process.returncode == 130
        assert errors.count("Interrupted") == 1
        assert "Traceback" not in errors
        wait_for(lambda: not any(exists(child) for child in children), "the workers end", 10.0)
    store = store_of(folder)
    # On a busy machine there may be no time to mark all of them; whoever reads the store sees what they are.
    found = frames.trials(store, store.experiment_ids(["shared"]))
    assert set(found["status"]) <= {"KILLED", "INTERRUPTED"}


def test_what_fails_in_either_process_fails_once(folder: Path) -> None:
    (folder / "wait").touch()
    with running(folder) as process:
        until_both_train(folder)
        (folder / "fail").touch()
        (folder / "wait").unlink()
        output, errors = process.communicate(timeout=240)
    assert process.returncode == 1, (output, errors)
    listed = [line.partition(" (")[0] for line in output.splitlines() if line.startswith("FAILED ")]
    assert sorted(listed) == ["FAILED 4 of 4 probes", "FAILED 4 of 4 trials", "FAILED 4 of 4 unlearning runs"]
    assert output.count("the kettle is dry") >= 1
    assert len(trials(folder, "FAILED")) == 4


def test_a_job_that_kills_its_workers_fails_and_the_rest_goes_on(folder: Path) -> None:
    (folder / "deadly.py").write_text(DEADLY)
    (folder / "shared.toml").write_text(
        EXPERIMENT.replace('type = "slow:Slow"', 'type = "deadly:Deadly"') + '[[model]]\ntype = "MLP"\nhidden = [4]\n'
    )
    with running(folder) as process:
        output, errors = process.communicate(timeout=240)
    assert process.returncode == 1, (output, errors)
    assert "4 of 8 trials" in output
    assert "workers died while they ran it" in output
    assert Counter(run.info.status for run in trials(folder, "FINISHED", "FAILED")) == {"FINISHED": 4, "FAILED": 4}


@pytest.mark.parametrize("number", ["0", "-1", "two"])
def test_a_number_of_processes_is_a_positive_integer(number: str) -> None:
    result = CliRunner().invoke(main, ["run", "xxz_flip", "--dry-run", "--jobs", number])
    assert result.exit_code == 2
    assert "'--jobs'" in result.output
