"""`qlab run --cluster`: a Dask cluster of processes on this machine, and what can be wrong with one."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support.commands import started
from support.experiments import SLOW, TASK

from qlab.cli import main
from qlab.errors import ConfigError
from qlab.experiment.asking import schema
from qlab.experiment.engine.versions import check_versions
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
[[model]]
type = "PennyLaneQNN"
depth = 1
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

CLUSTER = """
import sys
from distributed import LocalCluster

if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        print(cluster.scheduler_address, flush=True)
        for worker in cluster.workers.values():
            print(worker.pid, flush=True)
        sys.stdin.read()
"""

NO_MLFLOW = """
import sys


class NoMlflow:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "mlflow":
            raise ImportError("workers have no store")


sys.meta_path.insert(0, NoMlflow())
"""


@pytest.fixture
def folder(tmp_path: Path, write_empty_store: Callable[[Path], str]) -> Iterator[Path]:
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "shared.toml").write_text(EXPERIMENT)
    (tmp_path / "wait").touch()
    write_empty_store(tmp_path / "mlruns" / "mlflow.db")
    yield tmp_path
    (tmp_path / "wait").unlink(missing_ok=True)  # a test that failed keeps no worker from the next one


@contextlib.contextmanager
def clustered(place: Path) -> Iterator[tuple[str, list[int], subprocess.Popen[str]]]:
    """A scheduler's address, the processes of its two workers, and its own; MLflow cannot be imported there."""
    (place / "start.py").write_text(CLUSTER)
    (place / "sitecustomize.py").write_text(NO_MLFLOW)
    process = subprocess.Popen(
        [sys.executable, "start.py"],
        cwd=place,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(place), *filter(None, sys.path)])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip(), [int(process.stdout.readline()) for _ in range(2)], process
        process.communicate(timeout=30)
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, list[int]]]:
    """A cluster of two workers in another folder than the experiments'."""
    with clustered(tmp_path_factory.mktemp("cluster")) as (address, pids, _):
        yield address, pids


def running(folder: Path, address: str) -> AbstractContextManager[subprocess.Popen[str]]:
    return started(folder, "run", "shared.toml", "--cluster", address)


def store_of(folder: Path) -> Store:
    return Store(f"sqlite:///{folder}/mlruns/mlflow.db", create=False)


def runs_of(store: Store, status: str | None = None) -> list[Any]:
    if store.find_experiment("shared") is None:
        return []
    found = store.search(store.experiment_ids(["shared"]))
    return [run for run in found if names.TRIAL_KEY in run.data.tags and status in (None, run.info.status)]


def until_trials_run(folder: Path) -> None:
    end = time.monotonic() + 90.0
    while len(runs_of(store_of(folder), "RUNNING")) < 4:
        assert time.monotonic() < end, "no trials are running"
        time.sleep(0.1)


def finals(store: Store) -> dict[str, dict[str, float]]:
    left_out = ("seconds", "loss_evaluations")
    return {
        run.data.tags[names.TRIAL_KEY]: {
            name: value for name, value in run.data.metrics.items() if not name.endswith(left_out)
        }
        for run in runs_of(store)
    }


def test_workers_elsewhere_without_a_store_give_what_one_process_gives(
    folder: Path, cluster: tuple[str, list[int]], write_empty_store: Callable[[Path], str]
) -> None:
    (folder / "wait").unlink()
    with running(folder, cluster[0]) as process:
        output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, (output, errors)
    assert "2 workers on 1 machine" in output
    assert "8 trials trained, 0 from the store, 8 unlearning runs, 8 probes taken" in output
    alone = Store(write_empty_store(folder / "alone" / "mlflow.db"))
    Runner(alone).run(schema.load(folder / "shared.toml"))
    expected, found = finals(alone), finals(store_of(folder))
    assert found.keys() == expected.keys()
    for key, metrics in expected.items():
        assert found[key] == pytest.approx(metrics, abs=1e-9, rel=1e-9, nan_ok=True)


def test_gpus_are_those_of_the_workers(folder: Path, cluster: tuple[str, list[int]]) -> None:
    with started(folder, "run", "shared.toml", "--cluster", cluster[0], "--device", "cuda") as process:
        _, errors = process.communicate(timeout=90)
    assert process.returncode == 2
    assert 'no worker offers a GPU for device = "cuda"; start some with `dask worker --resources GPU=1`.' in errors


def test_an_interrupt_ends_the_jobs_on_the_cluster(folder: Path, cluster: tuple[str, list[int]]) -> None:
    with running(folder, cluster[0]) as process:
        until_trials_run(folder)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, (output, errors)
    assert "Traceback" not in output + errors
    # On a busy machine there may be no time to mark all of them; whoever reads the store sees what they are.
    store = store_of(folder)
    statuses = Counter(frames.trials(store, store.experiment_ids(["shared"]))["status"])
    assert set(statuses) <= {"KILLED", "INTERRUPTED"}
    assert statuses.total() >= 2
    (folder / "wait").unlink()
    with running(folder, cluster[0]) as process:  # nothing of it keeps the cluster busy
        output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, (output, errors)


def test_the_cluster_is_free_when_a_command_was_killed(folder: Path, cluster: tuple[str, list[int]]) -> None:
    with running(folder, cluster[0]) as process:
        until_trials_run(folder)
        process.kill()
        process.wait()
    (folder / "wait").unlink()
    with running(folder, cluster[0]) as process:
        output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, (output, errors)
    trials = [run for run in runs_of(store_of(folder), "FINISHED") if run.data.tags[names.KIND] == names.TRIAL]
    assert len(trials) == 8  # some may have finished before


def test_a_worker_that_is_killed_is_replaced_by_the_others(folder: Path, cluster: tuple[str, list[int]]) -> None:
    with running(folder, cluster[0]) as process:
        until_trials_run(folder)
        os.kill(cluster[1][0], signal.SIGKILL)
        time.sleep(1.0)
        (folder / "wait").unlink()
        output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, (output, errors)
    assert "8 trials trained" in output
    finished = Counter(run.data.tags[names.TRIAL_KEY] for run in runs_of(store_of(folder), "FINISHED"))
    assert set(finished.values()) == {1}
    assert not runs_of(store_of(folder), "RUNNING")


def test_a_scheduler_that_is_killed_is_one_message_and_the_work_goes_on_later(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with clustered(tmp_path_factory.mktemp("killed")) as (address, _, scheduler):
        with running(folder, address) as process:
            until_trials_run(folder)
            scheduler.kill()
            output, errors = process.communicate(timeout=90)
        assert process.returncode == 1, (output, errors)
        assert re.fullmatch(
            r"Error: (The cluster's scheduler does not answer any more|There has been no worker).*\n", errors
        )
        assert not runs_of(store_of(folder), "RUNNING")
    (folder / "wait").unlink()
    with started(folder, "run", "shared.toml") as process:
        output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, (output, errors)


def test_a_cluster_that_does_not_answer_is_one_message(folder: Path) -> None:
    start = time.monotonic()
    with running(folder, "tcp://127.0.0.1:9") as process:
        output, errors = process.communicate(timeout=90)
    assert process.returncode == 2, (output, errors)
    assert re.fullmatch(r"Error: --cluster: no Dask scheduler answers at tcp://127\.0\.0\.1:9 .*\n", errors)
    assert time.monotonic() - start < 60.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cluster", "nonsense"], 'got "nonsense", accepts the address of a Dask scheduler'),
        (["--cluster", "tcp://a:1", "--jobs", "2"], "--cluster: cannot be combined with --jobs"),
    ],
)
def test_what_is_no_cluster_is_refused(folder: Path, arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(main, ["run", str(folder / "shared.toml"), *arguments])
    assert result.exit_code == 2
    assert message in result.output


@pytest.mark.parametrize("package", ["Python", "qlab", "torch"])
def test_other_versions_are_refused_with_both(package: str) -> None:
    own = {"Python": "3.11.7", "qlab": "0.1.0", "torch": "2.13.0+cpu"}
    other = {**own, package: "9.9.9"}
    with pytest.raises(ConfigError, match=rf"worker b has {package} 9\.9\.9, this process has {package} ") as caught:
        check_versions(own, {"worker a": own, "worker b": other})
    assert own[package] in str(caught.value)


def test_patches_of_python_and_builds_of_pytorch_may_differ() -> None:
    own = {"Python": "3.11.7", "qlab": "0.1.0", "torch": "2.13.0+cpu"}
    check_versions(own, {"worker a": {**own, "Python": "3.11.9", "torch": "2.13.0+cu128"}})
