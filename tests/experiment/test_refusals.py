"""Experiments that fail before their first run: listed, tried again, and cleared once they can be run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support.commands import words
from support.experiments import TASK

from qlab.cli import main
from qlab.tracking import frames, names
from qlab.tracking.store import Store

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")

MODEL = '[model]\ntype = "own:Own"\nhidden = [2]\n[training]\nepochs = 1\n[run]\nseeds = 1\n'
GOOD = """
from qlab import MLP, Dataset, XXZ
from pathlib import Path


class Own(MLP):
    '''A small model.'''


class Data(XXZ):
    '''Data that may be missing.'''

    def load(self):
        if (Path(__file__).parent / "missing").exists():
            raise FileNotFoundError("states.npz is not there")
        return super().load()
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_empty_store: Callable[[Path], str]) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    write_empty_store(tmp_path / "mlruns" / "mlflow.db")
    (tmp_path / "file.toml").write_text('name = "refused"\n' + TASK.replace('"XXZ"', '"own:Data"') + MODEL)
    (tmp_path / "own.py").write_text(GOOD)
    return tmp_path


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def parents(folder: Path) -> list[tuple[str, str | None]]:
    store = Store(f"sqlite:///{folder}/mlruns/mlflow.db", create=False)
    found = frames.runs_of_kind(store, store.experiment_ids(), names.EXPERIMENT)
    return list(zip(found["status"], found[names.ERROR], strict=True))


def assert_listed(error: str) -> None:
    shown = words(invoke("runs", "--failed").output)
    assert "the experiment itself failed" in shown
    assert error.split()[0] in shown


def test_data_that_are_missing_are_listed_once_and_cleared_by_a_good_run(folder: Path) -> None:
    (folder / "missing").touch()
    for _ in range(2):
        result = invoke("run", "file.toml")
        assert result.exit_code == 2
        assert "states.npz is not there" in result.stderr
        ((status, error),) = parents(folder)
        assert status == "FAILED"
        assert error is not None
        assert "states.npz is not there" in error
    assert_listed("The task Data does not load")
    assert invoke("retry").exit_code == 2  # still missing
    (folder / "missing").unlink()
    assert invoke("retry").exit_code == 0
    assert parents(folder) == [("FINISHED", None)]
    assert invoke("runs", "--failed").output.startswith("Nothing failed")
    assert invoke("retry").output.startswith("Nothing to retry")


def test_a_class_that_does_not_import_is_listed_once_and_cleared_by_a_good_run(folder: Path) -> None:
    (folder / "own.py").write_text("import no_such_package\n" + GOOD)
    for _ in range(2):
        result = invoke("run", "file.toml")
        assert result.exit_code == 2
        assert "no_such_package" in result.stderr
        ((status, error),) = parents(folder)
        assert status == "FAILED"
        assert error is not None
        assert "no_such_package" in error
    assert_listed("file.toml")
    assert "no_such_package" in invoke("retry").stderr
    (folder / "own.py").write_text(GOOD)
    assert invoke("run", "file.toml").exit_code == 0
    assert parents(folder) == [("FINISHED", None)]
    assert invoke("runs", "--failed").output.startswith("Nothing failed")


def test_a_class_that_was_mended_is_retried(folder: Path) -> None:
    (folder / "own.py").write_text(GOOD + "\nraise RuntimeError('half written')\n")
    assert invoke("run", "file.toml").exit_code == 2
    (folder / "own.py").write_text(GOOD)
    assert invoke("retry").exit_code == 0
    assert parents(folder) == [("FINISHED", None)]


def test_a_model_that_is_too_large_is_listed(folder: Path) -> None:
    assert invoke("run", "file.toml", "--memory", "1kB").exit_code == 2
    assert [status for status, _ in parents(folder)] == ["FAILED"]
    assert_listed("own:Own")


def test_a_cluster_that_does_not_answer_is_listed(folder: Path) -> None:
    pytest.importorskip("distributed")
    assert invoke("run", "file.toml", "--cluster", "nonsense://nowhere").exit_code == 2
    assert [status for status, _ in parents(folder)] == ["FAILED"]
    assert_listed("--cluster")


def test_what_is_misspelt_is_not_kept(folder: Path) -> None:
    for arguments in (["--set", "model.hiden=2"], ["--device", "gpu"], ["--dry-run", "--set", "model.x=1"]):
        assert invoke("run", "file.toml", *arguments).exit_code == 2
    (folder / "own.py").unlink()
    assert invoke("run", "file.toml", "--dry-run").exit_code == 2
    assert parents(folder) == []
