"""Small data that several test modules share."""

from __future__ import annotations

import pytest

from qlab.tasks import XXZ, Dataset


@pytest.fixture(scope="session")
def small_task() -> XXZ:
    """XXZ on four spins: 8 + 8 training states and 12 for validation."""
    return XXZ(length=4, gapless=(-0.7, 0.7, 0.2), gapped=(1.3, 2.7, 0.2), validation=(-0.65, 2.65, 0.3))


@pytest.fixture(scope="session")
def small_data(small_task: XXZ) -> Dataset:
    """The data of ``small_task``."""
    return small_task.load()
