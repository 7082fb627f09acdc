"""A helper process, seen from the one that starts it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from typing import Any

from qlab import interrupts
from qlab.experiment import helper

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class HelperProcess:
    """A process that runs :mod:`qlab.experiment.helper`.

    It ends when this process does, since it reads from a pipe that closes then.

    Args:
        threads: how many PyTorch may use in it.
        hear: is given what it says, in a thread of its own; and ``{"state": "ended", "reason": ...}`` when it has
            ended without having been asked to.
        environment: variables beside those of this process.
    """

    def __init__(
        self, threads: int, hear: Callable[[dict[str, str]], None], environment: Mapping[str, str] | None = None
    ) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - it is read when the process has ended
        self._hear = hear
        self._closing = False
        self._process = subprocess.Popen(
            # Its modules come from where this process has them, and from nowhere else.
            [sys.executable, "-P", "-m", helper.__name__],
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
                **dict.fromkeys(_THREADS, str(threads)),
                **(environment or {}),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            encoding="utf-8",
        )
        self.pid = self._process.pid
        self._thread = threading.Thread(target=self._listen, name=f"qlab helper {self.pid}", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def send(self, line: str) -> None:
        """Tells it a job; one that has ended is told nothing."""
        stdin: Any = self._process.stdin
        with contextlib.suppress(OSError, ValueError):
            stdin.write(line + "\n")
            stdin.flush()

    def close(self) -> None:
        """Tells it that there is nothing more; runs in progress are marked as killed. Returns at once."""
        self._closing = True
        stdin: Any = self._process.stdin
        with contextlib.suppress(OSError):
            stdin.close()

    def join(self) -> None:
        """Waits until it has ended, which it does of itself once it is closed, or is killed."""
        try:
            self._process.wait(min(helper.GRACE_SECONDS + 5.0, interrupts.seconds_left()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._thread.join(5.0)
        self._errors.close()

    def _listen(self) -> None:
        stdout: Any = self._process.stdout
        for line in stdout:
            with contextlib.suppress(ValueError):
                self._hear(json.loads(line))
        stdout.close()
        status = self._process.wait()
        if not self._closing:
            self._hear({"state": "ended", "reason": self._last_words(status)})

    def _last_words(self, status: int) -> str:
        """Why it ended, as well as can be said in a line."""
        if status < 0:
            with contextlib.suppress(ValueError):
                return f"it was ended by {signal.Signals(-status).name}"
        self._errors.seek(0)
        lines = self._errors.read().decode("utf-8", "replace").split("\n")
        said = [line.strip() for line in lines if line.strip()]
        return said[-1][:500] if said else f"it ended with status {status}"
