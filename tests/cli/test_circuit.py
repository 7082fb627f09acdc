"""`qlab circuit`: a trained circuit as text, OpenQASM and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support.experiments import cloud

from qlab.cli import main
from qlab.tracking import names
from qlab.tracking.store import Store

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")

FILE = """
name = "angles"
[task]
type = "parts:Cloud"
[[model]]
type = "PennyLaneQNN"
encoding = "angle"
depth = 2
training = { epochs = 1 }
[[model]]
type = "PennyLaneQNN"
encoding = "angle"
depth = 2
reupload = 2
observable = "ZZ_last"
training = { epochs = 1 }
[[model]]
type = "MLP"
training = { epochs = 1 }
[run]
seeds = 1
"""


def qlab(*arguments: str) -> Any:
    return CliRunner().invoke(main, arguments)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store that holds three trained models."""
    path = tmp_path_factory.mktemp("circuit")
    (path / "parts.py").write_text(cloud(4))
    (path / "angles.toml").write_text(FILE)
    (path / "rows.csv").write_text("0.1,0.2,0.3,0.4\n1,2,3,4\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        result = qlab("run", "angles.toml", "--no-figures")
    assert result.exit_code == 0, result.output
    return path


@pytest.fixture
def runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The ids of the trials: "plain", "again" and "MLP"."""
    monkeypatch.chdir(folder)
    store = Store(create=False)
    found = {}
    for run in store.search(store.experiment_ids()):
        if run.data.tags.get(names.KIND) == names.TRIAL:
            params = run.data.params
            name = "again" if "model.reupload" in params else "plain"
            found["MLP" if params["model.type"].strip('"') == "MLP" else name] = run.info.run_id
    return found


def test_text_is_the_default_and_the_cone_has_its_wires_only(runs: dict[str, str]) -> None:
    whole, cone = qlab("circuit", runs["plain"][:12]), qlab("circuit", runs["plain"], "--draw", "--cone")
    assert whole.exit_code == cone.exit_code == 0
    assert [line[:2] for line in whole.stdout.splitlines()[:4]] == ["0:", "1:", "2:", "3:"]
    assert [line[:2] for line in cone.stdout.splitlines()] == ["2:", "3:"]
    assert "RY(x3)" in cone.stdout


def test_openqasm_goes_to_the_terminal_or_a_file(runs: dict[str, str], folder: Path) -> None:
    printed = qlab("circuit", runs["plain"], "--qasm", "--cone")
    assert printed.exit_code == 0, printed.output
    assert printed.stdout.startswith('OPENQASM 2.0;\ninclude "qelib1.inc";\n// the light cone alone: q[0] is wire 2')
    assert "qreg q[2];" in printed.stdout
    written = qlab("circuit", runs["plain"], "--qasm", "--cone", "-o", "cone.qasm")
    assert written.stdout == "cone.qasm\n"
    assert (folder / "cone.qasm").read_text() == printed.stdout


def test_a_row_of_features_is_prepared(runs: dict[str, str]) -> None:
    first, second = (
        qlab("circuit", runs["again"], "--qasm", "--rows", "rows.csv", "--row", row).stdout for row in "01"
    )
    assert first.count("ry(0.4) q[3];") == 2
    assert second.count("ry(4.0) q[3];") == 2


@pytest.mark.parametrize(("suffix", "begins"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
@pytest.mark.parametrize("more", [(), ("--cone",)])
def test_pictures(runs: dict[str, str], folder: Path, suffix: str, begins: bytes, more: tuple[str, ...]) -> None:
    result = qlab("circuit", runs["again"], "-o", f"picture.{suffix}", *more)
    assert result.exit_code == 0, result.output
    assert (folder / f"picture.{suffix}").read_bytes().startswith(begins)


@pytest.mark.parametrize(
    ("run", "arguments", "message"),
    [
        ("plain", ["--qasm", "--draw"], "--qasm: cannot be combined with --draw"),
        ("plain", ["--rows", "rows.csv"], "--rows: belongs to --qasm"),
        ("plain", ["-o", "picture.txt"], 'got "picture.txt", accepts images as .png, .svg, .pdf'),
        ("plain", ["-o", "nowhere/picture.png"], "there is no folder nowhere"),
        ("plain", ["--qasm", "--rows", "rows.csv", "--row", "2"], "--row: got 2, and rows.csv has the rows 0 to 1"),
        ("again", ["--qasm"], "give a row of features: --rows FILE --row N"),
        ("MLP", [], "its model is of the class MLP, which has no circuit"),
        ("none", [], 'run "none": accepts the id of a run'),
    ],
)
def test_bad_input_is_refused(runs: dict[str, str], run: str, arguments: list[str], message: str) -> None:
    result = qlab("circuit", runs.get(run, run), *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
