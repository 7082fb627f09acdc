"""A password in the address of a tracking server: no command prints, writes or passes it on, whatever happens."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import pytest
from click.testing import CliRunner
from support.commands import serving
from support.experiments import SLOW, TASK
from support.http import Gate

from qlab.cli import main
from qlab.tracking import names
from qlab.tracking.spool import JOURNAL
from qlab.tracking.store import Store

pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning"),
    pytest.mark.skipif(sys.platform == "win32", reason="processes are stopped by signals"),
]

PASSWORD = "ge/heim@12345"
WRITTEN = quote(PASSWORD, safe="")
SPELLINGS = [
    PASSWORD,
    WRITTEN,
    WRITTEN.lower(),
    "heim@",
    "12345@",
    base64.b64encode(b"admin:" + PASSWORD.encode()).decode(),
]

EXPERIMENT = f"""
name = "hushed"
{TASK}
[corruption]
type = "LabelFlip"
ratio = [0.0, 0.5]
[[model]]
type = "slow:Slow"
hidden = [4]
[training]
epochs = 10
batch_size = 8
[run]
seeds = 2
"""


def assert_hushed(text: str | bytes, where: str = "") -> None:
    found = text if isinstance(text, str) else text.decode("utf-8", "replace")
    for spelling in SPELLINGS:
        assert spelling not in found, f"{where}: {found}"


def assert_all_hushed(folder: Path) -> None:
    """No file below a folder has the password, nor the name of one."""
    for path in folder.rglob("*"):
        assert_hushed(str(path))
        if path.is_file():
            assert_hushed(path.read_bytes(), str(path))


def assert_processes_hushed() -> None:
    """Nor has the command line of a process that this one has started, or that was started by those."""
    for process in psutil.Process().children(recursive=True):
        try:
            assert_hushed(" ".join(process.cmdline()))
        except psutil.NoSuchProcess:
            continue


@pytest.fixture(scope="module")
def behind(serve: Callable[[str], Any], tmp_path_factory: pytest.TempPathFactory, write_empty_store: Any) -> Any:
    """A tracking server on SQLite, and its folder."""
    folder = tmp_path_factory.mktemp("behind")
    server = serve(write_empty_store(folder / "server.db"))
    return server, folder


@pytest.fixture
def gate(behind: Any) -> Iterator[Gate]:
    """A gate before the server, on which the experiment is new."""
    with Gate(behind[0].uri, PASSWORD).opened() as found:
        yield found
    store = Store(behind[0].uri)
    experiment_id = store.find_experiment("hushed")
    if experiment_id is not None:
        store.client.rename_experiment(experiment_id, f"hushed {time.monotonic()}")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "hushed.toml").write_text(EXPERIMENT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_no_command_shows_the_password(gate: Gate, behind: Any, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server, folder = behind
    monkeypatch.setenv("MLFLOW_TRACKING_URI", gate.uri(WRITTEN))
    shown = f"http://admin:***@127.0.0.1:{gate.port}"

    def invoke(*arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(main, list(arguments))
        assert result.exit_code == code, result.output
        assert result.exception is None or isinstance(result.exception, SystemExit)
        assert_hushed(result.output, " ".join(arguments))
        assert "Traceback" not in result.output
        return result.output

    (project / "fail").touch()
    assert shown in invoke("run", "hushed.toml", "--set", "model.training.epochs=3", code=1)
    (project / "fail").unlink()
    assert shown in invoke("runs", "--failed")
    invoke("retry")
    assert shown in invoke("run", "hushed.toml")
    assert shown in invoke("runs")
    invoke("runs", "--trials")
    invoke("runs", "hushed", "--filter", "no filter", code=2)
    assert shown in invoke("runs", "nothing", code=2)
    invoke("run", "hushed.toml", "--dry-run")
    invoke("gc", "--dry-run")
    assert shown in invoke("gc", "--yes")
    invoke("report", "-o", str(project / "report"))
    assert shown in (project / "report" / "index.html").read_text()
    assert f"http://127.0.0.1:{gate.port}" in invoke("ui")
    invoke("sync")
    gate.password = "another"
    for command in (
        ["run", "hushed.toml"],
        ["runs"],
        ["retry"],
        ["gc"],
        ["report"],
        ["run", "hushed.toml", "--dry-run"],
    ):
        assert "MLFLOW_TRACKING_PASSWORD" in invoke(*command, code=2)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://admin:{WRITTEN}@127.0.0.1:1")
    assert "does not answer" in invoke("runs", code=2)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://admin:{PASSWORD}@127.0.0.1:{gate.port}")
    assert "%2F" in invoke("runs", code=2)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"coop://admin:{WRITTEN}@host")
    assert "coop://admin:***@host" in invoke("runs", code=2)
    assert_all_hushed(project)
    assert_all_hushed(folder)
    assert_all_hushed(server.folder)


def test_workers_are_not_told_the_password_on_their_command_line_and_a_lock_out_loses_nothing(
    gate: Gate, behind: Any, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "slow").touch()
    environment = os.environ | {"MLFLOW_TRACKING_URI": gate.uri(WRITTEN), "PYTHONUNBUFFERED": "1"}
    with (project / "out").open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "qlab", "run", "hushed.toml", "--jobs", "2"],
            cwd=project,
            env=environment,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        try:
            for _ in range(900):
                if "10 epochs" in (project / "out").read_text():
                    break
                assert process.poll() is None, (project / "out").read_text()
                time.sleep(0.1)
            time.sleep(1.0)  # the ensemble's runs are being made, or have been
            commands = [" ".join(child.cmdline()) for child in psutil.Process(process.pid).children(recursive=True)]
            assert sum("spawn_main" in command for command in commands) == 2
            assert_processes_hushed()
            gate.password = "expired"
            (project / "slow").unlink()
            assert process.wait(timeout=120) == 1, (project / "out").read_text()
        finally:
            process.kill()
            process.wait()
    said = (project / "out").read_text()
    assert "Traceback" not in said
    assert "hushed has run to its end, but the tracking server has not all of it" in said
    assert "MLFLOW_TRACKING_PASSWORD" in said
    spools = [path.parent for path in project.rglob(JOURNAL)]
    assert spools
    assert_all_hushed(project)

    refused = CliRunner().invoke(main, ["sync"])
    assert refused.exit_code in (1, 2)
    assert "MLFLOW_TRACKING_URI" in refused.output
    gate.password = PASSWORD
    monkeypatch.setenv("MLFLOW_TRACKING_URI", gate.uri(WRITTEN))
    sent = CliRunner().invoke(main, ["sync"])
    assert sent.exit_code == 0, sent.output
    assert_hushed(sent.output)
    store = Store(behind[0].uri)
    kinds = [
        run.info.status
        for run in store.search(store.experiment_ids(["hushed"]), f"tags.`{names.KIND}` = '{names.TRIAL}'")
    ]
    assert kinds == ["FINISHED"] * 4
    assert_all_hushed(project)


def test_the_explorer_shows_and_passes_on_no_password(gate: Gate, project: Path) -> None:
    (project / "users.json").write_text('{"ada": "countess"}')
    settings = {"MLFLOW_TRACKING_URI": gate.uri(WRITTEN)}
    with serving(project, "explore", "--basic-auth", "users.json", settings=settings) as server:
        with urllib.request.urlopen(server.address, timeout=30) as answer:
            assert_hushed(answer.read())
        command = " ".join(psutil.Process(server.process.pid).cmdline())
        assert "serve" in command
        assert "cookie-secret" not in command
        assert_hushed(command)
    assert f"http://admin:***@127.0.0.1:{gate.port}" in server.printed
    assert_all_hushed(project)


def test_the_mlflow_ui_of_a_database_is_not_told_its_password_on_the_command_line(project: Path, postgres: Any) -> None:
    uri = postgres.uri.replace("qlab@", f"qlab:{WRITTEN}@")  # it trusts everybody, so that any password will do
    with serving(project, "ui", settings={"MLFLOW_TRACKING_URI": uri}, meanwhile=assert_processes_hushed) as server:
        with urllib.request.urlopen(f"{server.address}/health", timeout=30) as answer:
            assert answer.read() == b"OK"
        assert_processes_hushed()
    assert "qlab:***@" in server.printed
    shutil.rmtree(project / "mlruns", ignore_errors=True)
    assert_all_hushed(project)
