"""Parallel coordinates: an axis for each param and metric, a line for each run, and ranges that keep some of them."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qlab.errors import ConfigError
from qlab.views.slices import is_log

MOST: Final = 9
"""So many axes are drawn at most."""

_NUMBER: Final = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_RANGE: Final = re.compile(rf"([\w.]+)\s+({_NUMBER})\s*\.\.\s*({_NUMBER})")


@dataclasses.dataclass(frozen=True)
class Axis:
    """One axis, from the lowest value of all runs to the highest.

    Args:
        name: of the param or metric.
        low: the lowest value.
        high: the highest.
        log: whether it is logarithmic.
    """

    name: str
    low: float
    high: float
    log: bool = False

    def places(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where values are between the ends, 0 to 1; NaN where there is none. All is in the middle if all is equal."""
        if self.high == self.low:
            return np.where(np.isnan(values), np.nan, 0.5)
        scale = np.log10 if self.log else np.asarray
        low, high = float(scale(self.low)), float(scale(self.high))
        return np.asarray((scale(values) - low) / (high - low), dtype=float)

    def value(self, place: float) -> float:
        """The value at a place, as few digits as are needed to tell places apart."""
        place = min(max(place, 0.0), 1.0)
        if self.high == self.low:
            return self.low
        if self.log:
            return float(f"{10 ** (math.log10(self.low) + place * math.log10(self.high / self.low)):.4g}")
        digits = max(0, 4 - math.floor(math.log10(self.high - self.low)) - 1)
        return round(self.low + place * (self.high - self.low), digits)

    def ticks(self) -> list[tuple[float, str]]:
        """Places of a few values, and these as text."""
        places = [0.5] if self.high == self.low else [0.0, 0.25, 0.5, 0.75, 1.0]
        return [(place, f"{self.value(place):.3g}") for place in places]


def axes_of(table: pd.DataFrame) -> list[Axis]:
    """The axes of a table of numbers, a column each; those without a finite value are left out.

    Args:
        table: a row for each run.
    """
    found = []
    for name in table.columns:
        known = table[name].to_numpy(dtype=float)
        known = known[np.isfinite(known)]
        if len(known):
            low, high = float(known.min()), float(known.max())
            found.append(Axis(str(name), low, high, is_log((low, high))))
    return found[:MOST]


def lines_of(table: pd.DataFrame, axes: Sequence[Axis]) -> NDArray[np.float64]:
    """Where each run's line meets each axis, ``[runs, axes]``; NaN where a run has no value."""
    columns = [axis.places(_finite(table[axis.name])) for axis in axes]
    return np.stack(columns, axis=1) if columns else np.zeros((len(table), 0))


def ranges_of(text: str) -> dict[str, tuple[float, float]]:
    """Ranges from a text such as "training.learning_rate 0.001..0.01, validation_accuracy 0.9..1".

    Raises:
        ConfigError: a part of it is no range.
    """
    found = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = _RANGE.fullmatch(part)
        if match is None:
            raise ConfigError(f'ranges: got "{part}", accepts a name and two numbers: validation_accuracy 0.9..1.')
        low, high = sorted((float(match[2]), float(match[3])))
        found[match[1]] = (low, high)
    return found


def ranges_text(ranges: Mapping[str, tuple[float, float]]) -> str:
    """Ranges as a text that :func:`ranges_of` reads."""
    return ", ".join(f"{name} {low:.6g}..{high:.6g}" for name, (low, high) in ranges.items())


def within(table: pd.DataFrame, ranges: Mapping[str, tuple[float, float]]) -> pd.Series[bool]:
    """Which runs are in all ranges; a run without a value is in none.

    Raises:
        ConfigError: a range is of what no run has.
    """
    kept = pd.Series(True, index=table.index)
    for name, (low, high) in ranges.items():
        if name not in table:
            raise ConfigError(f"ranges: no run here has {name} as a number; there are: {', '.join(table.columns)}.")
        # What a text rounds must not leave out the run at the end of the range.
        room = 1e-6 * max(abs(low), abs(high))
        kept &= (table[name] >= low - room) & (table[name] <= high + room)
    return kept


def _finite(values: pd.Series[float]) -> NDArray[np.float64]:
    found = values.to_numpy(dtype=float)
    return np.where(np.isfinite(found), found, np.nan)
