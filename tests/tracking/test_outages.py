"""A tracking server that goes away while `qlab run` trains: nothing is lost, and nothing is there twice."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support.experiments import TASK

from qlab.cli import main
from qlab.experiment.asking import schema
from qlab.experiment.runner import Runner
from qlab.tracking import names, spooling
from qlab.tracking.patience import Limits
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
type = "pausing:Pausing"
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

PAUSING = '''
import time
from pathlib import Path

from qlab import MLP


class Pausing(MLP):
    """An MLP that waits when it begins to train, and again while there is a file "wait" and its training is kept."""

    def forward(self, prepared):
        place = Path(__file__).parent
        if prepared.shape[-2] > 4:  # not the few rows that a model is tried on before there are runs
            if (place / "begin").exists():
                (place / "begin").rename(place / "begun")
            while (place / "begun").exists():
                time.sleep(0.02)
            while (place / "wait").exists() and any(place.glob("mlruns/spool/*/files/*/CHECKPOINT")):
                time.sleep(0.02)
        return super().forward(prepared)
'''

KINDS = (names.TRIAL, names.UNLEARNING, names.ORACLE, names.PROBE)


def prepare(folder: Path) -> None:
    (folder / "pausing.py").write_text(PAUSING.replace("CHECKPOINT", Path(names.CHECKPOINT).name))
    (folder / "outage.toml").write_text(EXPERIMENT)


def run(folder: Path, leave: Callable[[], object], back: Callable[[], object] | None = None) -> Result:
    """`qlab run`, whose server leaves while the first ensemble trains, and is back when that has been kept."""
    prepare(folder)
    (folder / "begin").touch()
    if back is not None:
        (folder / "wait").touch()
    ended = threading.Event()

    def until(there: Callable[[], bool]) -> bool:
        while not there():
            if ended.wait(0.02):
                return False
        return True

    def act() -> None:
        for file, at, action in (("begun", "begun", leave), ("wait", "mlruns", back)):
            if action is not None and until((folder / at).exists):
                try:
                    action()
                finally:
                    (folder / file).unlink()

    thread = threading.Thread(target=act)
    thread.start()
    try:
        return CliRunner().invoke(main, ["run", "outage.toml"])
    finally:
        ended.set()
        thread.join()


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
    prepare(folder)
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


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a run gives up soon."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
    monkeypatch.setattr(spooling, "LIMITS", Limits(write=0.5, pause=0.1))
    return tmp_path


@pytest.mark.parametrize("how", ["killed", "frozen"])
def test_a_run_goes_on_while_the_server_is_away(
    how: str, fresh: Any, project: Path, undisturbed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", fresh.uri)
    leave, back = (fresh.kill, fresh.start) if how == "killed" else (fresh.freeze, fresh.thaw)
    done = run(project, leave, back)
    assert done.exit_code == 0, done.output
    assert "Traceback" not in done.stderr
    assert "is kept in" in done.stderr
    assert "is back; it has the" in done.stderr
    assert "2 trials trained" in done.stdout
    assert not (project / "mlruns").exists()
    assert content(Store(fresh.uri)) == undisturbed


def test_what_a_run_leaves_that_outlives_the_server_is_sent_by_sync(
    fresh: Any,
    project: Path,
    undisturbed: dict[str, Any],
    write_empty_store: Callable[[Path], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(spooling, "LIMITS", Limits(write=0.5, read=1.0, pause=0.1))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", fresh.uri)
    opened: list[Any] = []
    monkeypatch.setattr(
        "qlab.running.open_store", lambda *a, **k: opened.append(spooling.open_store(*a, **k)) or opened[-1]
    )
    left = run(project, fresh.kill)
    monkeypatch.setattr("qlab.running.open_store", spooling.open_store)
    opened[0].close()  # as the end of its process would
    assert left.exit_code == 1, left.output
    assert "Traceback" not in left.stderr
    (message,) = (line for line in left.stderr.splitlines() if line.startswith("Error: "))
    (spool,) = (project / "mlruns" / "spool").iterdir()
    assert message.startswith("Error: outage has run to its end, but the tracking server has not all of it.")
    assert f"`qlab sync {spool}` sends them" in message
    copy = project / "copy"
    shutil.copytree(spool, copy)

    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    away = CliRunner().invoke(main, ["sync"])
    assert (away.exit_code, "does not answer" in away.stderr) == (2, True)
    fresh.start()
    other = CliRunner().invoke(main, ["sync", "--tracking-uri", write_empty_store(project / "other.db")])
    assert other.exit_code == 2
    assert f"{spool} is of another store" in other.stderr
    assert len(other.stderr.splitlines()) == 1

    sent = CliRunner().invoke(main, ["sync"])
    assert sent.exit_code == 0, sent.output
    assert f"writes sent to {fresh.uri}" in sent.output
    assert not spool.exists()
    store = Store(fresh.uri)
    assert content(store) == undisturbed

    # A spool that is sent again changes nothing.
    again = CliRunner().invoke(main, ["sync", str(copy)])
    assert again.exit_code == 0, again.output
    assert content(store) == undisturbed

    monkeypatch.setenv("MLFLOW_TRACKING_URI", fresh.uri)
    summed = CliRunner().invoke(main, ["run", "outage.toml"])
    assert summed.exit_code == 0, summed.output
    assert "0 trials trained, 2 from the store" in summed.output
    assert "2 of 2" in summed.output
    assert CliRunner().invoke(main, ["sync"]).exit_code == 0


def test_a_server_on_postgresql_that_is_restarted_with_its_database(
    postgres: Any,
    serve: Callable[[str], Any],
    project: Path,
    undisturbed: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = serve(postgres.uri)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)

    def back() -> None:
        server.kill()
        postgres.start()
        server.start()

    done = run(project, postgres.stop, back)  # the server answers that it has no database
    assert done.exit_code == 0, done.output
    assert "Traceback" not in done.stderr
    assert "is back; it has the" in done.stderr
    assert "2 trials trained" in done.stdout
    assert content(Store(server.uri)) == undisturbed
    server.kill()
