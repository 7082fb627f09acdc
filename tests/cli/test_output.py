"""Where output goes: full disks, closed pipes and streams, other encodings; in real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.experiments import TASK

from qlab import output
from qlab.cli import main

pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning"),
    pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here"),
]

TINY = f'name = "tiny"\nabout = "α ± β"\n{TASK}\n[model]\ntype = "MLP"\nhidden = [2]\n'
TINY += "[training]\nepochs = 1\n[run]\nseeds = 2\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, write_empty_store: Callable[[Path], str]) -> Path:
    found = tmp_path_factory.mktemp("output")
    (found / "tiny.toml").write_text(TINY, encoding="utf-8")
    write_empty_store(found / "mlruns" / "mlflow.db")
    return found


def shell(folder: Path, line: str, **environment: str) -> tuple[int, str]:
    """The exit status of `qlab` in a line of the shell, and what the line printed to stderr."""
    found = subprocess.run(
        ["bash", "-c", line.replace("qlab", f"{sys.executable} -m qlab", 1)],
        cwd=folder,
        env={key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"} | environment,
        capture_output=True,
        check=False,
    )
    return found.returncode, found.stderr.decode("utf-8") + found.stdout.decode("utf-8", "replace")


FULL = "Error: The output cannot be written: No space left on device.\n"


def test_a_run_whose_output_cannot_be_written_goes_on_and_says_so(folder: Path) -> None:
    status, said = shell(folder, "qlab run tiny.toml > /dev/full")
    assert (status, said) == (1, FULL[:-1] + " The runs are in the store: see `qlab runs`.\n")
    status, said = shell(folder, "qlab run tiny.toml --dry-run")
    assert status == 0
    assert "2 done" in said


@pytest.mark.parametrize("command", ["--help", "list models"])
def test_a_full_disk_is_one_message(command: str, folder: Path) -> None:
    assert shell(folder, f"qlab {command} > /dev/full") == (1, FULL)


def test_a_pipe_that_is_closed_is_a_quiet_end(folder: Path) -> None:
    status, said = shell(folder, "qlab list | head -1; exit ${PIPESTATUS[0]}")
    assert status in (0, 1)  # 0 if all was written before the pipe was closed
    assert said == "tasks\n"


@pytest.mark.parametrize("streams", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_closed_streams_lead_nowhere(streams: str, folder: Path) -> None:
    status, said = shell(folder, f"qlab list corruptions {streams}")
    assert status == 0
    assert "Traceback" not in said


def test_an_error_that_cannot_be_said_keeps_its_status(folder: Path) -> None:
    assert shell(folder, "qlab run nowhere.toml 2> /dev/full") == (2, "")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_signs_that_an_encoding_lacks_are_written_out(encoding: str, folder: Path) -> None:
    environment = {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0", "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "20"}
    status, said = shell(folder, "qlab run tiny.toml", **environment)
    assert status == 0, said
    assert "Traceback" not in said
    assert "validation accuracy" in said


def test_characters_without_a_form_of_their_own_are_escaped() -> None:
    output.prepare()
    assert "α ± Ω … λ 量 \udcff".encode("ascii", "qlab.plain").decode() == "alpha +- Omega ... lamda \\u91cf \\udcff"
    assert "ü".encode("latin-1", "qlab.plain") == b"\xfc"


def test_what_a_file_says_cannot_change_how_a_terminal_shows_an_error(folder: Path) -> None:
    (folder / "odd.toml").write_text('name = "a\\u001b[2Jb"\n"k\\u001b[31m\\u202e" = 1\n', encoding="utf-8")
    result = CliRunner().invoke(main, ["run", str(folder / "odd.toml")], color=True)
    assert result.exit_code == 2
    assert "\x1b" not in result.stderr
    assert "\u202e" not in result.stderr
    assert r"\u001b[" in result.stderr


@pytest.mark.parametrize("place", ["/dev/full", "/dev/full/below", "tiny.toml", "tiny.toml/below"])
def test_a_report_that_cannot_be_written_is_one_message(
    place: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert CliRunner().invoke(main, ["run", "tiny.toml"]).exit_code == 0
    result = CliRunner().invoke(main, ["report", "-o", place])
    assert result.exit_code in (1, 2)
    assert isinstance(result.exception, SystemExit)
    assert place.partition("/below")[0] in result.stderr
    assert len([line for line in result.stderr.splitlines() if not line.startswith("drawing ")]) == 1
