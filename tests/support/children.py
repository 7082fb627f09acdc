"""Processes that run a few lines, forked from one that has imported what takes seconds."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

_SERVER = """
import json, os, sys
from qlab import interrupts
from qlab.tracking.lock import experiment_lock
from qlab.tracking.lease import Lease
from qlab.tracking.store import Store
for line in sys.stdin:
    asked = json.loads(line)
    if "wait" in asked:
        print(os.waitstatus_to_exitcode(os.waitpid(asked["wait"], 0)[1]), flush=True)
        continue
    pid = os.fork()
    if pid == 0:
        out = os.open(asked["out"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(out, 1)
        os.dup2(out, 2)
        status = 1
        try:
            exec(asked["source"], globals())
            status = 0
        except KeyboardInterrupt:
            status = 130
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(status)
    print(pid, flush=True)
"""


@dataclasses.dataclass
class Child:
    """A process.

    Args:
        pid: its number.
        out: the file with what it prints.
        family: who has forked it.
    """

    pid: int
    out: Path
    family: Children

    @property
    def printed(self) -> str:
        """What it has printed by now."""
        return self.out.read_text() if self.out.exists() else ""

    def prints(self, words: str, seconds: float = 20.0) -> None:
        """Waits until it has printed something."""
        until = time.monotonic() + seconds
        while words not in self.printed:
            assert time.monotonic() < until, self.printed
            time.sleep(0.005)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Sends it a signal."""
        os.kill(self.pid, number)

    def wait(self) -> int:
        """Its exit status, negative if a signal ended it."""
        self.family.running.discard(self.pid)
        return self.family.ask({"wait": self.pid})


class Children:
    """Starts processes that know stores and locks.

    Args:
        folder: for what they print.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0
        self.running: set[int] = set()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SERVER],
            env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, source: str) -> Child:
        """Starts a process that runs some lines of Python; 130 is its status if it is interrupted."""
        self._count += 1
        out = self._folder / f"{self._count}.txt"
        pid = self.ask({"source": source, "out": str(out)})
        self.running.add(pid)
        return Child(pid, out, self)

    def clear(self) -> None:
        """Ends what a test has left."""
        for pid in sorted(self.running):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            self.ask({"wait": pid})
        self.running.clear()

    def close(self) -> None:
        """Ends the process that forks."""
        self.clear()
        self._process.communicate(timeout=60)

    def ask(self, request: dict[str, object]) -> int:
        """The answer of the process that forks."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{json.dumps(request)}\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())
