"""What runs in a Dask worker: one job at a time, whatever the number of the worker's threads.

Nothing heavy is imported before a job comes, since a worker that imports does not answer its scheduler.
"""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

REPORT_SECONDS = 0.5
"""What a job reports is sent this often."""

STATE_SECONDS = 60.0
"""So long a training waits at most until the command has its state."""

_one_at_a_time = threading.Lock()

_states: dict[str, Any] = {}
"""The state of the training under way that the command has not got yet, by topic and number of the job."""

_got = threading.Condition()
"""Notified when the command has got a state."""

_materials: tuple[str, Any] | None = None
"""What the jobs of one run share."""


def given(value: Any) -> Any:
    """The value: as a task, so that a worker that died is no loss."""
    return value


def perform(
    number: int,
    topic: str,
    modules: Mapping[str, tuple[str, Mapping[str, bytes]]],
    payload: bytes,
    data: bytes,
    needed: Sequence[Any],
) -> Any:
    """Does a job, and reports to a topic of the scheduler.

    Args:
        number: of the job, in what is reported.
        topic: of the run.
        modules: see :func:`qlab.beside.unpack`.
        payload: the job, its setting, its inputs, whether each of ``needed`` is binding, and the threads that PyTorch
            may use; pickled, since the modules must be there first.
        data: the data of the job's task, pickled.
        needed: the results of other jobs.
    """
    with _one_at_a_time:
        from qlab import beside

        beside.unpack(modules)
        return _perform(number, topic, payload, data, needed)


def _perform(number: int, topic: str, payload: bytes, data: bytes, needed: Sequence[Any]) -> Any:
    global _materials
    import torch
    from distributed import get_worker

    from qlab.experiment.jobs.base import Result, inherited
    from qlab.experiment.jobs.materials import Materials

    job, setting, inputs, binding, threads = pickle.loads(payload)
    failed = inherited(zip(binding, needed, strict=True))
    if failed is not None:
        return Result(error=failed)
    inputs = inputs.with_results(needed)
    if not job.is_needed(inputs):
        return Result()
    worker: Any = get_worker()
    torch.set_num_threads(threads or worker.state.nthreads)
    if _materials is None or _materials[0] != topic:
        _materials = (topic, Materials(setting))
    materials = _materials[1]
    materials.give(job.task, lambda: pickle.loads(data))
    report = _Report(worker, number, topic)
    try:
        return job.perform(materials, inputs, report)
    finally:
        report.flush()
        _states.pop(report.name, None)


def state_of(name: str) -> Any:
    """The state of a training under way; None if there is none."""
    return _states.get(name)


def state_got(name: str) -> None:
    """Lets a training go on: the command has got its state."""
    with _got:
        _states.pop(name, None)
        _got.notify_all()


class _Report:
    """Sends what a job reports to the command; ends the job if it is not wanted any more."""

    def __init__(self, worker: Any, number: int, topic: str) -> None:
        self.name = f"{topic} {number}"
        self._worker = worker
        self._number = number
        self._topic = topic
        self._task = worker.get_current_task()
        self._epochs: list[tuple[int, dict[str, list[float]]]] = []
        self._sent = time.monotonic()
        self._send("started", None)

    def epoch(self, epoch: int, metrics: dict[str, Any]) -> None:
        """See :class:`qlab.experiment.jobs.base.Report`."""
        self._check()
        self._epochs.append((epoch, {name: values.tolist() for name, values in metrics.items()}))
        if time.monotonic() - self._sent >= REPORT_SECONDS:
            self.flush()

    def state(self, state: Any) -> None:
        """See :class:`qlab.experiment.jobs.base.Report`.

        Waits until the command has got it: what a state costs decides when the next one is due, see
        :class:`qlab.training.state.Checkpoints`, and in a worker it would seem to cost nothing.
        """
        self._check()
        self.flush()
        _states[self.name] = state
        self._send("state", self._worker.address)
        end = time.monotonic() + STATE_SECONDS
        with _got:
            while self.name in _states and time.monotonic() < end:
                _got.wait(REPORT_SECONDS)
                self._check()

    def flush(self) -> None:
        """Sends what has not been sent."""
        if self._epochs:
            self._send("epochs", self._epochs)
            self._epochs = []

    def _send(self, what: str, value: Any) -> None:
        self._sent = time.monotonic()
        self._worker.log_event(self._topic, (self._number, what, value))

    def _check(self) -> None:
        from qlab.errors import JobStopped

        task = self._worker.state.tasks.get(self._task)
        if task is None or task.state != "executing":
            raise JobStopped("The job was cancelled.")
