"""Workers as others see them: whether a process is there, and whether it is the one that was meant."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.children import Child

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


HIDING = """
import ctypes, dataclasses, subprocess
from qlab.tracking.workers import Worker
other = Worker.parse({shown!r})
Worker.here().process_exists()  # Python itself may be where the other user cannot read it
if ctypes.CDLL(None).unshare(0x20000) != 0:  # CLONE_NEWNS: mounts are this process's own
    print("refused", flush=True)
    os._exit(0)
for mount in (["--make-rprivate", "/"], ["-t", "proc", "-o", "hidepid=2", "proc", "/proc"]):
    if subprocess.run(["mount", *mount], capture_output=True).returncode != 0:
        print("refused", flush=True)
        os._exit(0)
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
print(os.path.exists("/proc/" + str(other.pid)), other.process_exists())
print(dataclasses.replace(other, pid=2**22 + 1).process_exists())
"""


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="another user looks at /proc")
def test_a_process_that_the_system_hides_may_be_there(fork: Callable[[str], Child]) -> None:
    child = fork(HIDING.format(shown=Worker.here().show()))
    assert child.wait() == 0, child.printed
    if child.printed == "refused\n":
        pytest.skip("no mounts of one's own here")
    assert child.printed == "False None\nFalse\n"


@pytest.mark.parametrize("field", ["id", "host", "space", "start"])
def test_who_describes_itself_in_other_types_is_nobody(field: str) -> None:
    said = f'{{"id": "x", "host": "h", "space": "", "pid": 1, "start": "", "{field}": [1]}}'
    assert Worker.parse(said) is None
