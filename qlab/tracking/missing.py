"""What a run does not have."""

from __future__ import annotations

import pandas as pd


def is_missing(value: object) -> bool:
    """Whether a value in a frame of runs says that a run has none."""
    return value is None or value is pd.NA or (isinstance(value, float) and value != value)
