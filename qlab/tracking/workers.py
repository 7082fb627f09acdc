"""Workers: processes that run experiments, as others see them."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import time
import uuid
from pathlib import Path
from typing import Self

import psutil

_PROC = Path("/proc")


@dataclasses.dataclass(frozen=True)
class Worker:
    """One runner in one process, as it describes itself in the store.

    Args:
        id: unique for every run of an experiment, also within a process.
        host: the machine's name, for people.
        space: boot of the machine and process namespace: where ``pid`` means something. Empty where that is not known.
        pid: the process.
        start: when the process started, in hundredths of a second since boot: a later process may get the same ``pid``.
        beat: counts up while the worker lives.
        seen: when it last said so, in seconds since the epoch by its own clock; 0 where that is not known.
        since: when it began, by the same clock; 0 where that is not known.
    """

    id: str
    host: str
    space: str
    pid: int
    start: str
    beat: int = 0
    seen: float = 0.0
    since: float = 0.0

    @classmethod
    def here(cls) -> Self:
        """A new worker in this process."""
        start = _started(os.getpid())
        space = _space() if start else ""
        now = time.time()
        return cls(uuid.uuid4().hex[:12], socket.gethostname(), space, os.getpid(), start or "", seen=now, since=now)

    def beating(self) -> Self:
        """The same worker, a beat later."""
        return dataclasses.replace(self, beat=self.beat + 1, seen=time.time())

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """What :meth:`show` wrote, or None for anything else."""
        try:
            said = json.loads(text)
            # A later version may say more.
            known = {field.name for field in dataclasses.fields(cls)}
            found = cls(**{key: value for key, value in said.items() if key in known})
        except (ValueError, TypeError, AttributeError, RecursionError):
            return None
        texts = all(isinstance(value, str) for value in (found.id, found.host, found.space, found.start))
        counts = isinstance(found.pid, int) and isinstance(found.beat, int)
        times = isinstance(found.seen, (int, float)) and isinstance(found.since, (int, float))
        return found if texts and counts and times else None

    def show(self) -> str:
        """The worker as JSON."""
        return json.dumps(dataclasses.asdict(self))

    @property
    def same_process(self) -> bool:
        """Whether the worker is, or was, in this very process."""
        return bool(self.space) and (self.space, self.pid, self.start) == (_space(), os.getpid(), _started(os.getpid()))

    def process_exists(self) -> bool | None:
        """Whether its process is there; None if that cannot be seen from here."""
        if not self.space or self.space != _space():
            return None
        started = _started(self.pid)
        return None if started is None and _is_hidden(self.pid) else started == self.start

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def _space() -> str:
    """Boot and process namespace of this process; empty on systems without ``/proc``."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {(_PROC / 'self/ns/pid').readlink()}"
    except OSError:
        return ""


def _is_hidden(pid: int) -> bool:
    """Whether there is a process of another user that ``/proc`` does not show: its option ``hidepid`` hides those."""
    if pid <= 0 or (_PROC / str(pid)).exists():
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return False


def _started(pid: int) -> str | None:
    """When a process started, by a clock that nobody sets; None if there is none, or only its exit status is left."""
    try:
        process = psutil.Process(pid)
        if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            return None
        return str(round(100 * (process.create_time() - psutil.boot_time())))
    except (psutil.Error, ValueError):  # a store may name any number
        return None
