"""`qlab run --jobs N`: processes on this machine that work at the same experiments."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection
from types import TracebackType
from typing import Self

from qlab import interrupts
from qlab.experiment.job import Job
from qlab.experiment.portions import Share
from qlab.experiment.process import HelperProcess
from qlab.experiment.schema import Experiment


class Jobs:
    """The command itself and N - 1 helper processes, which divide the threads that PyTorch would use among them.

    Helpers claim work like any other `qlab run` of the file; one that dies is not started again, the others take over
    what it had. Use as a context manager: helpers end with it, and mark runs in progress as killed if there are any.

    Args:
        number: of workers, the command among them.
        tell: is given lines for people.

    Attributes:
        share: see :class:`qlab.experiment.team.Team`.
        unsent: what helpers could not send to the tracking server, in words.
    """

    def __init__(self, number: int, tell: Callable[[str], None]) -> None:
        self.share = Share(number, number)
        self.unsent: list[str] = []
        self._tell = tell
        self._threads = 1
        self._helpers: list[HelperProcess] = []
        self._told: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        interrupts.heed()
        if not self._helpers:
            return
        try:
            self._close()
        except KeyboardInterrupt:  # a second one: they are closed already, and need no more than some time
            self._close()
            raise

    @property
    def helped(self) -> bool:
        """Whether processes were started."""
        return bool(self._helpers)

    def assemble(self) -> None:
        """Starts the processes; they import what they need while the command looks at the experiment."""
        if self._helpers or self.share.workers == 1:
            return
        import torch

        threads = max(1, torch.get_num_threads() // self.share.workers)
        torch.set_num_threads(threads)
        for _ in range(self.share.workers - 1):
            try:
                self._helpers.append(HelperProcess(threads, self._hear))
            except OSError as error:
                self._say(f"A worker process does not start: {error.strerror}. The others do its work.")
                return

    def begin(self, experiment: Experiment, uri: str, old_failures: Collection[str]) -> bool:
        """Tells them the experiment."""
        line = Job.of(experiment, uri, old_failures, self.share).show()
        for helper in self._helpers:
            helper.send(line)
        if self._helpers:
            others = ", ".join(str(helper.pid) for helper in self._helpers)
            self._say(f"{1 + len(self._helpers)} workers: this process and {others}")
        return False

    def _close(self) -> None:
        for helper in self._helpers:
            helper.close()
        for helper in self._helpers:
            helper.join()

    def _hear(self, said: dict[str, str]) -> None:
        state, reason = said.get("state"), said.get("reason", "")
        if state == "ended":
            self._say(f"A worker process has ended: {reason}. The others take over what it had.")
        elif state in ("refused", "failed"):
            self._say(f"A worker process has given up: {reason} The others do its work.")
        elif state == "unsent":
            self.unsent.append(reason)

    def _say(self, message: str) -> None:
        """Says something once, however many processes have the same reason."""
        if message not in self._told:
            self._told.add(message)
            with contextlib.suppress(ValueError):  # an output that is closed by now
                self._tell(message)
