"""Which runs stand behind a number, and why the others do not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qlab.tracking.names import LEFT_OUT, MEASURED, NOT_FINITE


def ending(frame: pd.DataFrame) -> list[str]:
    """For each run why it is left out whatever its metrics; "" if it is kept.

    How it ended, that it diverged, or that it was to be trained up to a goal and did not get there.
    """
    statuses = frame["status"] if "status" in frame else [None] * len(frame)
    healths = frame["health"] if "health" in frame else [None] * len(frame)
    return [
        (str(health) if health in LEFT_OUT else "") if status == "FINISHED" else _ended(status)
        for status, health in zip(statuses, healths, strict=True)
    ]


def _ended(status: object) -> str:
    return status.lower() if isinstance(status, str) else "of unknown status"


def flaws(frame: pd.DataFrame, metric: str) -> list[str]:
    """For each run what is wrong with a metric: "loss not a number", "loss infinite", "no loss"; "" if it is finite."""
    measured = frame[NOT_FINITE] if NOT_FINITE in frame else [()] * len(frame)
    return [
        flaw(metric, value, isinstance(names, Iterable) and metric in names)
        for value, names in zip(numbers_of(frame, metric), measured, strict=True)
    ]


def measured(frame: pd.DataFrame) -> tuple[str, ...]:
    """The metrics of one's own that some run has, see :data:`qlab.tracking.names.MEASURED`."""
    found: Iterable[object] = frame.get(MEASURED, ())
    return tuple(sorted({name for pairs in found if isinstance(pairs, tuple) for name, _ in pairs}))


def numbers_of(frame: pd.DataFrame, metric: str) -> NDArray[np.float64]:
    """A metric of each run, NaN where there is none."""
    if metric not in frame:
        return np.full(len(frame), np.nan)
    return np.asarray(pd.to_numeric(frame[metric]), dtype=float)


def joined(reasons: Iterable[str]) -> str:
    """Reasons in order, each once; runs that are kept have none."""
    return ", ".join(sorted({part for reason in reasons for part in reason.split(", ")} - {""}))


def spread(values: Sequence[float] | NDArray[np.float64]) -> tuple[float, float]:
    """Mean and standard deviation (n - 1) of finite numbers; NaN where there are too few."""
    known = np.asarray(values, dtype=float)
    if len(known) > 1 and (known == known[0]).all():  # whose mean, rounded, may be another number
        return float(known[0]), 0.0
    mean = float(known.mean()) if len(known) else np.nan
    return mean, float(known.std(ddof=1)) if len(known) > 1 else np.nan


def flaw(metric: str, value: float, measured: bool) -> str:
    """What is wrong with a metric's value; "" if it is finite. One that is NaN was measured, or is not there."""
    if np.isfinite(value):
        return ""
    if np.isinf(value):
        return f"{metric} infinite"
    return f"{metric} not a number" if measured else f"no {metric}"
