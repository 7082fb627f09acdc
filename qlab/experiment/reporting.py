"""What a running experiment reports; the console implements it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from qlab.experiment.planning.plan import Plan


class Reporter(Protocol):
    """Is told what a runner does, in the order of these methods."""

    def beside(self) -> Reporter:
        """What is told about a job that runs beside others, from when it starts to when it finishes or fails."""

    def planned(self, plan: Plan) -> None:
        """Before anything is run."""

    def assembled(self, jobs: int) -> None:
        """Before the first of so many jobs is run: what follows tells of each, those that train for comparison too."""

    def ensemble_started(self, label: str, engine: str, trials: int, epochs: int) -> None:
        """Before an ensemble trains, or so many estimators are fitted, which have 0 epochs."""

    def epoch(self, epoch: int, metrics: dict[str, NDArray[np.float64]]) -> None:
        """After each epoch, with the metrics of every member; or after the fit of that number."""

    def ensemble_finished(self, seconds: float, health: Sequence[str]) -> None:
        """After an ensemble's runs are in the store."""

    def ensemble_failed(self, error: str) -> None:
        """An ensemble ended with an error; the next one follows."""

    def measuring_started(self, label: str, models: int, probes: int) -> None:
        """Before probes of the landscapes of an ensemble's models: how many models, and how many probes."""

    def auditing_started(self, label: str, oracles: int, methods: int) -> None:
        """Before audits of methods on one trained model: how many oracles it has, and how many methods."""

    def measured(self) -> None:
        """After each probe, or method that is audited."""

    def measuring_finished(self, seconds: float, failed: int, remark: str = "") -> None:
        """After the last probe of an ensemble's models, or of audits, with the number that failed."""

    def notice(self, message: str) -> None:
        """At any time: something that the user should know, in one line."""


class Silent:
    """Tells nobody."""

    def beside(self) -> Reporter:
        """Itself."""
        return self

    def planned(self, plan: Plan) -> None:
        """Does nothing."""

    def assembled(self, jobs: int) -> None:
        """Does nothing."""

    def ensemble_started(self, label: str, engine: str, trials: int, epochs: int) -> None:
        """Does nothing."""

    def epoch(self, epoch: int, metrics: dict[str, NDArray[np.float64]]) -> None:
        """Does nothing."""

    def ensemble_finished(self, seconds: float, health: Sequence[str]) -> None:
        """Does nothing."""

    def ensemble_failed(self, error: str) -> None:
        """Does nothing."""

    def measuring_started(self, label: str, models: int, probes: int) -> None:
        """Does nothing."""

    def auditing_started(self, label: str, oracles: int, methods: int) -> None:
        """Does nothing."""

    def measured(self) -> None:
        """Does nothing."""

    def measuring_finished(self, seconds: float, failed: int, remark: str = "") -> None:
        """Does nothing."""

    def notice(self, message: str) -> None:
        """Does nothing."""
