"""Running jobs in this process, one after the other."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import torch

from qlab.experiment.asking.devices import training_device
from qlab.experiment.asking.memory import budget
from qlab.experiment.engine.graph import Node, Wanted, inputs_of, record, why
from qlab.experiment.jobs.base import Inputs, Result
from qlab.experiment.jobs.materials import Materials

SKIPPED = Result()


class Alone:
    """No workers: this process runs the jobs."""

    number = 1

    def device(self, name: str) -> torch.device:
        """See :class:`qlab.experiment.engine.graph.Workers`."""
        return training_device(name)

    def memory(self, text: str | None, device: torch.device) -> int:
        """See :class:`qlab.experiment.engine.graph.Workers`."""
        return budget(text, device)

    @contextlib.contextmanager
    def engine(self, materials: Materials) -> Iterator[Here]:
        """See :class:`qlab.experiment.engine.graph.Workers`."""
        yield Here(materials)


class Here:
    """The engine of a command without workers.

    Args:
        materials: the data of the jobs.
    """

    def __init__(self, materials: Materials) -> None:
        self._materials = materials

    def run(self, graph: Sequence[Node]) -> None:
        """See :class:`qlab.experiment.engine.graph.Engine`."""
        results: dict[Node, Result] = {}
        wanted = Wanted(graph)
        for node in graph:
            try:
                result = self._run(node, results)
            except BaseException as stopped:
                node.recording.abandon(why(stopped))
                raise
            # Trajectories are large, and can be read again.
            results[node] = Result(states=result.states, unsound=result.unsound, error=result.error)
            for done in wanted.done(node):
                results.pop(done, None)

    def _run(self, node: Node, results: dict[Node, Result]) -> Result:
        job, recording = node.job, node.recording
        error = node.inherited(results)
        if error is not None:
            recording.fail(error)
            return Result(error=error)
        inputs = inputs_of(recording, Inputs().with_results(results[need] for need in node.needs))
        if isinstance(inputs, str):
            recording.fail(inputs)
            return Result(error=inputs)
        if not recording.start():
            return SKIPPED
        result = job.perform(self._materials, inputs, recording)
        record(recording, result)
        return result
