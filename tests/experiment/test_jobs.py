"""`qlab run --jobs`: the same experiment in several processes, some of which are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support.commands import started
from support.experiments import SLOW, TASK

from qlab.cli import main
from qlab.experiment import schema
from qlab.experiment.job import Job
from qlab.experiment.portions import Share
from qlab.experiment.process import HelperProcess
from qlab.experiment.runner import Runner
from qlab.tracking import frames, names
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


def workers(runs: list[Any], *statuses: str) -> set[str]:
    kinds = (names.TRIAL, names.UNLEARNING, names.PROBE)
    found = (run for run in runs if run.info.status in statuses and run.data.tags[names.KIND] in kinds)
    return {run.data.tags[names.WORKER] for run in found}


def until_both_train(folder: Path) -> None:
    store = store_of(folder)

    def both() -> bool:
        return store.find_experiment("shared") is not None and len(workers(runs_of(store), "RUNNING")) == 2

    wait_for(both, "two workers with trials running")


def children(process: subprocess.Popen[str]) -> list[int]:
    text = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return [int(pid) for pid in text.split()]


def exists(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def finals(runs: list[Any]) -> dict[tuple[str, str], dict[str, float]]:
    left_out = ("seconds", "loss_evaluations")
    return {
        (run.data.tags[names.KIND], run.data.tags[names.TRIAL_KEY]): {
            name: value for name, value in run.data.metrics.items() if not name.endswith(left_out)
        }
        for run in runs
        if names.TRIAL_KEY in run.data.tags
    }


def test_two_processes_give_what_one_gives(folder: Path, write_empty_store: Callable[[Path], str]) -> None:
    (folder / "wait").touch()
    with running(folder) as process:
        until_both_train(folder)
        (folder / "wait").unlink()
        output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, (output, errors)
    assert "2 workers: this process and " in output
    assert "4 trials trained, 0 from the store, 4 unlearning runs, 4 probes taken" in output
    assert "Traceback" not in output + errors
    runs = runs_of(store_of(folder))
    assert {run.info.status for run in runs} == {"FINISHED"}
    keys = Counter(run.data.tags[names.TRIAL_KEY] for run in runs if names.TRIAL_KEY in run.data.tags)
    assert set(keys.values()) == {1}
    assert len(workers(runs, "FINISHED")) == 2
    alone = Store(write_empty_store(folder / "alone" / "mlflow.db"))
    Runner(alone).run(schema.load(folder / "shared.toml"))
    expected, found = finals(runs_of(alone)), finals(runs)
    assert found.keys() == expected.keys()
    for key, metrics in expected.items():
        assert found[key] == pytest.approx(metrics, abs=1e-9, rel=1e-9, nan_ok=True)


def test_a_process_that_is_killed_is_replaced_by_the_others(folder: Path) -> None:
    (folder / "wait").touch()
    with running(folder) as process:
        until_both_train(folder)
        (child,) = children(process)
        os.kill(child, signal.SIGKILL)
        (folder / "wait").unlink()
        output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, (output, errors)
    assert "A worker process has ended: it was ended by SIGKILL." in output
    runs = runs_of(store_of(folder))
    assert not any(run.info.status == "RUNNING" for run in runs)
    finished = Counter(run.data.tags.get(names.TRIAL_KEY) for run in runs if run.info.status == "FINISHED")
    assert {count for key, count in finished.items() if key and key in finals(runs)} <= {1}
    assert "4 of 4" in output


def test_processes_end_with_a_command_that_is_killed(folder: Path) -> None:
    (folder / "wait").touch()
    with running(folder) as process:
        until_both_train(folder)
        (child,) = children(process)
        store = store_of(folder)
        process.kill()
        process.wait()
        wait_for(lambda: not exists(child), "the other process ends", 10.0)
        # What the command itself was at looks as if it were running: it could not say otherwise.
        assert len(workers(runs_of(store), "RUNNING")) == 1
        assert len(workers(runs_of(store), "KILLED")) == 1


@pytest.mark.parametrize("how", ["Ctrl-C", "SIGTERM"])
def test_an_interrupt_ends_all_processes(folder: Path, how: str) -> None:
    (folder / "wait").touch()
    with running(folder) as process:
        until_both_train(folder)
        (child,) = children(process)
        if how == "Ctrl-C":
            os.killpg(process.pid, signal.SIGINT)
        else:
            process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 130
        assert errors.count("Interrupted") == 1
        assert "Traceback" not in errors
        assert not exists(child)
    store = store_of(folder)
    # On a busy machine there may be no time to mark all of them; whoever reads the store sees what they are.
    found = frames.runs(store, store.experiment_ids(["shared"]))
    assert {"RUNNING"}.isdisjoint(found["status"])
    assert len(set(found[found["status"].isin(["KILLED", "INTERRUPTED"])][names.WORKER])) == 2


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
    trials = [run for run in runs_of(store_of(folder)) if run.data.tags[names.KIND] == names.TRIAL]
    assert Counter(run.info.status for run in trials) == {"FAILED": 4}
    assert len(workers(trials, "FAILED")) == 2


def test_a_process_that_does_not_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "qlab").mkdir()
    (tmp_path / "qlab" / "__init__.py").write_text('raise ImportError("this one is broken")')
    said: list[dict[str, str]] = []
    ended = threading.Event()

    def hear(what: dict[str, str]) -> None:
        said.append(what)
        ended.set()

    process = HelperProcess(1, hear, {"PYTHONPATH": str(tmp_path)})
    assert ended.wait(30.0)
    process.close()
    process.join()
    assert [what["state"] for what in said] == ["ended"]
    assert said[0]["reason"] == "ImportError: this one is broken"


def test_a_helper_refuses_an_experiment_that_is_another_one_for_it(folder: Path) -> None:
    experiment = schema.load(folder / "shared.toml")
    job = Job.of(experiment, "sqlite:///nowhere.db", ["abc"], Share(2, 2))
    assert Job.parse(job.show()).experiment().content == experiment.content
    assert Job.parse(job.show()).share == Share(2, 2)
    (folder / "slow.py").write_text(SLOW + "OTHER = 1\n")
    with pytest.raises(Exception, match="means something else here"):
        Job.parse(job.show()).experiment()
    (folder / "slow.py").rename(folder / "moved.py")
    with pytest.raises(Exception, match="slow"):
        Job.parse(job.show()).experiment()


@pytest.mark.parametrize("number", ["0", "-1", "two"])
def test_a_number_of_processes_is_a_positive_integer(number: str) -> None:
    result = CliRunner().invoke(main, ["run", "xxz_flip", "--dry-run", "--jobs", number])
    assert result.exit_code == 2
    assert "'--jobs'" in result.output
