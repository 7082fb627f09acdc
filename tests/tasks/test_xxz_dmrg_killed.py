"""A process that is killed while DMRG finds states: what it kept is whole, and the next run goes on from there."""

from __future__ import annotations

import contextlib
import importlib.util
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

from qlab import making
from qlab.tasks import XXZ
from qlab.tasks.base import load_data
from qlab.tasks.dmrg import kept

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("tenpy") is None, reason="TeNPy is not installed"),
    pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL on Windows"),
]

FIELDS = {
    **{"length": 8, "solver": "dmrg", "gapless": (-0.9, 0.9, 0.3), "gapped": (1.1, 1.4, 0.3)},
    "validation": (-0.8, 1.5, 2.3),
}
STATES = 11

STUCK = f"""
from pathlib import Path
from qlab.tasks import XXZ
from qlab.tasks.base import load_data
from qlab.tasks.dmrg import finite, kept
import time

real = finite.ground_state

def ground_state(*given):
    if len(list(kept.folder().glob("*.npz"))) == 4:
        Path("there").touch()
        time.sleep(600.0)
    return real(*given)

finite.ground_state = ground_state
load_data(XXZ(**{FIELDS!r}))
"""

BESIDE = f"""
from qlab import making
from qlab.tasks import XXZ
from qlab.tasks.base import load_data

if __name__ == "__main__":
    with making.made(2, print):
        load_data(XXZ(**{FIELDS | {"length": 32, "periodic": False}!r}))
"""


@pytest.fixture(autouse=True)
def _own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("QLAB_DATA", str(tmp_path / "data"))


def files() -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in kept.folder().glob("*.npz")}


def killed(folder: Path, text: str, when: Callable[[], bool]) -> tuple[int, list[psutil.Process]]:
    """Runs a script that finds states and kills it at a moment; its exit status, and the processes that it had."""
    (folder / "find.py").write_text(text)
    with subprocess.Popen([sys.executable, "find.py"], cwd=folder) as process:
        end = time.monotonic() + 300.0
        while not when() and process.poll() is None:
            assert time.monotonic() < end
            time.sleep(0.01)
        others: list[psutil.Process] = []
        with contextlib.suppress(psutil.NoSuchProcess):
            others = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait()
    assert process.returncode in (-signal.SIGKILL, 0)
    return process.returncode, others


def goes_on(before: dict[Path, int], states: int, **fields: object) -> XXZ:
    """Runs it again: what was kept is not found again, and all of it is right."""
    task, told = XXZ(**(FIELDS | fields)), []
    with making.made(1, told.append):
        data = load_data(task)
    left = states - len(before)
    found = [line for line in told if " by DMRG, kept in " in line]
    assert [line.partition(" ground state")[0] for line in found] == ([f"XXZ: {left}"] if left else [])
    after = files()
    assert len(after) == states
    assert before.items() <= after.items()
    assert data.train.about["delta"].tolist() == pytest.approx([*np.arange(-0.9, 1.0, 0.3), 1.1, 1.4])
    return task


def test_killed_while_it_finds_a_state_it_goes_on_from_those_that_it_kept(tmp_path: Path) -> None:
    assert killed(tmp_path, STUCK, (tmp_path / "there").exists)[0] == -signal.SIGKILL
    before = files()
    assert len(before) == 4
    task = goes_on(before, STATES)
    found = load_data(task).train.about["energy"]
    alone = load_data(
        XXZ(length=8, gapless=FIELDS["gapless"], gapped=FIELDS["gapped"], validation=FIELDS["validation"])
    )
    np.testing.assert_allclose(found, alone.train.about["energy"], rtol=0, atol=1e-8)


@pytest.mark.slow
def test_processes_beside_each_other_end_with_the_one_that_is_killed(tmp_path: Path) -> None:
    _, others = killed(tmp_path, BESIDE, lambda: len(files()) >= 4)
    end = time.monotonic() + 120.0
    while any(map(goes, others)):
        assert time.monotonic() < end
        time.sleep(0.05)
    goes_on(files(), STATES, length=32, periodic=False)


def goes(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False
