"""Workers as others see them: whether a process is there, and whether it is the one that was meant."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from qlab.tracking.workers import Worker

linux = pytest.mark.skipif(sys.platform != "linux", reason="boot and process namespace are read in /proc")


@pytest.fixture
def process() -> Iterator[subprocess.Popen[str]]:
    """A process that says who it is and waits."""
    code = "from qlab.tracking.workers import Worker; print(Worker.here().show(), flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as found:
        yield found
        found.kill()


@linux
def test_a_process_is_there_until_it_ends_even_if_nobody_asked_how(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    worker = Worker.parse(process.stdout.readline())
    assert worker is not None
    assert (worker.pid, worker.process_exists(), worker.same_process) == (process.pid, True, False)
    later = dataclasses.replace(worker, start=str(int(worker.start) + 1))
    assert later.process_exists() is False  # another process with that number
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and its exit status is left
    assert worker.process_exists() is False
    process.wait()
    assert worker.process_exists() is False


@linux
def test_start_is_what_the_kernel_says_so_that_workers_of_earlier_versions_are_recognised() -> None:
    ticks = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    assert Worker.here().start == ticks
    assert Worker.here().same_process


@linux
@pytest.mark.parametrize("pid", [0, -1, 2**22 + 1, 2**70])
def test_no_process_has_a_number_that_a_store_made_up(pid: int) -> None:
    assert dataclasses.replace(Worker.here(), pid=pid).process_exists() is False


def test_a_process_elsewhere_cannot_be_seen() -> None:
    assert dataclasses.replace(Worker.here(), space="another boot").process_exists() is None
