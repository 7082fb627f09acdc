"""Experiment files on four spins, and an empty store to run them into."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from qlab.tracking.store import Store

TINY = """
name = "tiny"
about = "Four spins, a handful of states"

[task]
type = "XXZ"
length = 4
gapless = [-0.7, 0.7, 0.2]
gapped = [1.3, 2.7, 0.2]
validation = [-0.65, 2.65, 0.3]

[corruption]
type = "LabelFlip"
ratio = [0.0, 0.5]

[[model]]
type = "MLP"
hidden = [4]

[[model]]
type = "PennyLaneQNN"
depth = 2

[training]
epochs = 2
batch_size = 8

[run]
seeds = 2
"""


@pytest.fixture(autouse=True)
def _no_store_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="session")
def tiny() -> str:
    """The text of an experiment of eight trials that train in no time."""
    return TINY


@pytest.fixture(scope="session")
def write_empty_store(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], str]:
    """Makes a real, empty SQLite store at a path and returns its URI.

    The schema's migrations run once in a session; the file is copied from there.
    """
    template = tmp_path_factory.getbasetemp() / "empty-store" / "mlflow.db"
    if not template.exists():
        Store(f"sqlite:///{template}")

    def write(file: Path) -> str:
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(template, file)
        return f"sqlite:///{file}"

    return write
