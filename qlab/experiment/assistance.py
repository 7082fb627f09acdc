"""What runs in a Dask worker: it starts a helper process, and stops it when the task is not wanted any more.

The helper is a process of its own, as with ``--jobs``: it can be interrupted where a task's thread cannot, its number
of threads is set before PyTorch is imported, and it ends by itself when the Dask worker is killed. This module imports
nothing heavy, since a worker that imports does not answer its scheduler.
"""

from __future__ import annotations

import threading
from typing import Any

from qlab.experiment.process import HelperProcess

_LOOK_SECONDS = 0.5

_active: set[int] = set()


class Line(str):
    """A job as text, which a cluster's logs and dashboard do not repeat: the store's address may hold a password."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<a job>"


def assist(line: str) -> list[dict[str, str]]:
    """Runs a helper with one job.

    Args:
        line: see :class:`qlab.experiment.job.Job`.

    Returns:
        What the helper said.

    Raises:
        RuntimeError: it was killed; the task can be tried again, here or elsewhere.
    """
    from distributed import get_worker

    worker: Any = get_worker()
    key = worker.get_current_task()
    said: list[dict[str, str]] = []
    over = threading.Event()

    def hear(what: dict[str, str]) -> None:
        said.append(what)
        if what.get("state") in ("done", "refused", "failed", "ended"):
            over.set()

    process = HelperProcess(worker.state.nthreads, hear)
    _active.add(process.pid)
    try:
        process.send(line)
        while not over.wait(_LOOK_SECONDS):
            task = worker.state.tasks.get(key)
            if task is None or task.state != "executing":  # it was cancelled, or the command is gone
                break
    finally:
        process.close()
        process.join()
        _active.discard(process.pid)
    if said and said[-1].get("state") == "ended":
        raise RuntimeError(said[-1]["reason"])
    return said


def active() -> int:
    """How many helpers this Dask worker has."""
    return len(_active)
