"""The time as MLflow has it."""

from __future__ import annotations

import time


def now_ms() -> int:
    """The time in milliseconds since the epoch."""
    return int(time.time() * 1000)
