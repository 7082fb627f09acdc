"""What is kept while a server is away: sent once, in order, by whoever comes first, and never in silence refused."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from qlab.cli import main
from qlab.errors import StoreError, UnsentError
from qlab.tracking import names
from qlab.tracking.patience import Limits
from qlab.tracking.query import Query
from qlab.tracking.spool import JOURNAL
from qlab.tracking.spooling import SpoolingStore, open_store
from qlab.tracking.store import Store

pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning"),
    pytest.mark.skipif(sys.platform == "win32", reason="processes are stopped by signals"),
]


@pytest.fixture
def impatient(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SpoolingStore:
    """A store on a server that gives up soon."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    limits = Limits(write=2.0, read=60.0, pause=0.1)
    store = SpoolingStore(server.uri, tell=[].append, root=tmp_path / "spool", limits=limits)
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
        (oracle,) = store.search([experiment_id], Query({names.KIND: names.ORACLE}))
        assert (oracle.info.run_name, oracle.data.params) == ("meanwhile", {"a": "1"})
        with pytest.raises(StoreError, match=r"cannot go on without.*writes wait in"):
            store.search([experiment_id], "metrics.loss > 1")
        # At the end of a run only the server's answer will do: what this process knows has no metrics.
        monkeypatch.setattr(store, "_limits", Limits(read=1.0))
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
    assert f"This is write 1 in {folder / JOURNAL}. It and the 1 after it wait there" in refused.stderr


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


def test_only_stores_on_servers_keep_what_they_cannot_send(tmp_path: Path, server: Any) -> None:
    assert isinstance(open_store(server.uri), SpoolingStore)
    assert not isinstance(open_store(f"sqlite:///{tmp_path}/a.db"), SpoolingStore)
