"""What a store is expected to hold."""

from __future__ import annotations

from qlab.tracking import names
from qlab.tracking.store import Store


def refused_alone(store: Store) -> None:
    """Asserts that a store has no run but that of an experiment that was refused, if its file could be understood."""
    found = list(store.search(store.experiment_ids()))
    assert len(found) <= 1
    for run in found:
        assert run.data.tags[names.KIND] == names.EXPERIMENT
        assert run.info.status == "FAILED"
        assert run.data.tags[names.ERROR]
