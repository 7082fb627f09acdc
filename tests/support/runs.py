"""Running experiments in this process, and what a store is expected to hold then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qlab.experiment.asking import schema
from qlab.experiment.engine.graph import Workers
from qlab.experiment.recording.summary import tabulate
from qlab.experiment.reporting import Reporter
from qlab.experiment.runner import Outcome, Runner
from qlab.tracking import names
from qlab.tracking.store import Store


class Unheard:
    """A report that nobody reads."""

    def epoch(self, *_: object) -> None:
        pass

    state = epoch


def runner(store: Store, reporter: Reporter | None = None, workers: Workers | None = None) -> Runner:
    """One that draws no figures, for tests of all else: they take longer than what most tests run."""
    return Runner(store, reporter, workers, summarise=tabulate)


def run_text(store: Store, folder: Path, text: str, **assignments: Any) -> Outcome:
    """Runs the text of an experiment file in a folder.

    Args:
        assignments: values by key, with two underscores for a dot: ``run__seeds=4``.
    """
    pairs = [(key.replace("__", "."), value) for key, value in assignments.items()]
    return runner(store).run(schema.parse(text, source="given.toml", folder=folder, assignments=pairs))


def refused_alone(store: Store) -> None:
    """Asserts that a store has no run but that of an experiment that was refused, if its file could be understood."""
    found = list(store.search(store.experiment_ids()))
    assert len(found) <= 1
    for run in found:
        assert run.data.tags[names.KIND] == names.EXPERIMENT
        assert run.info.status == "FAILED"
        assert run.data.tags[names.ERROR]
