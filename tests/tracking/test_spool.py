"""Spools: whole after a kill, a full disk and a power cut, and sent once, by one process, in order."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import socket
import sqlite3
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from qlab.cli import main
from qlab.errors import StoreError
from qlab.tracking import names, writes
from qlab.tracking.spool import JOURNAL, Header, Spool
from qlab.tracking.store import Store
from qlab.tracking.sync import sync

pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning"),
    pytest.mark.skipif(sys.platform == "win32", reason="processes are stopped by signals"),
]


@pytest.fixture
def uri(tmp_path: Path, write_empty_store: Callable[[Path], str]) -> str:
    """Of an empty store."""
    return write_empty_store(tmp_path / "store" / "mlflow.db")


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    found = Spool.make(tmp_path / "mlruns" / "spool", Header("http://127.0.0.1:1", {"1": ("x", 1000)}))
    yield found
    found.close()


def contents(folder: Path) -> list[writes.Write]:
    """What waits in a spool that nobody holds."""
    database = sqlite3.connect(folder / JOURNAL)
    try:
        return [writes.from_json(row[0]) for row in database.execute("SELECT content FROM writes ORDER BY number")]
    finally:
        database.close()


def some_writes(experiment_id: str, folder: Path) -> list[writes.Write]:
    """Two runs, a child among them, with something of every kind."""
    (folder / "note.txt").write_text("here")
    created = [
        writes.CreateRun("own", experiment_id, "name \u2028 \U0001f9ea\n", {names.CLIENT: "own", "gone": "soon"}, 5),
        writes.CreateRun("child", experiment_id, "child", {names.CLIENT: "child", names.PARENT: "own"}, 6),
    ]
    dataset = writes.DatasetRecord("data", "abc", "training", {"a": 1}, {"rows": 2})
    return [
        *created,
        writes.LogBatch("own", [("loss", 1e-300, 1, 2), ("loss", 0.5, 2, 3)], {"p": "1"}, {"t": "2"}),
        writes.LogInputs("own", [vars(dataset)]),
        writes.LogFile("child", str(folder / "note.txt"), "notes"),
        writes.DeleteTag("own", "gone"),
        writes.SetExperimentTags(experiment_id, {"e": "3"}),
        writes.SetStatus("own", "FINISHED", 7),
        writes.SetStatus("child", "KILLED", 8),
    ]


def filled(root: Path, uri: str, folder: Path) -> Path:
    """A spool with :func:`some_writes` for a store."""
    experiment_id = Store(uri).experiment_id("kept")
    spool = Spool.make(root, Header(uri, {experiment_id: ("kept", None)}))
    for write in some_writes(experiment_id, folder):
        spool.append(write)
    (folder / "note.txt").unlink()
    spool.close()
    return spool.folder


def check_sent(uri: str) -> None:
    """A store has all of :func:`some_writes`, once."""
    store = Store(uri)
    (experiment_id,) = store.experiment_ids(["kept"])
    assert store.experiment_tags(experiment_id)["e"] == "3"
    own, child = store.search([experiment_id])
    assert (own.info.run_name, own.info.status, own.data.params) == ("name \u2028 \U0001f9ea\n", "FINISHED", {"p": "1"})
    assert (own.data.tags["t"], own.data.tags.get("gone")) == ("2", None)
    assert store.metric_history(own.info.run_id, "loss") == [(1, 1e-300), (2, 0.5)]
    assert [item.dataset.digest for item in own.inputs.dataset_inputs] == ["abc"]
    assert (child.info.status, child.data.tags[names.PARENT]) == ("KILLED", own.info.run_id)
    assert store.files(child.info.run_id) == {"notes/note.txt": 4}


def killed_at(step: int, action: Callable[[], object], signal_number: int = signal.SIGKILL) -> int:
    """A process forked from this one that sends itself a signal before or after the n-th thing that it does."""
    process = os.fork()
    if process:
        return process
    status = 1
    steps = itertools.count(1)

    def count() -> None:
        if next(steps) == step:
            os.kill(os.getpid(), signal_number)

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            count()
            found = function(*arguments, **keywords)
            count()
            return found

        return call

    for owner, name in (
        *((kind, "send") for kind in writes.Write.__subclasses__()),
        (writes, "delete_twins"),
        (Spool, "_cross_out"),
        (Spool, "close"),
        (Spool, "remove"),
    ):
        setattr(owner, name, counted(getattr(owner, name)))
    try:
        action()
        status = 0
    finally:
        os._exit(status)


def test_a_sync_that_is_killed_at_any_step_is_completed_by_the_next(
    uri: str, tmp_path: Path, write_empty_store: Callable[[Path], str]
) -> None:
    folder = filled(tmp_path / "spool", uri, tmp_path)
    whole = tmp_path / "whole"
    shutil.copytree(folder, whole)
    kills = 0
    for step in (1, 2, 3, 4, 6, 5, 8, 7, 12, 10, 9, 100):
        process = killed_at(step, lambda: sync(folder))
        kills += os.WIFSIGNALED(os.waitpid(process, 0)[1])
    assert not folder.exists()
    assert kills >= 3
    check_sent(uri)
    # Nor does it harm to send all of it again.
    found = sync(whole)
    assert (found.writes, found.runs, found.store) == (9, 2, uri.removeprefix("sqlite:///"))
    check_sent(uri)


def test_of_two_syncs_one_sends(uri: str, tmp_path: Path) -> None:
    folder = filled(tmp_path / "spool", uri, tmp_path)
    process = killed_at(5, lambda: sync(folder), signal.SIGSTOP)
    os.waitpid(process, os.WUNTRACED)
    other = CliRunner().invoke(main, ["sync", str(folder)])
    os.kill(process, signal.SIGCONT)
    assert os.waitpid(process, 0)[1] == 0
    assert other.exit_code == 2
    assert other.stderr == f"Error: The spool {folder} is held by a running qlab process, which sends it itself.\n"
    check_sent(uri)


def test_what_was_kept_before_a_kill_is_there_after_it(tmp_path: Path) -> None:
    source, sink = os.pipe()
    process = os.fork()
    if not process:
        spool = Spool.make(tmp_path / "spool", Header("http://127.0.0.1:1", {}))
        for number in range(1_000_000):
            spool.append(writes.SetStatus(str(number), "FINISHED", number))
            os.write(sink, b".")
    said = os.read(source, 1) and b"".join(os.read(source, 1) for _ in range(40))
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    os.close(sink)
    while more := os.read(source, 4096):
        said += more
    os.close(source)
    (folder,) = (tmp_path / "spool").iterdir()
    spool = Spool(folder)
    assert spool.left() in (len(said) + 1, len(said) + 2)
    spool.close()
    assert [write.run for write in contents(folder)] == [str(number) for number in range(len(contents(folder)))]


def test_ids_made_in_an_earlier_absence_are_known_in_the_next(uri: str, tmp_path: Path) -> None:
    store = Store(uri)
    run_id = store.create_run(store.experiment_id("kept"), "a run")
    spool = Spool.make(tmp_path / "spool", Header(uri, {}), {"own": run_id})
    spool.append(writes.LogBatch("own", params={"a": "1"}))
    spool.close()
    assert sync(spool.folder).runs == 0
    assert store.get_run(run_id).data.params == {"a": "1"}


def test_a_spool_that_cannot_be_sent_does_not_hold_up_the_others(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "spool"
    monkeypatch.setenv("QLAB_SPOOL", str(root))
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        gone = Spool.make(root, Header(f"http://127.0.0.1:{nobody.getsockname()[1]}", {}))
        gone.append(writes.SetStatus("r", "FINISHED", 1))
        gone.close()
        for number in range(2):
            spool = Spool.make(root, Header(uri, {}))
            spool.append(writes.CreateRun(f"c{number}", "0", "n", {names.CLIENT: f"c{number}"}, 1))
            spool.close()
        synced = CliRunner().invoke(main, ["sync"])
    assert synced.exit_code == 1
    assert synced.stdout.count("1 writes sent") == 2
    assert f"{gone.folder}: The tracking server" in synced.stderr
    assert [path.parent for path in root.glob(f"*/{JOURNAL}")] == [gone.folder]


def test_the_last_spool_takes_its_folders_along(spool: Spool, tmp_path: Path) -> None:
    other = Spool.make(spool.folder.parent, spool.header)
    spool.remove()
    assert other.folder.is_dir()
    other.remove()
    assert not (tmp_path / "mlruns").exists()


@pytest.mark.parametrize("values", [1, 3000], ids=["a short write", "a long write"])
def test_what_cannot_be_kept_leaves_no_trace(spool: Spool, values: int) -> None:
    """A limit on the size of files stands for a disk that is full, then has room again."""
    import resource

    spool.append(writes.SetStatus("first", "KILLED", 1))
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, unlimited[1]))
    try:
        with pytest.raises(StoreError, match=r"cannot be kept in .*Make room there, or set QLAB_SPOOL"):
            spool.append(writes.LogBatch("second", [("loss", 0.5, step, 1) for step in range(values)]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    spool.append(writes.SetStatus("third", "KILLED", 3))
    spool.close()
    assert [write.run for write in contents(spool.folder)] == ["first", "third"]


def test_a_file_that_cannot_be_kept_is_said_and_kept_once_it_can(spool: Spool, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot be kept in .*No such file"):
        spool.append(writes.LogFile("run", str(tmp_path / "note.txt"), None))
    (tmp_path / "note.txt").write_text("here")
    spool.append(writes.LogFile("run", str(tmp_path / "note.txt"), None))
    assert spool.files["run", "note.txt"].read_text() == "here"
    assert spool.left() == 1


def test_where_nothing_can_be_kept_it_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"cannot be kept in .*Not a directory.*QLAB_SPOOL"):
        Spool.make(tmp_path / "file" / "spool", Header("http://127.0.0.1:1", {}))


def test_a_write_that_makes_no_sense_is_named(uri: str, tmp_path: Path) -> None:
    folder = filled(tmp_path / "spool", uri, tmp_path)
    database = sqlite3.connect(folder / JOURNAL)
    with database:
        database.execute("UPDATE writes SET content = 'nonsense' WHERE number = 4")
    refused = CliRunner().invoke(main, ["sync", str(folder)])
    assert refused.exit_code == 2
    assert f"This is write 4 in {folder / JOURNAL}. It and the 5 after it wait there; 3 before it were sent." in (
        refused.stderr
    )
    with database:
        database.execute("DELETE FROM writes WHERE number = 4")
    database.close()
    assert CliRunner().invoke(main, ["sync", str(folder)]).exit_code == 0


@pytest.mark.parametrize("content", [None, b"", b"{}", b"SQLite format 3\0", b"\0" * 4096])
def test_what_is_no_spool_is_refused(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / JOURNAL).write_bytes(content)
    result = CliRunner().invoke(main, ["sync", str(tmp_path)])
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: {tmp_path} is no spool")
    assert len(result.stderr.splitlines()) == 1


def test_without_spools_there_is_nothing_to_send(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QLAB_SPOOL", str(tmp_path / "elsewhere"))
    result = CliRunner().invoke(main, ["sync"])
    assert (result.exit_code, result.output) == (0, f"Nothing is left to send in {tmp_path / 'elsewhere'}.\n")
