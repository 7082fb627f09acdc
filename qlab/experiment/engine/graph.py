"""The graph of an experiment's jobs, and what an engine does with it."""

from __future__ import annotations

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import torch

from qlab import interrupts
from qlab.errors import JobStopped, StoreError
from qlab.experiment.jobs.base import Inputs, Job, Result, inherited
from qlab.experiment.jobs.materials import Materials
from qlab.experiment.recording.recorder import DamagedCheckpoint
from qlab.experiment.recording.recording import Recording
from qlab.own_code import described


@dataclasses.dataclass(eq=False)
class Node:
    """A job, what it needs, and how it is recorded.

    Args:
        job: what is run.
        recording: how it comes into the store.
        needs: the nodes whose results it takes; they come before it in the graph.
        reads: whether it takes models from the store, too.
        cost: how much it takes beside others, in no unit: where jobs run beside each other, long ones begin first.
    """

    job: Job
    recording: Recording[Any]
    needs: tuple[Node, ...] = ()
    reads: bool = False
    cost: float = 0.0

    def inherited(self, results: Mapping[Node, Result]) -> str | None:
        """See :func:`qlab.experiment.jobs.base.inherited`."""
        return inherited((need.job.binding, results[need]) for need in self.needs)


class Wanted:
    """How many jobs that are left need each job's result.

    Args:
        graph: all jobs.
    """

    def __init__(self, graph: Iterable[Node]) -> None:
        self._count = Counter(need for node in graph for need in node.needs)

    def __contains__(self, node: Node) -> bool:
        return self._count[node] > 0

    def done(self, node: Node) -> list[Node]:
        """A job is done; returns what is not wanted any more, of what it needed and of itself."""
        self._count.subtract(node.needs)
        return [other for other in (*node.needs, node) if other not in self]


class Engine(Protocol):
    """Runs jobs. Recordings are called in this process and thread."""

    def run(self, graph: Sequence[Node]) -> None:
        """Runs all jobs of a graph, whose nodes come after those that they need.

        Raises:
            BaseException: what a recording raises; then all that was begun has been abandoned.
        """


class Workers(Protocol):
    """The processes that run jobs.

    Attributes:
        number: how many there are.
    """

    number: int

    def device(self, name: str) -> torch.device:
        """Where they train.

        Raises:
            ConfigError: they have no such device.
        """

    def memory(self, text: str | None, device: torch.device) -> int:
        """Bytes that models may take which train together in one of them.

        Args:
            text: what models may take on a machine, as a size; None for a share of what it has.
            device: where they train.
        """

    def engine(self, materials: Materials) -> contextlib.AbstractContextManager[Engine]:
        """Has them run jobs.

        Args:
            materials: the data of the jobs.
        """


def inputs_of(recording: Recording[Any], made: Inputs) -> Inputs | str:
    """What a job takes; or why it cannot be had, which fails this job and no other.

    Raises:
        DamagedCheckpoint: something can be made again.
    """
    try:
        return recording.inputs(made)
    except (StoreError, JobStopped, DamagedCheckpoint):
        raise
    except Exception as error:
        interrupts.check()
        return described(error)


def record(recording: Recording[Any], result: Result) -> None:
    """Writes a result; what goes wrong with it alone, such as a disk that is full, fails what is not written of it."""
    if result.error is not None:
        recording.fail(result.error)
        return
    try:
        recording.finish(result)
    except (StoreError, JobStopped):
        raise
    except Exception as error:
        interrupts.check()
        recording.fail(described(error))


def why(stopped: BaseException) -> str:
    """What runs are marked with that were in progress when an error or an interrupt came."""
    if isinstance(stopped, StoreError):
        return "the store failed"
    if isinstance(stopped, DamagedCheckpoint):
        return "a checkpoint that it needs is damaged"
    return "the experiment stopped" if isinstance(stopped, Exception) else "interrupted"
