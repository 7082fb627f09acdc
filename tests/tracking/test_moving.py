"""Embedded stores that are moved, copied and sent: everything is found, and nothing is written to where they were."""

from __future__ import annotations

import re
import shutil
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import mlflow
import pytest
from support.commands import invoke, tree
from support.experiments import FLIPPED, SLOW
from support.runs import runner

from qlab.experiment.asking import schema
from qlab.explorer.reader import Reader
from qlab.tracking import names
from qlab.tracking.moving import Home, settle
from qlab.tracking.store import Store

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")

SMALL = f"""
name = "small"
{FLIPPED}
[[unlearner]]
type = "Finetune"
steps = 2
[run]
seeds = 2
"""


def paths(database: Path) -> set[str]:
    with closing(sqlite3.connect(database)) as found:
        return {
            str(place)
            for query in (
                "SELECT artifact_location FROM experiments WHERE name != 'Default'",
                "SELECT artifact_uri FROM runs",
            )
            for (place,) in found.execute(query)
        }


def tables(output: str) -> list[Path]:
    folder, *files = re.search(r"tables: +(.*?)/summary/(\w+\.csv), (\w+\.csv)", output).groups()  # type: ignore[union-attr]
    return [Path(folder) / "summary" / file for file in files]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, write_empty_store: Callable[[Path], str]) -> Path:
    """A project with a store in which the small experiment has run. To be copied."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "small.toml").write_text(SMALL)
    store = Store(write_empty_store(folder / "mlruns" / "mlflow.db"))
    runner(store).run(schema.load(folder / "small.toml"))
    return folder


def forget_marks(database: Path) -> None:
    """Leaves a store as an earlier version made it."""
    with closing(sqlite3.connect(database)) as found:
        found.execute("DELETE FROM experiment_tags WHERE key = ?", (names.ARTIFACTS,))
        found.commit()


@pytest.mark.parametrize(("place", "marked"), [("b", True), ("b", False), ("a #übung;c&d", True)])
def test_a_store_that_was_moved_has_everything_and_goes_on_where_it_is(
    place: str, marked: bool, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = tmp_path / "old", tmp_path / place
    old.mkdir()
    shutil.move(shutil.copytree(made, tmp_path / "first"), old / "project")
    monkeypatch.chdir(old / "project")
    invoke("run", "small.toml")
    if not marked:
        forget_marks(old / "project" / "mlruns" / "mlflow.db")
    shutil.move(old / "project", new)
    monkeypatch.chdir(new)

    again = invoke("run", "small.toml")
    assert "0 trials trained, 2 from the store" in again.stdout
    assert f"The store was moved or copied here from {old / 'project' / 'mlruns'};" in again.stderr
    assert all(file.is_file() and file.is_relative_to(new) for file in tables(again.stdout))
    assert invoke("run", "small.toml").stderr == ""  # it is said once

    more = invoke("run", "small.toml", "--seeds", "3")
    assert "1 trial trained, 2 from the store" in more.stdout
    assert all(file.is_file() and file.is_relative_to(new) for file in tables(more.stdout))
    invoke("report", "-o", "report")
    assert list(old.iterdir()) == []
    home = (new / "mlruns" / "artifacts").as_uri()
    assert all(uri.startswith(home) for uri in paths(new / "mlruns" / "mlflow.db"))
    reader = Reader(f"sqlite:///{new / 'mlruns' / 'mlflow.db'}")
    frame = reader.runs("small")
    trials = frame[frame["kind"] == names.TRIAL]
    assert len(trials) == 3
    for row in trials.to_dict("records"):
        assert reader.model(row["run_id"]) is not None
        assert reader.config("small", row["trial"], row["parent_id"])


def test_two_copies_go_their_own_ways(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = shutil.copytree(made, tmp_path / "first"), tmp_path / "second"
    monkeypatch.chdir(first)
    invoke("run", "small.toml")
    shutil.copytree(first, second)
    before = tree(first)
    monkeypatch.chdir(second)
    result = invoke("run", "small.toml", "--seeds", "3")
    assert "1 trial trained, 2 from the store" in result.stdout
    assert all(file.is_relative_to(second) for file in tables(result.stdout))
    invoke("gc", "--yes")
    invoke("report", "-o", "report")
    assert tree(first) == before
    middle = tree(second)
    monkeypatch.chdir(first)
    result = invoke("run", "small.toml", "--seeds", "4")
    assert "2 trials trained, 2 from the store" in result.stdout
    assert "moved" not in result.stderr
    assert tree(second) == middle


def test_a_database_that_was_copied_without_its_artifacts_leaves_them_alone(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = shutil.copytree(made, tmp_path / "first")
    monkeypatch.chdir(first)
    invoke("run", "small.toml")
    (tmp_path / "second").mkdir()
    shutil.move(first / "mlruns" / "mlflow.db", tmp_path / "second" / "mlflow.db")
    before = tree(first)
    monkeypatch.chdir(tmp_path / "second")
    invoke("run", str(first / "small.toml"), "--seeds", "3", "--tracking-uri", "sqlite:///mlflow.db")
    assert tree(first) == before


def test_a_store_that_has_several_paths_has_not_moved(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(made, tmp_path / "real")
    monkeypatch.chdir(folder)
    invoke("run", "small.toml")
    before = paths(folder / "mlruns" / "mlflow.db")
    (tmp_path / "link").symlink_to(folder)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "runs.db").symlink_to(folder / "mlruns" / "mlflow.db")
    for uri in (f"sqlite:///{tmp_path}/link/mlruns/mlflow.db", f"sqlite:///{tmp_path}/elsewhere/runs.db"):
        result = invoke("run", "small.toml", "--tracking-uri", uri)
        assert "0 trials trained, 2 from the store" in result.stdout
        assert "moved" not in result.stderr
        assert all(file.is_file() for file in tables(result.stdout))
    assert paths(folder / "mlruns" / "mlflow.db") == before
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["runs.db"]


def test_a_store_of_a_windows_machine_is_read_where_it_was_sent_to(made: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(made, tmp_path / "sent")
    database = folder / "mlruns" / "mlflow.db"
    Store(f"sqlite:///{database}")
    ours = (folder / "mlruns" / "artifacts").as_uri()
    for theirs in ("file:///C:/Users/Ada%20L/mlruns/artifacts", "file:///D:/mlruns/artifacts"):
        with closing(sqlite3.connect(database)) as found:
            found.execute("UPDATE experiments SET artifact_location = replace(artifact_location, ?, ?)", (ours, theirs))
            found.execute("UPDATE runs SET artifact_uri = replace(artifact_uri, ?, ?)", (ours, theirs))
            found.commit()
        store = Store(f"sqlite:///{database}", tell=lambda line: None)
        runs = list(store.search(store.experiment_ids(["small"]), f"tags.`{names.KIND}` = '{names.TRIAL}'"))
        assert [store.has_file(run.info.run_id, names.CHECKPOINT) for run in runs] == [True, True]
        assert all(uri.startswith(ours) for uri in paths(database))


def test_a_folder_that_was_chosen_for_an_experiment_stays_as_it_is(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(made, tmp_path / "project")
    disk = tmp_path / "disk" / "artifacts"
    disk.mkdir(parents=True)
    uri = f"sqlite:///{folder}/mlruns/mlflow.db"
    Store(uri, tell=lambda line: None).client.create_experiment("chosen", disk.as_uri())
    (folder / "chosen.toml").write_text(SMALL.replace('"small"', '"chosen"'))
    monkeypatch.chdir(folder)
    for _ in range(2):
        result = invoke("run", "chosen.toml")
        assert "moved" not in result.stderr
        assert all(file.is_file() and file.is_relative_to(disk) for file in tables(result.stdout))
    shutil.move(folder, tmp_path / "moved")
    monkeypatch.chdir(tmp_path / "moved")
    result = invoke("run", "chosen.toml", "--seeds", "3")
    assert "1 trial trained, 2 from the store" in result.stdout
    assert all(file.is_file() and file.is_relative_to(disk) for file in tables(result.stdout))
    assert all(file.is_relative_to(tmp_path / "moved") for file in tables(invoke("run", "small.toml").stdout))


def test_training_that_was_interrupted_goes_on_in_a_store_that_was_moved(
    tmp_path: Path, write_empty_store: Callable[[Path], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    uri = write_empty_store(first / "mlruns" / "mlflow.db")
    (first / "slow.py").write_text(SLOW)
    text = SMALL.replace('"MLP"', '"slow:Slow"').replace("epochs = 2", "epochs = 12")
    (first / "small.toml").write_text(f"{text}checkpoint_seconds = 0.0\n")

    class Reporter:
        def epoch(self, epoch: int, metrics: object) -> None:
            if epoch == 8:
                raise KeyboardInterrupt

        def __getattr__(self, name: str) -> Callable[..., None]:
            return lambda *arguments, **named: None

    with pytest.raises(KeyboardInterrupt):
        runner(Store(uri), Reporter()).run(schema.load(first / "small.toml"))  # type: ignore[arg-type]
    shutil.move(first, second)
    monkeypatch.chdir(second)
    epochs = []

    class Counting(Reporter):
        def epoch(self, epoch: int, metrics: object) -> None:
            epochs.append(epoch)

    store = Store(f"sqlite:///{second}/mlruns/mlflow.db", tell=lambda line: None)
    outcome = runner(store, Counting()).run(schema.load(second / "small.toml"))  # type: ignore[arg-type]
    assert outcome.trained == 2
    assert epochs[0] > 1  # it did not begin anew
    assert not first.exists()


def test_retry_finds_what_failed_before_the_store_was_moved(
    tmp_path: Path, write_empty_store: Callable[[Path], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    write_empty_store(first / "mlruns" / "mlflow.db")
    classes = tmp_path / "classes"
    classes.mkdir()
    (classes / "slow.py").write_text(SLOW)
    (classes / "small.toml").write_text(SMALL.replace('"MLP"', '"slow:Slow"'))
    (classes / "fail").touch()
    monkeypatch.chdir(first)
    invoke("run", str(classes / "small.toml"), code=1)
    (classes / "fail").unlink()
    shutil.move(first, second)
    monkeypatch.chdir(second)
    assert "2 trials trained" in invoke("retry").stdout
    assert not first.exists()


def test_mlflow_itself_finds_the_artifacts_of_a_store_that_was_moved(made: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(made, tmp_path / "moved")
    database = folder / "mlruns" / "mlflow.db"
    _, news = settle(database)  # as `qlab ui` does before it starts
    assert news is not None
    client = mlflow.MlflowClient(f"sqlite:///{database}")
    experiment = client.get_experiment_by_name("small")
    for run in client.search_runs([experiment.experiment_id], f"tags.`{names.KIND}` = '{names.TRIAL}'"):
        assert [item.path for item in client.list_artifacts(run.info.run_id, "checkpoint")] == [names.CHECKPOINT]


def test_a_locked_database_is_read_nevertheless(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its paths are looked at again when they are read; they are mended another time."""
    monkeypatch.setattr("qlab.tracking.moving._LOCK_SECONDS", 0.1)
    folder = shutil.copytree(made, tmp_path / "moved")
    database = folder / "mlruns" / "mlflow.db"
    with closing(sqlite3.connect(database, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        home, news = settle(database)
        assert news is None
        (place,) = (uri for (uri,) in other.execute("SELECT artifact_uri FROM runs LIMIT 1"))
        released = threading.Timer(0.5, other.execute, ["ROLLBACK"])
        released.start()
        run = place.split("/")[-2]
        assert home.present(place, run) == (folder / "mlruns" / "artifacts" / run / "artifacts").as_uri()
        released.join()


def test_what_is_not_a_folder_beside_a_database_is_left_as_it_is(tmp_path: Path) -> None:
    home = Home(tmp_path / "mlflow.db")
    for uri in (
        "s3://bucket/artifacts/r/artifacts",
        "mlflow-artifacts:/1/r/artifacts",
        "file:///data/kept/r/artifacts",
    ):
        assert home.present(uri, "r") == uri
