"""What all recordings share: how one job comes into the store."""

from __future__ import annotations

import abc
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from qlab.experiment.jobs.base import Inputs, Result
from qlab.experiment.recording.recorder import Recorder
from qlab.training.state import TrainingState

R = TypeVar("R", bound=Result)


class Recording(abc.ABC, Generic[R]):
    """Writes one job's runs. Methods are called in this order, in the process of the command.

    Args:
        recorder: of the experiment.
    """

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.reporter = recorder.line()

    def inputs(self, made: Inputs) -> Inputs:
        """All that the job takes, just before it begins or is sent away: what is missing is read from the store.

        Args:
            made: what comes from other jobs and is here.

        Raises:
            DamagedCheckpoint: something in the store is not what was written.
        """
        return made

    @abc.abstractmethod
    def start(self) -> bool:
        """When the job begins, which it may do again if a worker has died; whether there is anything to do."""

    def epoch(self, epoch: int, metrics: dict[str, NDArray[np.float64]]) -> None:
        """See :class:`qlab.experiment.jobs.base.Report`."""
        self.recorder.confirm()
        self.reporter.epoch(epoch, metrics)

    def state(self, state: TrainingState) -> None:
        """See :class:`qlab.experiment.jobs.base.Report`."""

    @abc.abstractmethod
    def finish(self, result: R) -> None:
        """When the job has done what it was to do."""

    @abc.abstractmethod
    def fail(self, error: str) -> None:
        """When the job failed, or one that it cannot do without; also if it has not begun."""

    @abc.abstractmethod
    def abandon(self, reason: str) -> None:
        """When the command stops: ends runs in progress as killed, as well as may be."""
