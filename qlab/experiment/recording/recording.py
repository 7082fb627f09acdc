"""What all recordings share: how one job comes into the store."""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from qlab.errors import StoreError
from qlab.experiment.asking.trial import Trial, Unlearning
from qlab.experiment.jobs.base import Inputs, Result
from qlab.experiment.recording.recorder import Recorder
from qlab.tracking.writer import MetricWriter, writer_of
from qlab.training.state import TrainingState

R = TypeVar("R", bound=Result)
I = TypeVar("I", Trial, Unlearning)  # noqa: E741 - items


class Recording(abc.ABC, Generic[R]):
    """Writes one job's runs. Methods are called in this order, in the process of the command.

    Args:
        recorder: of the experiment.
    """

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.reporter = recorder.line()
        self._announced = False

    @property
    def told(self) -> object | None:
        """What the reporter is told of as one, the job or a group that it is one of; None if it is not told of it."""
        return self

    def announce(self, label: str, members: int, epochs: int, engine: str = "") -> None:
        """Tells that the job begins, once."""
        if not self._announced:
            self._announced = True
            self.reporter.ensemble_started(label, engine, members, epochs)

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


class RunsRecording(Recording[R], Generic[R, I]):
    """Writes a run for each member of an ensemble, with metrics while it is under way.

    Args:
        recorder: of the experiment.
    """

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(recorder)
        self.run_ids: list[str] = []
        self.unfinished: dict[str, I] = {}
        self.writer = MetricWriter(recorder.store, ())

    def opened(self, run_ids: list[str], items: Sequence[I], known: Sequence[Mapping[str, int]] = ()) -> None:
        """The runs are there.

        Args:
            run_ids: of the members.
            items: what they are of.
            known: see :class:`qlab.tracking.writer.MetricWriter`.
        """
        self.run_ids = run_ids
        self.unfinished = dict(zip(run_ids, items, strict=True))
        self.writer = writer_of(self.recorder.store, run_ids, known)

    def fail_unfinished(self, error: str) -> None:
        """Ends the runs that are left as failed."""
        with self.recorder.tracking():
            self.writer.flush()
            self.recorder.end(list(self.unfinished), "FAILED", error)
        self.recorder.fail(self.unfinished.values(), error)
        self.reporter.ensemble_failed(error)

    def abandon(self, reason: str) -> None:
        """See the base class."""
        self.recorder.abandon(list(self.unfinished), reason)
        if self.recorder.owns():
            with contextlib.suppress(StoreError):
                self.writer.flush()
