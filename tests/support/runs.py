"""Running experiments in this process, and what a store is expected to hold then."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from qlab.experiment.asking import schema
from qlab.experiment.engine.graph import Workers
from qlab.experiment.recording.summary import tabulate
from qlab.experiment.reporting import Reporter, Silent
from qlab.experiment.runner import Outcome, Runner
from qlab.tracking import names
from qlab.tracking.store import Store


class Unheard:
    """A report that nobody reads."""

    def epoch(self, *_: object) -> None:
        pass

    state = epoch


class Stop(KeyboardInterrupt):
    """Ctrl-C at a moment that is known."""


class Stopper(Silent):
    """Interrupts a training after an epoch, and keeps what it is told."""

    def __init__(self, epoch: int | None = None) -> None:
        self.stop_after = epoch
        self.ensembles: list[tuple[str, int]] = []
        self.epochs: list[int] = []
        self.notices: list[str] = []

    @property
    def labels(self) -> list[str]:
        """Of ensembles that began."""
        return [label for label, _ in self.ensembles]

    @property
    def sizes(self) -> list[str]:
        """The same with the number of trials."""
        return [f"{label}: {trials}" for label, trials in self.ensembles]

    def ensemble_started(self, label: str, engine: str, trials: int, epochs: int) -> None:
        """See the base class."""
        self.ensembles.append((label, trials))

    def epoch(self, epoch: int, metrics: Any) -> None:
        """See the base class."""
        self.epochs.append(epoch)
        if epoch == self.stop_after:
            raise Stop

    def notice(self, message: str) -> None:
        """See the base class."""
        self.notices.append(message)


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


def run_in(folder: Path, *texts: str) -> Store:
    """Runs texts of experiment files in a folder, as a command does there; the store that it makes in ``mlruns``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        store = Store()
        for text in texts:
            runner(store).run(schema.parse(text, source=f"{tomllib.loads(text)['name']}.toml"))
    return store


def refused_alone(store: Store) -> None:
    """Asserts that a store has no run but that of an experiment that was refused, if its file could be understood."""
    found = list(store.search(store.experiment_ids()))
    assert len(found) <= 1
    for run in found:
        assert run.data.tags[names.KIND] == names.EXPERIMENT
        assert run.info.status == "FAILED"
        assert run.data.tags[names.ERROR]
