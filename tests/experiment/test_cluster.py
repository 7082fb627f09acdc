"""`qlab run --cluster`: a Dask cluster of processes on this machine, and what can be wrong with one."""

from __future__ import annotations

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
from qlab.experiment.cluster import check_versions
from qlab.tracking import names
from qlab.tracking.store import Store

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are not sent to processes on Windows")

EXPERIMENT = f"""
name = "shared"
{TASK}
[[model]]
type = "slow:Slow"
hidden = [4]
[training]
epochs = 3
[run]
seeds = 4
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


@pytest.fixture
def folder(tmp_path: Path, write_empty_store: Callable[[Path], str]) -> Path:
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "shared.toml").write_text(EXPERIMENT)
    (tmp_path / "wait").touch()
    write_empty_store(tmp_path / "mlruns" / "mlflow.db")
    return tmp_path


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, list[int]]]:
    """A scheduler's address and the processes of its two workers, in another folder than the experiment's."""
    place = tmp_path_factory.mktemp("cluster")
    (place / "start.py").write_text(CLUSTER)
    process = subprocess.Popen(
        [sys.executable, "start.py"], cwd=place, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    yield process.stdout.readline().strip(), [int(process.stdout.readline()) for _ in range(2)]
    try:
        process.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()


def running(folder: Path, address: str) -> AbstractContextManager[subprocess.Popen[str]]:
    return started(folder, "run", "shared.toml", "--cluster", address)


def trials_of(folder: Path) -> list[Any]:
    store = Store(f"sqlite:///{folder}/mlruns/mlflow.db", create=False)
    if store.find_experiment("shared") is None:
        return []
    own = f"tags.`{names.KIND}` = '{names.TRIAL}'"
    return list(store.search(store.experiment_ids(["shared"]), own))


def workers(folder: Path, status: str) -> set[str]:
    return {run.data.tags[names.WORKER] for run in trials_of(folder) if run.info.status == status}


def until_both_train(folder: Path) -> None:
    end = time.monotonic() + 90.0
    while len(workers(folder, "RUNNING")) < 2:
        assert time.monotonic() < end, "two workers never train"
        time.sleep(0.1)


def test_an_interrupt_ends_the_helpers_on_the_cluster(folder: Path, cluster: tuple[str, list[int]]) -> None:
    with running(folder, cluster[0]) as process:
        until_both_train(folder)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, (output, errors)
    assert "Traceback" not in output + errors
    assert len(workers(folder, "KILLED")) == 2
    assert not workers(folder, "RUNNING")


def test_helpers_end_with_a_command_that_is_killed(folder: Path, cluster: tuple[str, list[int]]) -> None:
    with running(folder, cluster[0]) as process:
        until_both_train(folder)
        process.kill()
        process.wait()
        end = time.monotonic() + 30.0
        while workers(folder, "RUNNING"):
            assert time.monotonic() < end, "helpers go on"
            time.sleep(0.2)
    assert len(workers(folder, "KILLED")) == 2


def test_a_worker_that_is_killed_is_replaced_by_the_others(folder: Path, cluster: tuple[str, list[int]]) -> None:
    with running(folder, cluster[0]) as process:
        until_both_train(folder)
        os.kill(cluster[1][0], signal.SIGKILL)
        time.sleep(1.0)
        (folder / "wait").unlink()
        output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, (output, errors)
    assert "2 workers on 1 machines" in output
    assert "4 trials trained" in output
    trials = trials_of(folder)
    finished = Counter(run.data.tags[names.TRIAL_KEY] for run in trials if run.info.status == "FINISHED")
    assert list(finished.values()) == [1] * 4
    assert not workers(folder, "RUNNING")


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
