"""Where servers have artifacts put: what cannot be written is found before anything is trained."""

from __future__ import annotations

import importlib.util
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support.experiments import FLIPPED

from qlab.cli import main
from qlab.errors import StoreError
from qlab.tracking.places import check_place
from qlab.tracking.store import Store

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")

SMALL = f"""
name = "placed"
{FLIPPED}
[run]
seeds = 1
"""


@pytest.fixture
def backend(tmp_path: Path, write_empty_store: Callable[[Path], str], monkeypatch: pytest.MonkeyPatch) -> str:
    """The database of a server, in a folder with a small experiment."""
    (tmp_path / "placed.toml").write_text(SMALL)
    monkeypatch.chdir(tmp_path)
    return write_empty_store(tmp_path / "server.db")


def run(uri: str, *arguments: str) -> Result:
    return CliRunner().invoke(main, [*(arguments or ("run", "placed.toml")), "--tracking-uri", uri])


def test_a_folder_of_the_servers_disk_is_found_before_training_and_the_name_is_free_again(
    backend: str, serve: Callable[..., Any], tmp_path: Path
) -> None:
    if not Path("/proc/self").exists():
        pytest.skip("there is no folder here that nobody can write")
    server = serve(backend, "--no-serve-artifacts", "--default-artifact-root", "/proc/nope")
    start = time.monotonic()
    result = run(server.uri)
    assert time.monotonic() - start < 20.0
    assert result.exit_code == 2
    for words in (server.uri, "folder of its own disk", "/proc/nope/1", "--artifacts-destination"):
        assert words in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert "1 epoch" not in result.stdout
    store = Store(server.uri)
    assert store.experiments().keys() == {"Default"}

    # An experiment that was there before keeps its folder, which is said.
    store.client.create_experiment("placed")
    assert "keeps its artifacts there" in run(server.uri).stderr
    (number,) = store.experiment_ids(["placed"])
    assert list(store.search([number])) == []
    store.client.rename_experiment(number, "other")

    # Started as the message says, it takes the experiment under its own name.
    server.kill()
    mended = serve(backend, "--artifacts-destination", str(tmp_path / "artifacts"))
    assert run(mended.uri).exit_code == 0


def test_a_shared_folder_works_and_a_server_without_artifacts_is_named(
    backend: str, serve: Callable[..., Any], tmp_path: Path
) -> None:
    shared = serve(backend, "--no-serve-artifacts", "--default-artifact-root", str(tmp_path / "shared" / "new"))
    result = run(shared.uri)
    assert result.exit_code == 0, result.output
    assert list((tmp_path / "shared" / "new").rglob("summary.csv"))
    shared.kill()
    closed = serve(backend, "--no-serve-artifacts", "--default-artifact-root", "mlflow-artifacts:/")
    (tmp_path / "placed.toml").write_text(SMALL.replace('"placed"', '"another"'))
    result = run(closed.uri)
    assert result.exit_code == 2
    assert "--no-serve-artifacts" in result.stderr
    assert "another" not in Store(closed.uri).experiments()


SERVER = "http://admin:geheim12@127.0.0.1:5000"
ELSEWHERE = "http://admin:geheim12@tracking.invalid:5000"


@pytest.mark.parametrize(
    ("uri", "location", "said"),
    [
        (SERVER, "C:\\Users\\ada\\mlruns\\1", ["own disk", "another system"]),
        (SERVER, "file:///C:/Users/ada/mlruns/1", ["own disk", "another system"]),
        (ELSEWHERE, "file:///srv/no%20such/mlruns/1", ["own disk", "/srv/no such/mlruns"]),
        (ELSEWHERE, "/srv/nothing/mlruns/1", ["own disk", "there is no folder /srv/nothing/mlruns here"]),
        (SERVER, "coop://pigeon/1", ["coop://pigeon/1", "--artifacts-destination"]),
        ("postgresql://u:geheim12@host/db", "mlflow-artifacts:/1", ["behind an MLflow server"]),
    ],
)
def test_what_cannot_be_written_is_said_with_what_to_do(uri: str, location: str, said: list[str]) -> None:
    with pytest.raises(StoreError) as raised:
        check_place(uri, location)
    for words in (":***@", *said):
        assert words in str(raised.value)
    assert "geheim12" not in str(raised.value)


@pytest.mark.skipif(importlib.util.find_spec("boto3") is not None, reason="boto3 is installed")
def test_a_cloud_whose_package_is_missing_is_named() -> None:
    start = time.monotonic()
    with pytest.raises(StoreError, match="pip install boto3"):
        check_place(SERVER, "s3://bucket/mlruns/1")
    assert time.monotonic() - start < 5.0


def test_a_folder_below_a_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="Not a directory"):
        check_place(SERVER, (tmp_path / "file" / "1").as_uri())


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="this user may write everywhere")
def test_a_folder_without_permission_cannot_be_written(tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o555)
    with pytest.raises(StoreError, match="Permission denied"):
        check_place(SERVER, folder.as_uri())


def test_looking_leaves_nothing(tmp_path: Path) -> None:
    check_place(SERVER, (tmp_path / "new" / "1").as_uri())
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "shared").mkdir()
    check_place(ELSEWHERE, (tmp_path / "shared" / "1").as_uri())
    assert list((tmp_path / "shared").iterdir()) == []
    shutil.rmtree(tmp_path / "shared")
