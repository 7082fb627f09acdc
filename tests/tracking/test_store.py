"""The store: where it is, and what is said when it cannot be used."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qlab.errors import StoreError
from qlab.tracking import uri
from qlab.tracking.store import Store

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def store(folder: Path, write_empty_store: Callable[[Path], str]) -> Store:
    write_empty_store(folder / "mlruns" / "mlflow.db")
    return Store()


# Where it is


def test_by_default_the_store_is_under_the_current_folder(folder: Path) -> None:
    assert uri.resolve() == f"sqlite:///{folder}/mlruns/mlflow.db"


def test_the_environment_names_another(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert uri.resolve() == "http://127.0.0.1:5000"
    assert uri.resolve("sqlite:///other.db") == f"sqlite:///{folder}/other.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    assert uri.resolve() == f"sqlite:///{folder}/mlruns/mlflow.db"


@pytest.mark.parametrize(
    ("given", "file"),
    [
        ("sqlite:////data/a.db", "/data/a.db"),
        ("sqlite:///a.db", "{here}/a.db"),
        ("http://127.0.0.1:5000", None),
        ("postgresql://db/mlflow", None),
    ],
)
def test_only_sqlite_stores_are_files(given: str, file: str | None, folder: Path) -> None:
    expected = None if file is None else Path(file.format(here=folder))
    assert uri.embedded_file(given) == expected


def test_a_store_is_made_where_there_is_none(folder: Path) -> None:
    store = Store()
    assert store.location == str(folder / "mlruns" / "mlflow.db")
    assert (folder / "mlruns" / "mlflow.db").is_file()
    assert Store(create=False).uri == store.uri


def test_the_environments_store_is_used(
    folder: Path, monkeypatch: pytest.MonkeyPatch, write_empty_store: Callable[[Path], str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", write_empty_store(folder / "elsewhere" / "runs.db"))
    assert Store().location == str(folder / "elsewhere" / "runs.db")
    assert not (folder / "mlruns").exists()


@pytest.mark.parametrize("name", ["runs.db", "with space/runs.db"], ids=["plain", "with a space"])
def test_artifacts_lie_beside_an_sqlite_store_wherever_it_is(
    name: str, folder: Path, tmp_path_factory: pytest.TempPathFactory, write_empty_store: Callable[[Path], str]
) -> None:
    file = tmp_path_factory.mktemp("elsewhere") / name
    store = Store(write_empty_store(file))
    run_id = store.create_run(store.experiment_id("x"), "a run")
    note = folder / "note.txt"
    note.write_text("here")
    store.log_file(run_id, note, "notes")
    place = Path(store.artifact_place(run_id))
    assert (place / "notes" / "note.txt").read_text() == "here"
    assert place.is_relative_to(file.parent)
    assert [path.name for path in folder.iterdir()] == ["note.txt"]


def test_artifacts_stay_with_the_store_when_the_current_folder_has_a_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_empty_store: Callable[[Path], str]
) -> None:
    folder = tmp_path / "my project"
    write_empty_store(folder / "mlruns" / "mlflow.db")
    monkeypatch.chdir(folder)
    store = Store()
    run_id = store.create_run(store.experiment_id("x"), "a run")
    (tmp_path / "note.txt").write_text("here")
    store.log_file(run_id, tmp_path / "note.txt")
    assert (Path(store.artifact_place(run_id)) / "note.txt").read_text() == "here"


# What is said when it cannot be used


@pytest.mark.parametrize("name", ["a%20b", "what?"])
def test_a_path_that_mlflow_takes_for_another_is_refused_at_once(name: str, tmp_path: Path) -> None:
    place = tmp_path / "here" / name
    place.mkdir(parents=True)
    with pytest.raises(StoreError, match=r"MLflow does not take .* in its path literally"):
        Store(f"sqlite:///{place}/mlflow.db")
    assert list(tmp_path.iterdir()) == [tmp_path / "here"]
    assert list(place.parent.iterdir()) == [place]
    assert list(place.iterdir()) == []


def test_reading_does_not_make_a_store(folder: Path) -> None:
    with pytest.raises(StoreError, match=r"no store at .*mlruns/mlflow\.db; `qlab run` makes one"):
        Store(create=False)
    assert list(folder.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(folder: Path) -> None:
    (folder / "file").write_text("not a folder")
    with pytest.raises(StoreError, match=r"file/store/mlflow\.db cannot be created: Not a directory"):
        Store(f"sqlite:///{folder}/file/store/mlflow.db")


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 0)() == 0, reason="the superuser may write anywhere")
def test_a_store_without_permission_to_write_is_named(folder: Path, write_empty_store: Callable[[Path], str]) -> None:
    found = write_empty_store(folder / "mlruns" / "mlflow.db")
    (folder / "mlruns" / "mlflow.db").chmod(0o444)
    with pytest.raises(StoreError, match=r"cannot be written: no permission.*--tracking-uri"):
        Store(found)


def test_a_file_that_is_no_database_is_named_and_left_alone(folder: Path) -> None:
    file = folder / "notes.db"
    file.write_text("These are notes, and not a database, however long one reads on.\n" * 20)
    before = file.read_bytes()
    with pytest.raises(StoreError, match=r"notes\.db.*not an SQLite database"):
        Store(f"sqlite:///{file}")
    assert file.read_bytes() == before


BAD_URIS = {
    "unknown scheme": "carrier-pigeon://coop",
    "no scheme": "runs",
    "SQLite with one slash": "sqlite:/runs.db",
    "folder of files": "file:///runs",
}


@pytest.mark.parametrize("given", BAD_URIS.values(), ids=BAD_URIS.keys())
def test_an_address_that_cannot_be_used_is_named(given: str, folder: Path) -> None:
    with pytest.raises(StoreError) as raised:
        Store(given)
    assert given in str(raised.value)
    assert "\n" not in str(raised.value)
    assert list(folder.iterdir()) == []


@pytest.mark.skipif(importlib.util.find_spec("psycopg") is not None, reason="the driver is installed here")
def test_a_database_whose_driver_is_not_installed_is_named(folder: Path) -> None:
    with pytest.raises(StoreError, match=r"postgresql://.*psycopg"):
        Store("postgresql://someone@127.0.0.1:1/runs")


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], str]]:
    """What opening stores that do not answer ends with; all are tried at once, since they may take long."""
    folder = tmp_path_factory.mktemp("refusals")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    addresses = {"server": f"http://127.0.0.1:{port}", "folder": f"sqlite:///{folder}"}
    code = "import sys; from qlab.tracking.store import Store; Store(sys.argv[1])"
    start = time.monotonic()
    processes = {
        name: subprocess.Popen(
            [sys.executable, "-c", code, address],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name, address in addresses.items()
    }

    def answer(name: str) -> str:
        _, errors = processes[name].communicate(timeout=max(0.1, start + 45 - time.monotonic()))
        return errors.strip().splitlines()[-1]

    yield answer
    for process in processes.values():
        process.kill()
        process.communicate()


@pytest.mark.parametrize(("name", "expected"), [("server", "http://127.0.0.1"), ("folder", "sqlite:///")])
def test_a_store_that_does_not_answer_is_named_before_patience_ends(
    name: str, expected: str, refusals: Callable[[str], str]
) -> None:
    answer = refusals(name)
    assert answer.startswith("qlab.errors.StoreError")
    assert expected in answer


def test_a_deleted_experiment_is_not_written_to(store: Store) -> None:
    store.client.delete_experiment(store.experiment_id("gone"))
    assert store.find_experiment("gone") is None
    assert "gone" not in store.experiment_names()
    with pytest.raises(StoreError, match=r'"gone" was deleted; restore it'):
        store.experiment_id("gone")


def test_an_experiment_that_is_not_there_is_named_with_the_nearest(store: Store) -> None:
    store.experiment_id("xxz_flip")
    with pytest.raises(StoreError) as raised:
        store.experiment_ids(["xxz_flop"])
    for part in ('"xxz_flop"', 'Did you mean "xxz_flip"?', "Default, xxz_flip", store.location):
        assert part in str(raised.value)


# Reading and writing


def test_an_experiment_is_created_once(store: Store) -> None:
    assert store.find_experiment("x") is None
    made = store.experiment_id("x")
    assert store.experiment_id("x") == made == store.find_experiment("x")
    assert store.experiment_ids(["x"]) == [made]
    assert made in store.experiment_ids()


DATASETS = """
import sys, time
from qlab.tracking.store import DatasetRecord, Store

store, rounds = Store(sys.argv[1], create=False), 15
experiment_id = store.experiment_id("shared")
for number in range(rounds):
    print("ready", flush=True)
    sys.stdin.readline()
    store.create_run(experiment_id, "a run", datasets=[DatasetRecord("XXZ", f"d{number}", "training", {}, {})])
"""


def test_two_processes_may_log_the_same_data_set_at_the_same_time(store: Store, folder: Path) -> None:
    """MLflow looks for it, then adds it: one of two is refused if both have looked before."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", DATASETS, store.uri],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for _ in range(15):
        for process in processes:
            assert process.stdout is not None
            process.stdout.readline()
        for process in processes:
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write("go\n")
                process.stdin.flush()
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    runs = list(store.search([store.experiment_id("shared")]))
    assert len(runs) == 30
    assert all(len(run.inputs.dataset_inputs) == 1 for run in runs)


def test_more_metrics_than_go_into_one_batch(store: Store) -> None:
    run_id = store.create_run(store.experiment_id("x"), "a run")
    store.log(run_id, metrics=[("loss", 1.0 / step, step, 1000 + step) for step in range(1, 2502)])
    history = store.client.get_metric_history(run_id, "loss")
    assert sorted((metric.step, metric.value) for metric in history) == [(step, 1.0 / step) for step in range(1, 2502)]


def test_a_run_may_end_and_start_again(store: Store) -> None:
    run_id = store.create_run(store.experiment_id("x"), "a run", params={"a.b": "1"}, tags={"t": "2"})
    for status in ("FAILED", "RUNNING", "KILLED", "RUNNING", "FINISHED"):
        store.finish(run_id, status)
        assert store.client.get_run(run_id).info.status == status
    (run,) = store.search(store.experiment_ids(["x"]))
    assert (run.data.params, run.data.tags["t"]) == ({"a.b": "1"}, "2")


def test_a_filter_that_makes_no_sense_is_explained(store: Store) -> None:
    with pytest.raises(StoreError, match="filter"):
        list(store.search(store.experiment_ids(), "metrics.loss is small"))


def test_searching_nowhere_finds_nothing(store: Store) -> None:
    assert list(store.search([])) == []


def test_a_run_has_the_files_that_were_logged_and_no_others(store: Store, folder: Path) -> None:
    run_id, other = (store.create_run(store.experiment_id("x"), name) for name in ("a run", "another"))
    (folder / "note.txt").write_text("here")
    store.log_file(run_id, folder / "note.txt")
    store.log_file(run_id, folder / "note.txt", "notes/deep")
    for path in ("note.txt", "notes/deep/note.txt"):
        assert store.has_file(run_id, path)
        assert not store.has_file(other, path)
    for path in (
        "notes/note.txt",
        "note",
        "note.txt.bak",
        "deep/note.txt",
        "notes/deep/other.txt",
        "elsewhere/note.txt",
    ):
        assert not store.has_file(run_id, path)


def test_whether_a_run_that_is_not_there_has_a_file_is_explained(store: Store) -> None:
    with pytest.raises(StoreError):
        store.has_file("0" * 32, "note.txt")
