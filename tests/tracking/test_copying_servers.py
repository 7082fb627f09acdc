"""Runs copied to a tracking server, and from there: the same to the bit, and a server is known by any of its names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.commands import invoke
from support.copies import ALL, assert_same, of, results

from qlab.tracking import names
from qlab.tracking.store import Store


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory, write_empty_store: Callable[[Path], str]) -> str:
    """The server's."""
    return write_empty_store(tmp_path_factory.mktemp("backend") / "server.db")


@pytest.fixture(scope="module")
def uri(serve: Callable[[str], object], database: str, finished: Path) -> str:
    """A server that the small experiment was copied to."""
    server = serve(database)
    address = str(server.uri)  # type: ignore[attr-defined]
    assert invoke("copy", finished / "mlruns", address).stdout.splitlines() == [ALL]
    return address


def test_a_server_gets_everything_once_and_commands_work_there(
    uri: str, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert_same(of(finished / "mlruns"), of(uri))
    assert invoke("copy", finished / "mlruns", uri).stdout == "copied nothing; 13 were there already\n"
    run = invoke("run", finished / "small.toml", "--tracking-uri", uri).stdout
    assert "0 trials trained, 2 from the store, 0 unlearning runs, 0 probes taken" in run


def test_a_copy_comes_back_from_a_server_as_it_was(
    uri: str, finished: Path, tmp_path: Path, write_empty_store: Callable[[Path], str]
) -> None:
    write_empty_store(tmp_path / "back" / "mlflow.db")
    assert invoke("copy", uri, tmp_path / "back", "small").stdout.splitlines()[-1] == ALL
    assert_same(of(uri), of(tmp_path / "back"))
    assert invoke("copy", uri, finished / "mlruns").stdout == "copied nothing; 13 were there already\n"


def test_a_server_and_itself_are_one_store_by_any_name(uri: str, database: str) -> None:
    before = results(of(uri))
    port = uri.rpartition(":")[2]
    for other in (uri, f"{uri}/", f"http://me:secret-word@127.0.0.1:{port}", f"http://localhost:{port}", database):
        for pair in ((uri, other), (other, uri)):
            found = invoke("copy", *pair, code=2)
            assert "are the same store" in found.stderr
            assert "secret-word" not in found.output
    assert before.equals(results(of(uri)))
    store = Store(uri, create=False)
    number = store.experiment_ids(["small"])[0]
    assert names.COPIED not in store.client.get_experiment(number).tags
