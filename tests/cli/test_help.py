"""Help: quick, complete, and without importing what it does not need."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import qlab
from qlab.cli import main

SCRIPT = Path(sys.executable).with_name("qlab")


@pytest.mark.skipif(not SCRIPT.is_file(), reason="qlab is not installed beside this interpreter")
def test_help_answers_at_once() -> None:
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run([SCRIPT, "--help"], capture_output=True, check=True)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.3


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"]], ids=" ".join)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom qlab.cli import main\nmain(sys.argv[1:], standalone_mode=False)\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    result = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    imported = set(result.stdout.splitlines()[-1].split())
    assert "click" in imported
    assert not {"torch", "numpy", "pennylane", "mlflow", "pandas", "pydantic", "rich"} & imported


def test_tables_are_printed_without_libraries_that_draw() -> None:
    code = (
        "import sys, qlab.console, qlab.experiment.runner\nprint(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = set(result.stdout.split())
    assert "rich" in imported
    assert not {"holoviews", "bokeh", "panel", "matplotlib"} & imported


def test_help_names_every_command() -> None:
    result = CliRunner().invoke(main, ["-h"])
    assert result.exit_code == 0
    assert {"run", "ui", "explore", "list", "describe", "runs"} <= set(main.commands)
    for command in main.commands:
        assert f"  {command} " in result.output


@pytest.mark.parametrize("command", sorted(main.commands))
def test_every_command_has_help(command: str) -> None:
    result = CliRunner().invoke(main, [command, "--help"])
    assert result.exit_code == 0
    assert result.output.startswith(f"Usage: main {command}")
    options = [option for option in main.commands[command].params if isinstance(option, click.Option)]
    assert all(option.help for option in options)


def test_the_version() -> None:
    assert CliRunner().invoke(main, ["--version"]).output.strip() == f"qlab, version {qlab.__version__}"


def test_an_unknown_command_is_a_usage_error() -> None:
    result = CliRunner().invoke(main, ["rum"])
    assert result.exit_code == 2
    assert "rum" in result.stderr
