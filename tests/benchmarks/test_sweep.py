"""The whole of experiments/xxz_flip.toml, as a user runs it.

Targets on 2 cores: 100 trainings with metrics each epoch under 120 s and 2 GB, tracking at most a quarter.
"""

from __future__ import annotations

import re
import resource
import subprocess
import sys
import time


def test_xxz_flip(tmp_path, capsys):
    start = time.perf_counter()
    result = subprocess.run(
        [sys.executable, "-m", "qlab", "run", "xxz_flip"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    seconds = time.perf_counter() - start
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    found = re.search(r"([\d.]+) s of training, ([\d.]+) s of tracking", result.stdout)
    assert found is not None
    with capsys.disabled():
        print(
            f"\nxxz_flip: {seconds:.0f} s in all, {found[1]} s training, {found[2]} s tracking "
            f"({100 * float(found[2]) / seconds:.0f} %), at most {memory:.2f} GB"
        )
    assert "100 trials trained" in result.stdout
