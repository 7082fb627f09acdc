"""Running experiments in this process, and what a store is expected to hold then."""

from __future__ import annotations

from qlab.experiment.engine.graph import Workers
from qlab.experiment.recording.summary import tabulate
from qlab.experiment.reporting import Reporter
from qlab.experiment.runner import Runner
from qlab.tracking import names
from qlab.tracking.store import Store


def runner(store: Store, reporter: Reporter | None = None, workers: Workers | None = None) -> Runner:
    """One that draws no figures, for tests of all else: they take longer than what most tests run."""
    return Runner(store, reporter, workers, summarise=tabulate)


def refused_alone(store: Store) -> None:
    """Asserts that a store has no run but that of an experiment that was refused, if its file could be understood."""
    found = list(store.search(store.experiment_ids()))
    assert len(found) <= 1
    for run in found:
        assert run.data.tags[names.KIND] == names.EXPERIMENT
        assert run.info.status == "FAILED"
        assert run.data.tags[names.ERROR]
