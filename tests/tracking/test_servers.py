"""`qlab ui` on a real store."""

from __future__ import annotations

import socket
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.commands import serving

from qlab.cli import main


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def test_the_ui_serves_the_store(tmp_path: Path, write_empty_store: Callable[[Path], str]) -> None:
    write_empty_store(tmp_path / "mlruns" / "mlflow.db")
    port = free_port()
    with serving(tmp_path, "ui", "--port", str(port)) as server:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=30) as answer:
            assert answer.read() == b"OK"
        assert f"http://127.0.0.1:{port}" in server.printed.splitlines()[0]


@pytest.mark.parametrize("command", ["ui", "explore"])
def test_without_a_store_there_is_nothing_to_serve(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, [command])
    assert result.exit_code == 2
    assert "There is no store at" in result.stderr
    assert "qlab run" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_ui_of_a_tracking_server_is_the_servers_own() -> None:
    result = CliRunner().invoke(main, ["ui", "--tracking-uri", "http://tracking.invalid:5000"])
    assert result.exit_code == 0
    assert "http://tracking.invalid:5000" in result.output


@pytest.mark.parametrize("command", ["ui", "explore"])
def test_a_port_that_is_taken_is_explained(
    command: str, tmp_path: Path, write_empty_store: Callable[[Path], str]
) -> None:
    store = write_empty_store(tmp_path / "mlflow.db")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = CliRunner().invoke(main, [command, "--tracking-uri", store, "--port", str(port)])
    assert result.exit_code == 2
    assert f"127.0.0.1:{port}" in result.stderr
    assert "--port" in result.stderr


@pytest.mark.parametrize("port", ["99999", "-1", "many"])
def test_what_is_no_port_is_explained(port: str, tmp_path: Path, write_empty_store: Callable[[Path], str]) -> None:
    store = write_empty_store(tmp_path / "mlflow.db")
    result = CliRunner().invoke(main, ["ui", "--tracking-uri", store, "--port", port])
    assert result.exit_code == 2
    assert port in result.stderr
