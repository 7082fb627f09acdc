"""A real tracking server that can be taken away and brought back."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.children import Child, Children
from support.copies import SMALL
from support.runs import runner

from qlab.experiment.asking import schema
from qlab.tracking.store import Store


class Server:
    """An ``mlflow server`` process at a fixed port, on any backend.

    Args:
        folder: for its log and its artifacts.
        backend: the URI of its database.
        artifacts: options that say where artifacts go; by default through it.
    """

    def __init__(self, folder: Path, backend: str, *artifacts: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self._port}"
        self.folder = folder
        self._backend = backend
        self._artifacts = artifacts or ("--artifacts-destination", str(folder / "artifacts"))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        arguments = ["--backend-store-uri", self._backend, "--workers", "1", "--host", "127.0.0.1"]
        arguments += [*self._artifacts, "--port", str(self._port)]
        with (self.folder / "log").open("a") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", "server", *arguments],
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
                start_new_session=True,
            )
        for _ in range(900):
            assert self._process.poll() is None, (self.folder / "log").read_text()
            try:
                with urllib.request.urlopen(f"{self.uri}/health", timeout=5) as answer:
                    assert answer.status == 200
                return
            except OSError:
                time.sleep(0.2)
        raise AssertionError((self.folder / "log").read_text())

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
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    """Starts tracking servers on databases; further arguments say where artifacts go."""
    servers: list[Server] = []

    def start(backend: str, *artifacts: str) -> Server:
        servers.append(Server(tmp_path_factory.mktemp("server"), backend, *artifacts))
        servers[-1].start()
        return servers[-1]

    yield start
    for server in servers:
        server.kill()


@pytest.fixture(scope="module")
def server(
    serve: Callable[[str], Server], tmp_path_factory: pytest.TempPathFactory, write_empty_store: Callable[[Path], str]
) -> Server:
    """A running tracking server on SQLite; a test that takes it away brings it back."""
    return serve(write_empty_store(tmp_path_factory.mktemp("backend") / "server.db"))


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, write_empty_store: Callable[[Path], str]) -> Path:
    """A project in whose store a small experiment has run. Only read."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "small.toml").write_text(SMALL)
    store = Store(write_empty_store(folder / "mlruns" / "mlflow.db"))
    runner(store).run(schema.load(folder / "small.toml"))
    return folder


@pytest.fixture(scope="session")
def _children(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Children]:
    children = Children(tmp_path_factory.mktemp("children"))
    yield children
    children.close()


@pytest.fixture
def fork(_children: Children) -> Iterator[Callable[[str], Child]]:
    """Starts processes that run some lines of Python with stores and locks, in no time; ended with the test."""
    yield _children.start
    _children.clear()


class Postgres:
    """A PostgreSQL cluster of its own, behind a Unix socket, run by a user that is not the superuser.

    Args:
        programs: the folder of ``initdb`` and ``pg_ctl``.
        folder: new, short and empty.
    """

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self.folder = folder
        self._user: str | None = None
        if os.geteuid() == 0:  # PostgreSQL refuses to be run by the superuser
            self._user = "postgres" if "postgres:" in Path("/etc/passwd").read_text() else "nobody"
            shutil.chown(folder, self._user)
        self._run("initdb", "--auth=trust", "--username=qlab", "--no-sync")
        self.uri = f"postgresql+psycopg2://qlab@/postgres?host={folder}"

    def start(self) -> None:
        options = f"-c listen_addresses='' -c unix_socket_directories='{self.folder}'"
        self._run("pg_ctl", "start", "--wait", f"--log={self.folder}/log", f"--options={options}")

    def stop(self) -> None:
        """At once: open connections break, and the next start recovers from the log."""
        self._run("pg_ctl", "stop", "--mode=immediate")

    def _run(self, program: str, *arguments: str) -> None:
        # Into a file: a pipe would be kept open by the cluster.
        with (self.folder / "errors").open("a") as log:
            result = subprocess.run(
                [str(self._programs / program), f"--pgdata={self.folder}/data", *arguments],
                cwd=self.folder,
                user=self._user,
                stdout=subprocess.DEVNULL,
                stderr=log,
                check=False,
                timeout=120,
            )
        assert result.returncode == 0, (self.folder / "errors").read_text()


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    """A running PostgreSQL cluster."""
    found = shutil.which("pg_ctl") or max(map(str, Path("/usr/lib/postgresql").glob("*/bin/pg_ctl")), default=None)
    if found is None or importlib.util.find_spec("psycopg2") is None:
        pytest.skip("there is no PostgreSQL here, or no psycopg2")
    folder = Path(tempfile.mkdtemp(prefix="qlab-pg-"))  # the path of a socket must be short
    cluster = Postgres(Path(found).resolve().parent, folder)
    cluster.start()
    yield cluster
    cluster.stop()
    shutil.rmtree(folder)
