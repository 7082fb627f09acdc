"""What is kept while a server is away: sent once, in order, by whoever comes first, and never in silence refused."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from qlab.cli import main
from qlab.errors import StoreError, UnsentError
from qlab.tracking import names, spooling, writes
from qlab.tracking.spool import JOURNAL, Header, Spool
from qlab.tracking.spooling import SpoolingStore, open_store
from qlab.tracking.store import Store

pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning"),
    pytest.mark.skipif(sys.platform == "win32", reason="processes are stopped by signals"),
]


@pytest.fixture
def impatient(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SpoolingStore:
    """A store on a server that gives up soon."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    monkeypatch.setattr(spooling, "_WRITE_SECONDS", 3.0)
    store = SpoolingStore(server.uri, tell=[].append, root=tmp_path / "spool")
    store.experiment_id("kept")
    return store


@pytest.fixture
def frozen(server: Any) -> Iterator[Any]:
    server.freeze()
    yield server
    server.thaw()


def test_a_run_whose_creation_was_not_confirmed_is_made_once(
    impatient: SpoolingStore, frozen: Any, tmp_path: Path
) -> None:
    (tmp_path / "note.txt").write_text("here")
    store = impatient
    experiment_id = store.experiment_id("kept")
    # The server has these requests, and will take them up when it is back, though nobody waits for the answer.
    run_id = store.create_run(experiment_id, "a run", params={"a": "1"}, tags={"b": "2"})
    child = store.create_run(experiment_id, "a child", tags={names.PARENT: run_id})
    store.log(run_id, metrics=[("loss", float("nan"), 1, 1000), ("loss", 0.5, 2, 1001)])
    store.log_file(run_id, tmp_path / "note.txt", "notes")
    (tmp_path / "note.txt").unlink()
    assert store.has_file(run_id, "notes/note.txt")
    assert not store.has_file(child, "notes/note.txt")
    assert store.fetch_file(run_id, "notes/note.txt", tmp_path / "fetched").read_text() == "here"
    store.finish(run_id)
    assert (tmp_path / "spool").is_dir()
    frozen.thaw()
    assert store.settle(60)
    assert not (tmp_path / "spool").exists()
    assert store.unsent() is None

    store.set_tags(run_id, {"later": "yes"})  # its first id stays good
    plain = Store(frozen.uri)
    found = {run.info.run_name: run for run in plain.search([experiment_id])}
    assert sorted(run.info.run_name for run in plain.search([experiment_id])) == ["a child", "a run"]
    run = found["a run"]
    assert run.info.run_id == store.known_as(run_id) != run_id
    assert run.info.status == "FINISHED"
    assert run.data.params == {"a": "1"}
    assert (run.data.tags["b"], run.data.tags["later"]) == ("2", "yes")
    assert found["a child"].data.tags[names.PARENT] == run.info.run_id
    assert [step for step, _ in plain.metric_history(run.info.run_id, "loss")] == [1, 2]
    assert plain.has_file(run.info.run_id, "notes/note.txt")
    assert store.has_file(run_id, "notes/note.txt")


def test_searches_are_answered_from_what_the_process_knows(
    impatient: SpoolingStore, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = impatient
    experiment_id = store.experiment_id("known")
    before = store.create_run(experiment_id, "before", tags={names.KIND: names.TRIAL})
    assert [run.info.run_name for run in store.search([experiment_id])] == ["before"]
    server.freeze()
    try:
        store.finish(before)
        store.create_run(experiment_id, "meanwhile", tags={names.KIND: names.ORACLE}, params={"a": "1"})
        found = list(store.search([experiment_id]))
        assert [(run.info.run_name, run.info.status) for run in found] == [
            ("before", "FINISHED"),
            ("meanwhile", "RUNNING"),
        ]
        (oracle,) = store.search([experiment_id], f"tags.`{names.KIND}` = 'oracle'")
        assert (oracle.info.run_name, oracle.data.params) == ("meanwhile", {"a": "1"})
        with pytest.raises(StoreError, match=r"cannot go on without.*writes wait in"):
            store.search([experiment_id], "metrics.loss > 1")
        # At the end of a run only the server's answer will do: what this process knows has no metrics.
        monkeypatch.setattr(spooling, "_READ_SECONDS", 1.0)
        assert not store.settle(0.5)
        with pytest.raises(UnsentError, match=r"cannot go on without.*writes wait in"):
            store.search([experiment_id])
    finally:
        server.thaw()
    assert store.settle(60)


def test_what_the_server_refuses_is_said_and_kept(impatient: SpoolingStore, frozen: Any, tmp_path: Path) -> None:
    impatient.set_tags("0" * 32, {"a": "b"})
    frozen.thaw()
    with pytest.raises(StoreError, match=r"not found.*1 writes wait in"):
        impatient.settle(60)
    with pytest.raises(StoreError, match="not found"):
        impatient.set_tags("0" * 32, {"a": "b"})
    (folder,) = (tmp_path / "spool").iterdir()
    held = CliRunner().invoke(main, ["sync", str(folder)])
    assert held.exit_code == 2
    assert "is held by a running qlab process" in held.stderr
    impatient.close()
    refused = CliRunner().invoke(main, ["sync", str(folder)])
    assert refused.exit_code == 2
    assert f"{folder / JOURNAL}. It and the 0 after it wait there" in refused.stderr


def test_a_run_made_in_one_absence_is_written_to_in_another(impatient: SpoolingStore, server: Any) -> None:
    """The id that its writer made for it is known to this process alone, which may have ended when it is sent."""
    store = impatient
    experiment_id = store.experiment_id("kept")
    server.kill()
    run_id = store.create_run(experiment_id, "made in the first", params={"a": "1"})
    server.start()
    assert store.settle(60)
    server.kill()
    store.log(run_id, metrics=[("loss", 0.5, 1, 1000)])
    store.create_run(experiment_id, "child", tags={names.PARENT: run_id})
    store.finish(run_id)
    store.close()
    server.start()
    (folder,) = (path.parent for path in store._root.glob(f"*/{JOURNAL}"))
    synced = CliRunner().invoke(main, ["sync", str(folder)])
    assert synced.exit_code == 0, synced.stderr
    plain = Store(server.uri)
    run = plain.get_run(store.known_as(run_id))
    assert (run.info.run_name, run.info.status, run.data.metrics) == ("made in the first", "FINISHED", {"loss": 0.5})
    (child,) = [run for run in plain.search([experiment_id]) if run.info.run_name == "child"]
    assert child.data.tags[names.PARENT] == run.info.run_id


def test_a_spool_that_cannot_be_sent_does_not_hold_up_the_others(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QLAB_SPOOL", str(tmp_path))
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        gone = Spool.make(tmp_path, Header(f"http://127.0.0.1:{nobody.getsockname()[1]}", {}))
        gone.append(writes.SetStatus("r", "FINISHED", 1))
        gone.close()
        for number in range(2):
            spool = Spool.make(tmp_path, Header(server.uri, {}))
            spool.append(writes.CreateRun(f"c{number}", "0", "n", {names.CLIENT: f"c{number}"}, 1))
            spool.close()
        synced = CliRunner().invoke(main, ["sync"])
    assert synced.exit_code == 1
    assert synced.stdout.count("1 writes sent") == 2
    assert f"{gone.folder}: The tracking server" in synced.stderr
    assert [path.parent for path in tmp_path.glob(f"*/{JOURNAL}")] == [gone.folder]


# Folders


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool.make(tmp_path / "mlruns" / "spool", Header("http://127.0.0.1:1", {"1": ("x", 1000)}))


def test_writes_come_back_as_they_were(spool: Spool, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    given: list[writes.Write] = [
        writes.CreateRun("r", "1", "name \u2028 \U0001f9ea\n", {"k": "v"}, 5),
        writes.LogBatch("r", [["loss", 1e-300, 1, 2]], {"p": "1"}, {"t": "2"}),
        writes.LogFile("r", str(tmp_path / "a.txt"), None),
        writes.SetStatus("r", "KILLED", 7),
    ]
    for write in given:
        spool.append(write)
    spool.close()
    again = Spool(spool.folder)
    assert (again.header, again.left(), again.torn) == (spool.header, 4, False)
    found = []
    while (write := again.next()) is not None:
        found.append(write)
        again.mark_sent(("r", "real") if isinstance(write, writes.CreateRun) else None)
    assert (found[0], found[1], found[3]) == (given[0], given[1], given[3])
    assert isinstance(found[2], writes.LogFile)
    assert Path(found[2].file).read_text() == "a"
    again.close()
    last = Spool(spool.folder)
    assert (last.left(), last.real) == (0, {"r": "real"})
    last.remove()
    assert not (tmp_path / "mlruns").exists()


@pytest.mark.parametrize("values", [1, 3000], ids=["a short line", "a long line"])
def test_what_cannot_be_kept_leaves_no_trace(spool: Spool, values: int) -> None:
    """A limit on the size of files stands for a disk that is full, then has room again."""
    import resource

    spool.append(writes.SetStatus("first", "KILLED", 1))
    size = (spool.folder / JOURNAL).stat().st_size
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, unlimited[1]))
    try:
        with pytest.raises(StoreError, match="cannot be kept in"):
            spool.append(writes.LogBatch("second", [("loss", 0.5, step, 1) for step in range(values)]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    spool.append(writes.SetStatus("third", "KILLED", 3))
    spool.close()
    again = Spool(spool.folder)
    assert (again.left(), again.torn) == (2, False)
    found = []
    while (write := again.next()) is not None:
        found.append(write.run)
        again.mark_sent()
    again.close()
    assert found == ["first", "third"]


def test_a_line_that_makes_no_sense_is_named(spool: Spool) -> None:
    spool.append(writes.LogBatch("r"))
    spool.close()
    with (spool.folder / JOURNAL).open("a") as journal:
        journal.write("nonsense\n")
    again = Spool(spool.folder)
    again.mark_sent()
    with pytest.raises(StoreError, match=r"journal\.jsonl: the line at byte \d+ cannot be sent"):
        again.next()
    again.close()


@pytest.mark.parametrize("content", [None, "", "{}", '{"spool": 1}\n', '{"spool": 2, "store": "x"}\n', "\x00\n"])
def test_what_is_no_spool_is_refused(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / JOURNAL).write_text(content)
    result = CliRunner().invoke(main, ["sync", str(tmp_path)])
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: {tmp_path} is no spool")
    assert len(result.stderr.splitlines()) == 1


def test_without_spools_there_is_nothing_to_send(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QLAB_SPOOL", str(tmp_path / "elsewhere"))
    result = CliRunner().invoke(main, ["sync"])
    assert (result.exit_code, result.output) == (0, f"Nothing is left to send in {tmp_path / 'elsewhere'}.\n")


def test_where_nothing_can_be_kept_it_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"cannot be kept in .*Not a directory.*QLAB_SPOOL"):
        Spool.make(tmp_path / "file" / "spool", Header("http://127.0.0.1:1", {}))


def test_only_stores_on_servers_keep_what_they_cannot_send(tmp_path: Path, server: Any) -> None:
    assert isinstance(open_store(server.uri), SpoolingStore)
    assert not isinstance(open_store(f"sqlite:///{tmp_path}/a.db"), SpoolingStore)
