"""Spools that an earlier version left, in lines of JSON, are sent like any other."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from qlab.cli import main
from qlab.tracking import names, writes
from qlab.tracking.spool import FORMER, JOURNAL, spools
from qlab.tracking.store import Store

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")


@pytest.fixture
def store(tmp_path: Path, write_empty_store: Callable[[Path], str]) -> Store:
    return Store(write_empty_store(tmp_path / "store" / "mlflow.db"))


def written(store: Store, folder: Path, *, sent: int = 0, real: str = "", torn: str = "") -> Path:
    """A spool as the earlier version wrote it: a run with a param and a file.

    Args:
        store: what it is for.
        folder: where it is.
        sent: how many of its three writes have been sent.
        real: the id that the store gave its run.
        torn: what there is of a last line.
    """
    experiment_id = store.experiment_id("kept")
    (folder / "files" / "99").mkdir(parents=True)
    (folder / "files" / "99" / "note.txt").write_text("here")
    lines = [
        json.dumps({"spool": 1, "store": store.uri, "experiments": {experiment_id: ["kept", None]}}),
        writes.CreateRun("own", experiment_id, "na\u2028me", {names.CLIENT: "own"}, 5).to_json(),
        writes.LogBatch("own", params={"a": "1"}).to_json(),
        writes.LogFile("own", "files/99/note.txt", None).to_json(),
    ]
    marks = []
    for number in range(1, sent + 1):
        position = len("".join(f"{line}\n" for line in lines[: number + 1]).encode())
        marks.append(json.dumps({"position": position, "run": ["own", real] if number == 1 else None}))
    (folder / FORMER).write_text("".join(f"{line}\n" for line in lines) + torn)
    (folder / "sent.jsonl").write_text("".join(f"{mark}\n" for mark in marks) + '{"positi')
    return folder


def check_sent(store: Store) -> None:
    (run,) = store.search(store.experiment_ids(["kept"]))
    assert run.data.params == {"a": "1"}
    assert list(store.files(run.info.run_id)) == ["note.txt"]


@pytest.mark.parametrize("torn", ["", '{"write": "LogMetr'])
def test_it_is_sent_and_deleted(store: Store, torn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = written(store, tmp_path / "spool" / "20260101-120000-7", torn=torn)
    shutil.copytree(folder, tmp_path / "copy")
    monkeypatch.setenv("QLAB_SPOOL", str(tmp_path / "spool"))
    assert spools(tmp_path / "spool") == [folder]
    sent = CliRunner().invoke(main, ["sync"])
    assert sent.exit_code == 0, sent.output
    assert f"{folder}: 3 writes sent to {store.location}, 1 new runs" in sent.stdout
    assert ("its last line was cut short and is lost" in sent.stdout) == bool(torn)
    assert not folder.exists()
    check_sent(store)
    assert CliRunner().invoke(main, ["sync", str(tmp_path / "copy")]).exit_code == 0
    check_sent(store)


def test_what_has_been_sent_of_it_is_not_sent_again(store: Store, tmp_path: Path) -> None:
    real = store.create_run(store.experiment_id("kept"), "a run")
    folder = written(store, tmp_path / "spool", sent=1, real=real)
    (folder / JOURNAL).write_bytes(b"half of it")  # of an attempt that was killed
    sent = CliRunner().invoke(main, ["sync", str(folder)])
    assert sent.exit_code == 0, sent.output
    assert "2 writes sent" in sent.stdout
    check_sent(store)


@pytest.mark.skipif(sys.platform == "win32", reason="files are not locked there")
def test_it_is_left_to_a_process_that_has_it(store: Store, tmp_path: Path) -> None:
    import fcntl

    folder = written(store, tmp_path / "spool")
    with (folder / FORMER).open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        held = CliRunner().invoke(main, ["sync", str(folder)])
    assert held.exit_code == 2
    assert held.stderr == f"Error: The spool {folder} is held by a running qlab process, which sends it itself.\n"
    assert not (folder / JOURNAL).exists()


@pytest.mark.parametrize("content", ["", "{}", '{"spool": 1}\n', '{"spool": 2, "store": "x"}\n', "\x00\n"])
def test_what_is_no_spool_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / FORMER).write_text(content)
    result = CliRunner().invoke(main, ["sync", str(tmp_path)])
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: {tmp_path} is no spool")
    assert len(result.stderr.splitlines()) == 1
    assert (tmp_path / FORMER).exists()
