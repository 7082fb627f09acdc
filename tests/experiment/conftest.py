"""A store beside an experiment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from qlab.tracking.store import Store


@pytest.fixture
def store(tmp_path: Path, write_empty_store: Callable[[Path], str]) -> Store:
    """An empty one, where `qlab run` in the test's folder has its own."""
    return Store(write_empty_store(tmp_path / "mlruns" / "mlflow.db"))
