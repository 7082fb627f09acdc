"""What a job is: a pure function of its fields, the data, and the results of other jobs."""

from __future__ import annotations

import abc
import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from qlab import interrupts
from qlab.errors import DataError, JobStopped, StoreError
from qlab.experiment.jobs.materials import Materials
from qlab.own_code import described
from qlab.training.state import TrainingState

State = Mapping[str, Tensor]
"""Parameters and buffers of one model, by name, on the CPU."""


class Report(Protocol):
    """Is told how a job gets on. What it raises ends the job, and is not the job's failure."""

    def epoch(self, epoch: int, metrics: dict[str, NDArray[np.float64]]) -> None:
        """After each evaluated epoch, or step, with the metrics of every member."""

    def state(self, state: TrainingState) -> None:
        """Now and then: what it takes to go on from here, of all members."""


@dataclasses.dataclass(frozen=True, eq=False)
class Result:
    """What came of a job.

    Args:
        seconds: wall time.
        states: models that it made, by key.
        trajectories: parameters that they passed during training, by name, ``[T, ...]``, by key.
        unsound: what is wrong with those of them that are in no mean, such as "diverged", by key.
        error: why it failed; then it has made nothing.
    """

    seconds: float = 0.0
    states: Mapping[str, State] = dataclasses.field(default_factory=dict)
    trajectories: Mapping[str, State] = dataclasses.field(default_factory=dict)
    unsound: Mapping[str, str] = dataclasses.field(default_factory=dict)
    error: str | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Inputs:
    """What a job takes from the store and from other jobs.

    Args:
        states: models, by key.
        trajectories: see :class:`Result`.
        known: the keys of all models that are in the store, here or not.
        unsound: see :class:`Result`.
    """

    states: Mapping[str, State] = dataclasses.field(default_factory=dict)
    trajectories: Mapping[str, State] = dataclasses.field(default_factory=dict)
    known: frozenset[str] = frozenset()
    unsound: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def with_results(self, results: Iterable[Result]) -> Inputs:
        """These and what other jobs have made."""
        states, trajectories, unsound = dict(self.states), dict(self.trajectories), dict(self.unsound)
        for result in results:
            states |= result.states
            trajectories |= result.trajectories
            unsound |= result.unsound
        return Inputs(states, trajectories, self.known, unsound)

    def state_of(self, key: str, label: str) -> State:
        """A model.

        Raises:
            DataError: there is none, since the job that was to make it failed.
        """
        if key not in self.states:
            raise DataError(f"{label} failed: there are no parameters of it.")
        return self.states[key]


class Job(abc.ABC):
    """A pure piece of work, which knows no store and no other job; it can be sent to another process."""

    binding: ClassVar[bool] = False
    """Whether jobs that need this one fail if it does, for the same reason; else they go on with what there is."""

    @property
    @abc.abstractmethod
    def label(self) -> str:
        """For people: what a dashboard shows."""

    @property
    @abc.abstractmethod
    def task(self) -> Any:
        """The task whose data it needs."""

    def is_needed(self, inputs: Inputs) -> bool:
        """Whether anything comes of it."""
        return True

    def resumed(self, state: TrainingState) -> Self:
        """This job from a state that it has reported; a job that reports none begins anew."""
        return self

    @abc.abstractmethod
    def run(self, materials: Materials, inputs: Inputs, report: Report) -> Result:
        """Does it. Anything that it raises is its failure."""

    def perform(self, materials: Materials, inputs: Inputs, report: Report) -> Result:
        """Does it; a failure is a result.

        Raises:
            JobStopped, StoreError: ``report`` did.
            KeyboardInterrupt: the command was stopped.
        """
        try:
            with whole_interrupts():
                return self.run(materials, inputs, report)
        except (StoreError, JobStopped):
            raise
        except (Exception, SystemExit) as error:  # a user's code may raise anything, and call sys.exit()
            return Result(error=described(error))


def inherited(needed: Iterable[tuple[bool, Result]]) -> str | None:
    """Why a job cannot be run: one that it cannot do without has failed.

    Args:
        needed: of each job that it needs, whether it is binding, and its result.
    """
    return next((result.error for binding, result in needed if binding and result.error is not None), None)


@contextlib.contextmanager
def whole_interrupts() -> Iterator[None]:
    """Turns an error back into the interrupt if that is what it was: libraries may catch one and raise another."""
    try:
        yield
    except Exception:
        interrupts.check()
        raise
