"""A real tracking server that can be taken away and brought back."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


class Server:
    """An ``mlflow server`` process at a fixed port, on any backend.

    Args:
        folder: for its log and its artifacts.
        backend: the URI of its database.
    """

    def __init__(self, folder: Path, backend: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self._port}"
        self._folder = folder
        self._backend = backend
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        arguments = ["--backend-store-uri", self._backend, "--workers", "1", "--host", "127.0.0.1"]
        arguments += ["--artifacts-destination", str(self._folder / "artifacts"), "--port", str(self._port)]
        with (self._folder / "log").open("a") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", "server", *arguments],
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"},
                start_new_session=True,
            )
        for _ in range(300):
            assert self._process.poll() is None, (self._folder / "log").read_text()
            try:
                with urllib.request.urlopen(f"{self.uri}/health", timeout=5) as answer:
                    assert answer.status == 200
                return
            except OSError:
                time.sleep(0.2)
        raise AssertionError((self._folder / "log").read_text())

    def kill(self) -> None:
        """Without a goodbye, as when a machine fails."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """It accepts connections and does not answer, as behind a network that swallows packets."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGCONT)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, write_empty_store: Callable[[Path], str]) -> Iterator[Server]:
    """A running tracking server on SQLite; a test that takes it away brings it back."""
    folder = tmp_path_factory.mktemp("server")
    found = Server(folder, write_empty_store(folder / "server.db"))
    found.start()
    yield found
    found.kill()
