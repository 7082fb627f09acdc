"""The exit status of every command: 0 all done, 1 some of it not, 2 unusable input or store, 130 stopped."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.experiments import TASK

from qlab.cli import main
from qlab.tracking import names
from qlab.tracking.store import Store

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_empty_store: Callable[[Path], str]) -> Store:
    """A store with something to delete in it, in a current folder with an experiment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "tiny.toml").write_text(f'name = "tiny"\n{TASK}\n[model]\ntype = "MLP"\n')
    found = Store(write_empty_store(tmp_path / "mlruns" / "mlflow.db"))
    tags = {names.KIND: names.TRIAL, names.TRIAL_KEY: "key"}
    found.finish(found.create_run(found.experiment_id("tiny"), "unlisted", tags=tags))
    return found


EMPTY = "sqlite:///empty.db"

COMMANDS = {
    "help": (0, ["--help"]),
    "runs": (0, ["runs"]),
    "nothing failed": (0, ["runs", "--failed"]),
    "no such store": (2, ["runs", "--tracking-uri", EMPTY]),
    "no such experiment": (2, ["runs", "tny"]),
    "a filter that is none": (2, ["runs", "--filter", "nonsense"]),
    "options that exclude each other": (2, ["runs", "--failed", "--trials"]),
    "unknown option": (2, ["runs", "--falied"]),
    "unknown command": (2, ["rnu"]),
    "no file": (2, ["run"]),
    "no such file": (2, ["run", "nowhere.toml"]),
    "a key that is none": (2, ["run", "tiny.toml", "--set", "model.hiden=[2]"]),
    "a dry run": (0, ["run", "tiny.toml", "--dry-run"]),
    "nothing to retry": (0, ["retry"]),
    "retry of nothing": (2, ["retry", "tny"]),
    "retry without a store": (2, ["retry", "--tracking-uri", EMPTY]),
    "what could be deleted": (0, ["gc", "--dry-run"]),
    "deleting": (0, ["gc", "--yes"]),
    "deleting that is declined": (1, ["gc"]),
    "gc without a store": (2, ["gc", "--tracking-uri", EMPTY]),
    "nothing to send": (0, ["sync"]),
    "no such spool": (2, ["sync", "nowhere"]),
    "report of nothing": (2, ["report", "tny"]),
    "report without a store": (2, ["report", "--tracking-uri", EMPTY]),
    "list": (0, ["list", "corruptions"]),
    "list of nonsense": (2, ["list", "nonsense"]),
    "describe": (0, ["describe", "LabelFlip"]),
    "describe nonsense": (2, ["describe", "nonsense"]),
    "explorer for others": (2, ["explore", "--host", "0.0.0.0"]),
    "explorer without a store": (2, ["explore", "--tracking-uri", EMPTY]),
    "users that are none": (2, ["explore", "--basic-auth", "tiny.toml"]),
    "a port that is none": (2, ["explore", "--port", "70000"]),
}


@pytest.mark.parametrize(("status", "arguments"), COMMANDS.values(), ids=COMMANDS.keys())
def test_the_exit_status_tells(status: int, arguments: list[str], store: Store) -> None:
    result = CliRunner().invoke(main, arguments, input="n\n")
    assert result.exit_code == status, (result.output, result.exception)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert (result.stderr != "") == (status != 0)
    assert "Traceback" not in result.output
    assert not Path("empty.db").exists()


@pytest.mark.parametrize("command", ["explore", "ui"])
def test_a_port_in_use_is_unusable(command: str, store: Store) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        result = CliRunner().invoke(main, [command, "--port", str(server.getsockname()[1])])
    assert result.exit_code == 2
    assert "--port" in result.stderr


def test_a_retry_of_which_a_part_is_refused_is_not_all_done(store: Store, tmp_path: Path) -> None:
    experiment = store.experiment_id("other")
    for name, text in (("good", Path("tiny.toml").read_text()), ("bad", "nonsense = 1")):
        refused = {names.CONTENT: name, names.REFUSED: name, names.SOURCE: f"{name}.toml", names.FOLDER: str(tmp_path)}
        assignments = json.dumps([["run.seeds", 1], ["training.epochs", 1]] if name == "good" else [])
        tags = refused | {names.KIND: names.EXPERIMENT, names.ASSIGNMENTS: assignments}
        run = store.create_run(experiment, name, tags=tags)
        (tmp_path / "experiment.toml").write_text(text)
        store.log_file(run, tmp_path / "experiment.toml")
        store.finish(run, "FAILED")
    result = CliRunner().invoke(main, ["retry"])
    assert result.exit_code == 1
    assert "bad cannot be run again" in result.stderr
    assert "1 trial trained" in result.output


def test_ui_marks_runs_whose_command_was_killed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    tags = {names.KIND: names.TRIAL, names.TRIAL_KEY: "other", names.WORKER: "gone"}
    run = store.create_run(store.experiment_id("tiny"), "killed", tags=tags)
    with socket.create_server(("127.0.0.1", 0)) as server:  # so that it ends
        CliRunner().invoke(main, ["ui", "--port", str(server.getsockname()[1])])
    assert store.get_run(run).info.status == "KILLED"
