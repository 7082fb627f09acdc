"""The package: one version, a name of its own, and a wheel that works where nothing else is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
import yaml

from qlab.resources import experiments
from qlab.version import DISTRIBUTION, __version__

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))


def called(*command: str | Path, cwd: Path) -> str:
    """What a command prints."""
    surroundings = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [*map(str, command)], cwd=cwd, env=surroundings, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `python -m build --wheel` makes of this checkout; hatchling comes from this environment if it is here."""
    pytest.importorskip("build")
    folder = tmp_path_factory.mktemp("dist")
    called(sys.executable, "-m", "build", "--wheel", "--outdir", folder, ROOT, cwd=folder)
    return next(folder.glob("*.whl"))


def test_the_version_is_in_one_place() -> None:
    assert "version" not in PROJECT
    assert CITATION["version"] == __version__
    assert re.search(
        rf"^## (Unreleased|{re.escape(__version__)})", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE
    )


def test_messages_name_the_distribution_that_pip_finds() -> None:
    assert PROJECT["name"] == DISTRIBUTION
    files = [*(ROOT / "qlab").rglob("*.py"), *(ROOT / "docs").rglob("*.md")]
    assert [file for file in files if re.search(r"pip install \"?qlab[\[ ]", file.read_text("utf-8"))] == []


def test_the_changelog_has_the_sections_of_keep_a_changelog() -> None:
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert set(re.findall(r"^### (.*)$", text, re.MULTILINE)) <= {"Added", "Changed", "Fixed"}


@pytest.mark.slow
def test_a_wheel_has_what_the_command_needs(wheel: Path) -> None:
    assert wheel.name.startswith(f"{DISTRIBUTION.replace('-', '_')}-{__version__}-")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"qlab/_shipped/experiments/{name}.toml" for name in experiments()} <= names
    assert {"qlab/_shipped/apps/explorer.py", "qlab/py.typed"} <= names
    assert not [name for name in names if name.startswith(("tests/", "docs/"))]


@pytest.mark.slow
def test_a_wheel_runs_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    """With the dependencies that are installed here, which are gigabytes, and none of this checkout."""
    venv.create(tmp_path / "empty", with_pip=False)
    python = tmp_path / "empty/bin/python"
    site = Path(called(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip())
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    called(python, "-m", "pip", "install", "--quiet", "--no-deps", "--ignore-installed", wheel, cwd=tmp_path)
    where = "import qlab, importlib.metadata as found; print(qlab.__file__, found.version('qlab-unlearning'))"
    file, version = called(python, "-c", where, cwd=tmp_path).split()
    assert Path(file).is_relative_to(site)
    assert version == __version__
    command = tmp_path / "empty/bin/qlab"
    assert called(command, "--version", cwd=tmp_path) == f"qlab, version {__version__}\n"
    small = ["--set", "task.length=4", "--set", "training.epochs=2", "--seeds", "1", "--no-figures"]
    assert "trials trained" in called(command, "run", "xxz_flip", *small, cwd=tmp_path)
