"""A tracking server that goes away while `qlab run` trains: nothing is lost, and nothing is there twice."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support.experiments import SLOW, TASK

from qlab.cli import main
from qlab.experiment import schema
from qlab.experiment.runner import Runner
from qlab.tracking import names
from qlab.tracking.spool import JOURNAL
from qlab.tracking.store import Store

pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning"),
    pytest.mark.skipif(sys.platform == "win32", reason="processes are stopped by signals"),
]

EXPERIMENT = f"""
name = "outage"
{TASK}
[corruption]
type = "LabelFlip"
ratio = 0.5
[[model]]
type = "slow:Slow"
hidden = [4]
[training]
epochs = 20
batch_size = 8
[[unlearner]]
type = "Finetune"
steps = 4
[[probe]]
type = "HessianProbe"
[run]
seeds = 2
oracles = 1
"""

KINDS = (names.TRIAL, names.UNLEARNING, names.ORACLE, names.PROBE)


@contextlib.contextmanager
def running(folder: Path, uri: str, **settings: str) -> Iterator[subprocess.Popen[str]]:
    """A `qlab run` that waits in its first ensemble, until the file "slow" is gone."""
    (folder / "slow.py").write_text(SLOW)
    (folder / "outage.toml").write_text(EXPERIMENT)
    (folder / "slow").touch()
    environment = os.environ | {"MLFLOW_TRACKING_URI": uri, "PYTHONUNBUFFERED": "1"} | settings
    with (folder / "out").open("w") as out, (folder / "err").open("w") as err:
        process = subprocess.Popen(
            [sys.executable, "-m", "qlab", "run", "outage.toml"],
            cwd=folder,
            env=environment,
            stdout=out,
            stderr=err,
            text=True,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def until(condition: Callable[[], bool], process: subprocess.Popen[str], folder: Path, seconds: float = 90) -> None:
    for _ in range(int(seconds / 0.1)):
        if condition():
            return
        assert process.poll() is None, output(folder)
        time.sleep(0.1)
    raise AssertionError(output(folder))


def output(folder: Path) -> str:
    return (folder / "out").read_text() + (folder / "err").read_text()


def said(folder: Path, words: str) -> Callable[[], bool]:
    return lambda: words in output(folder)


def content(store: Store) -> dict[str, Any]:
    """All there is in a store of the experiment, but for times and ids: by kind and trial, in order of steps."""
    found: dict[str, Any] = {}
    for run in store.search(store.experiment_ids(["outage"])):
        tags = run.data.tags
        if tags[names.KIND] not in KINDS:
            continue
        key = f"{tags[names.KIND]} {tags[names.TRIAL_KEY]}"
        assert key not in found, f"{key} is there twice"
        histories = {
            name: [(metric.step, metric.value) for metric in store.client.get_metric_history(run.info.run_id, name)]
            for name in run.data.metrics
            if not name.endswith("seconds")
        }
        for name, history in histories.items():
            assert len({step for step, _ in history}) == len(history), f"{name} of {key} has a step twice"
        checkpoint = names.PROBE_RESULT if tags[names.KIND] == names.PROBE else names.CHECKPOINT
        found[key] = {
            "status": run.info.status,
            "params": run.data.params,
            "health": tags.get(names.HEALTH),
            "inputs": [item.dataset.digest for item in run.inputs.dataset_inputs],
            "metrics": {name: sorted(history) for name, history in histories.items()},
            "parent": store.client.get_run(tags[names.PARENT]).data.tags.get(names.TRIAL_KEY, "experiment"),
            "file": store.has_file(run.info.run_id, checkpoint),
        }
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, write_empty_store: Callable[[Path], str]) -> dict[str, Any]:
    """What a run leaves that nothing has happened to."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "slow.py").write_text(SLOW)
    (folder / "outage.toml").write_text(EXPERIMENT)
    store = Store(write_empty_store(folder / "mlflow.db"))
    Runner(store).run(schema.load(folder / "outage.toml"))
    found = content(store)
    assert len(found) == 8
    assert all(run["file"] and run["status"] == "FINISHED" for run in found.values())
    return found


@pytest.fixture
def fresh(server: Any) -> Iterator[Any]:
    """The server, up, and without the experiment."""
    yield server
    store = Store(server.uri)
    experiment_id = store.find_experiment("outage")
    if experiment_id is not None:
        store.client.rename_experiment(experiment_id, f"outage {time.monotonic()}")


@pytest.mark.parametrize("how", ["killed", "frozen"])
def test_a_run_goes_on_while_the_server_is_away(
    how: str, fresh: Any, tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    with running(tmp_path, fresh.uri, MLFLOW_HTTP_REQUEST_TIMEOUT="3") as process:
        until(said(tmp_path, "[1/"), process, tmp_path)
        time.sleep(1.0)  # the ensemble's runs are being made, or have been
        fresh.kill() if how == "killed" else fresh.freeze()
        (tmp_path / "slow").unlink()
        until(said(tmp_path, "is kept in"), process, tmp_path)
        until(said(tmp_path, "Finetune of slow:Slow"), process, tmp_path)
        (tmp_path / "wait").touch()  # or else it might end before the server is up
        fresh.start() if how == "killed" else fresh.thaw()
        until(said(tmp_path, "is back; it has the"), process, tmp_path)
        (tmp_path / "wait").unlink()
        assert process.wait(timeout=120) == 0, output(tmp_path)
    assert "Traceback" not in (tmp_path / "err").read_text()
    assert "2 trials trained" in (tmp_path / "out").read_text()
    assert not (tmp_path / "mlruns").exists()
    assert content(Store(fresh.uri)) == undisturbed


def test_what_a_run_leaves_that_outlives_the_server_is_sent_by_sync(
    fresh: Any,
    tmp_path: Path,
    undisturbed: dict[str, Any],
    write_empty_store: Callable[[Path], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with running(tmp_path, fresh.uri) as process:
        until(said(tmp_path, "[1/"), process, tmp_path)
        time.sleep(1.0)
        fresh.kill()
        (tmp_path / "slow").unlink()
        assert process.wait(timeout=120) == 1, output(tmp_path)
    errors = (tmp_path / "err").read_text()
    assert "Traceback" not in errors
    (message,) = (line for line in errors.splitlines() if line.startswith("Error: "))
    (spool,) = (tmp_path / "mlruns" / "spool").iterdir()
    assert message.startswith("Error: outage has run to its end, but the tracking server has not all of it.")
    assert f"`qlab sync {spool}` sends them" in message
    copy = tmp_path / "copy"
    shutil.copytree(spool, copy)

    monkeypatch.chdir(tmp_path)
    away = CliRunner().invoke(main, ["sync"])
    assert (away.exit_code, "does not answer" in away.stderr) == (2, True)
    fresh.start()
    other = CliRunner().invoke(main, ["sync", "--tracking-uri", write_empty_store(tmp_path / "other.db")])
    assert other.exit_code == 2
    assert f"{spool} is of another store" in other.stderr
    assert len(other.stderr.splitlines()) == 1

    sent = CliRunner().invoke(main, ["sync"])
    assert sent.exit_code == 0, sent.output
    assert f"writes sent to {fresh.uri}" in sent.output
    assert not spool.exists()
    store = Store(fresh.uri)
    assert content(store) == undisturbed

    # A spool that is sent again, with a last line that the power did not let finish, changes nothing.
    with (copy / JOURNAL).open("a") as journal:
        journal.write('{"write": "LogMetr')
    again = CliRunner().invoke(main, ["sync", str(copy)])
    assert again.exit_code == 0, again.output
    assert "its last line was cut short" in again.output
    assert content(store) == undisturbed

    monkeypatch.setenv("MLFLOW_TRACKING_URI", fresh.uri)
    summed = CliRunner().invoke(main, ["run", "outage.toml"])
    assert summed.exit_code == 0, summed.output
    assert "0 trials trained, 2 from the store" in summed.output
    assert "2 of 2" in summed.output
    assert CliRunner().invoke(main, ["sync"]).exit_code == 0


def test_a_server_on_postgresql_that_is_restarted_with_its_database(
    postgres: Any, serve: Callable[[str], Any], tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    server = serve(postgres.uri)
    with running(tmp_path, server.uri) as process:
        until(said(tmp_path, "[1/"), process, tmp_path)
        time.sleep(1.0)
        postgres.stop()  # the server answers that it has no database
        (tmp_path / "slow").unlink()
        until(said(tmp_path, "is kept in"), process, tmp_path)
        (tmp_path / "wait").touch()
        server.kill()
        postgres.start()
        server.start()
        until(said(tmp_path, "is back; it has the"), process, tmp_path)
        (tmp_path / "wait").unlink()
        assert process.wait(timeout=120) == 0, output(tmp_path)
    assert "Traceback" not in (tmp_path / "err").read_text()
    assert "2 trials trained" in (tmp_path / "out").read_text()
    assert content(Store(server.uri)) == undisturbed
    server.kill()
