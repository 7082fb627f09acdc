"""Real `qlab` processes without the seconds that it takes to import."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "experiment" / "forks.py"


class Forks:
    """Starts `qlab` in a folder, in processes forked from one that has imported everything.

    Args:
        folder: where; what processes say goes to ``output.txt`` in it.
        warmup: a folder with an experiment ``swept.toml``, which is run once before.
    """

    def __init__(self, folder: Path, warmup: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(SCRIPT), str(folder), str(warmup)],
            env={key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, *arguments: str) -> int:
        """Starts a command; its process."""
        return self._ask(json.dumps(arguments))

    def wait(self) -> int:
        """Its exit status, negative if a signal ended it."""
        return self._ask("wait")

    def close(self) -> None:
        """Ends the process that is forked."""
        self._process.communicate(timeout=60)

    def _ask(self, line: str) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())
