"""Empty stores."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from qlab.tracking.store import Store


@pytest.fixture(autouse=True)
def _no_store_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


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
