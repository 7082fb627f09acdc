"""Files that cannot be written just now: a locked database, a full disk, a disk that is read-only."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import Engine, event
from support.experiments import TASK

from qlab.cli import main
from qlab.errors import StoreError
from qlab.tracking import frames, names
from qlab.tracking.store import Store

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")

EXPERIMENT = f"""
name = "disks"
{TASK}
[[model]]
type = "MLP"
hidden = [4]
[[model]]
type = "MLP"
hidden = [5]
[training]
epochs = 4
[run]
seeds = 3
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "disks.toml").write_text(EXPERIMENT)
    return tmp_path


def check_whole(store: Store) -> None:
    """Every run that says it is finished is: all epochs, once, and the checkpoint."""
    found = frames.trials(store, store.experiment_ids(["disks"]))
    for run_id in found[found["status"] == "FINISHED"]["run_id"]:
        for metric in ("train_loss", "validation_accuracy"):
            assert [step for step, _ in store.metric_history(run_id, metric)] == [1, 2, 3, 4]
        assert store.has_file(run_id, names.CHECKPOINT)


@pytest.mark.parametrize("longer", [0.5, pytest.param(26.0, marks=pytest.mark.slow)])
def test_a_store_that_is_locked_is_waited_for(
    longer: float, project: Path, write_empty_store: Callable[[Path], str]
) -> None:
    uri = write_empty_store(project / "mlruns" / "mlflow.db")
    waits = f"Waiting for the store {project}/mlruns/mlflow.db, which is locked by another process"
    said = project / "said"
    other = sqlite3.connect(project / "mlruns" / "mlflow.db", isolation_level=None)
    with contextlib.closing(other), said.open("w") as out:
        other.execute("BEGIN EXCLUSIVE")
        run = subprocess.Popen(
            [sys.executable, "-m", "qlab", "run", "disks.toml"], cwd=project, stdout=out, stderr=subprocess.STDOUT
        )
        try:
            end = time.monotonic() + 120
            while waits not in said.read_text():
                assert run.poll() is None, said.read_text()
                assert time.monotonic() < end
                time.sleep(0.1)
            time.sleep(longer)
            other.execute("ROLLBACK")
            assert run.wait(timeout=150) == 0, said.read_text()
        finally:
            run.kill()
            run.wait()
    assert "Traceback" not in said.read_text()
    assert "6 trials trained" in said.read_text()
    store = Store(uri)
    assert list(frames.trials(store, store.experiment_ids(["disks"]))["status"]) == ["FINISHED"] * 6
    check_whole(store)


@pytest.fixture
def impatient() -> Iterator[None]:
    """SQLite itself waits a moment for a lock, not the twenty seconds that MLflow asks it to."""

    def shorten(connection: Any, cursor: Any, statement: str, parameters: Any, *more: Any) -> tuple[str, Any]:
        return statement.replace("busy_timeout = 20000", "busy_timeout = 200"), parameters

    event.listen(Engine, "before_cursor_execute", shorten, retval=True)
    yield
    event.remove(Engine, "before_cursor_execute", shorten)


@pytest.mark.usefixtures("impatient")
def test_a_store_that_is_locked_for_longer_than_sqlite_waits_is_tried_again(
    project: Path, write_empty_store: Callable[[Path], str]
) -> None:
    store = Store(write_empty_store(project / "mlflow.db"))
    run_id = store.create_run(store.experiment_id("x"), "a run")
    other = sqlite3.connect(project / "mlflow.db", isolation_level=None, check_same_thread=False)
    with contextlib.closing(other):
        other.execute("BEGIN EXCLUSIVE")
        timer = threading.Timer(1.2, other.execute, ("ROLLBACK",))
        timer.start()
        store.set_tags(run_id, {"a": "b"})
        timer.join()
    assert store.get_run(run_id).data.tags["a"] == "b"


@pytest.mark.usefixtures("impatient")
def test_after_patience_has_ended_calls_fail_at_once(
    project: Path, write_empty_store: Callable[[Path], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    store = Store(write_empty_store(project / "mlflow.db"), tell=lines.append)
    run_id = store.create_run(store.experiment_id("x"), "a run")
    monkeypatch.setattr(store, "_patience", 0.0)
    monkeypatch.setattr("qlab.tracking.patience.NOTICE_SECONDS", 0.05)
    other = sqlite3.connect(project / "mlflow.db", isolation_level=None)
    try:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError, match="database is locked"):
            store.set_tags(run_id, {"a": "b"})
        start = time.monotonic()
        for _ in range(50):
            with pytest.raises(StoreError, match="database is locked"):
                store.finish(run_id, "FAILED")
        assert time.monotonic() - start < 5
    finally:
        other.close()
    assert len(lines) == 1


mounts = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0 or shutil.which("mount") is None,
    reason="only the superuser of a Linux machine mounts disks",
)


@pytest.fixture
def disk() -> Iterator[Path]:
    """A disk of 6 MB."""
    folder = Path(tempfile.mkdtemp())  # new each time: MLflow remembers open databases by their path
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if made.returncode:
        folder.rmdir()
        pytest.skip(f"no disk can be mounted here: {made.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
    folder.rmdir()


@mounts
@pytest.mark.parametrize(
    ("there", "room"),
    [
        pytest.param(True, 0, id="nothing fits"),
        pytest.param(True, 200, id="runs fit, files do not"),
        pytest.param(False, 200, id="no store fits"),
        pytest.param(False, 900, id="a store fits, and little else"),
    ],
)
def test_a_full_disk_is_said_and_forgotten_once_there_is_room(
    there: bool, room: int, disk: Path, project: Path, write_empty_store: Callable[[Path], str], figures: None
) -> None:
    if there:
        write_empty_store(disk / "mlflow.db")
    state = os.statvfs(disk)
    (disk / "ballast").write_bytes(b"x" * max(state.f_bavail * state.f_frsize - 1024 * room, 0))
    command = ["run", "disks.toml", "--tracking-uri", f"sqlite:///{disk}/mlflow.db"]
    full = CliRunner().invoke(main, command)
    assert full.exit_code == 2
    assert isinstance(full.exception, SystemExit)
    assert full.stderr.count("Error: There is no space left for the store") == 1
    assert str(disk) in full.stderr
    assert "Traceback" not in full.stderr
    if (disk / "mlflow.db").exists():
        store = Store(f"sqlite:///{disk}/mlflow.db")
        if store.find_experiment("disks") is not None:
            check_whole(store)
    (disk / "ballast").unlink()
    again = CliRunner().invoke(main, command)
    assert again.exit_code == 0, again.output
    assert again.output.count("3 of 3") == 2
    check_whole(Store(f"sqlite:///{disk}/mlflow.db"))


@mounts
@pytest.mark.parametrize("command", ["run", "runs"])
def test_a_read_only_store_is_refused_before_anything_is_written(
    command: str, disk: Path, project: Path, write_empty_store: Callable[[Path], str]
) -> None:
    uri = write_empty_store(disk / "mlflow.db")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    files = ["disks.toml"] if command == "run" else []
    result = CliRunner().invoke(main, [command, *files, "--tracking-uri", uri])
    assert result.exit_code == 2
    assert result.stderr == (
        f"Error: The store {disk}/mlflow.db cannot be written: no permission. Give another with --tracking-uri.\n"
    )
    assert [path.name for path in disk.iterdir()] == ["mlflow.db"]
    assert [path.name for path in project.iterdir()] == ["disks.toml"]


@mounts
def test_where_no_store_can_be_made_none_is_half_made(disk: Path, project: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    result = CliRunner().invoke(main, ["run", "disks.toml", "--tracking-uri", f"sqlite:///{disk}/mlflow.db"])
    assert result.exit_code == 2
    assert "cannot be written" in result.stderr
    assert list(disk.iterdir()) == []
