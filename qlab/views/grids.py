"""Heat maps as numbers: axes, cells and contours, before either backend draws them."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qlab.tracking.groups import RATIO
from qlab.views.behind import BEHIND, IDS
from qlab.views.crossed import LABELS, Crossing, distinct
from qlab.views.labels import numbers, ratio_text
from qlab.views.limits import finite_limits
from qlab.views.words import axis_words, named, without_places

CONTOURS: Final = (0.9, 0.8, 0.7, 0.6)
"""Accuracies at which contours are drawn where nothing else is asked for."""

WRITTEN: Final = 60
"""Maps of at most so many cells have the values written in them."""

_APART = 0.3
"""How far zero stands from the first strength of a sweep over powers of ten, in cells."""

_DECADE = 10.0

_BESIDE = 0.07
"""How far lines of several contours are apart that run along one edge, in cells."""


@dataclasses.dataclass(frozen=True, eq=False)
class Axis:
    """The places of an axis: as far from each other wherever their values are, and named by these.

    Args:
        label: in words.
        values: numbers or texts, in order.
    """

    label: str
    values: tuple[Any, ...]

    @property
    def texts(self) -> list[str]:
        """Names of the places."""
        known = numbers(value for value in self.values if not isinstance(value, str))
        return [value if isinstance(value, str) else known[value] for value in self.values]

    @property
    def centres(self) -> NDArray[np.float64]:
        """Where cells are, one wide; zero stands apart from strengths that follow powers of ten."""
        found = np.arange(len(self.values), dtype=float)
        strengths = [value for value in self.values if not isinstance(value, str)]
        wide = len(strengths) > 2 and strengths[0] == 0.0 and strengths[-1] >= _DECADE * strengths[1]
        return found + (_APART * (found > 0) if wide else 0.0)

    @property
    def limits(self) -> tuple[float, float]:
        """Of what is drawn."""
        return float(self.centres[0]) - 0.5, float(self.centres[-1]) + 0.5


@dataclasses.dataclass(frozen=True, eq=False)
class Grid:
    """One heat map.

    Args:
        title: what it shows that others do not; empty for the only one.
        x: the horizontal axis.
        y: the vertical one.
        quantity: what the colours are, in words.
        table: a row for each cell that has runs: ``x``, ``y``, ``value``, ``std``, ``n``, ``runs``, ``left_out`` and
            ``note``; the value is NaN where none is kept.
        limits: of the colours, the same for all maps of a figure.
        centred: whether the colours go both ways from zero.
        levels: values at which there are contours.
    """

    title: str
    x: Axis
    y: Axis
    quantity: str
    table: pd.DataFrame
    limits: tuple[float, float]
    centred: bool = False
    levels: tuple[float, ...] = ()

    @functools.cached_property
    def values(self) -> NDArray[np.float64]:
        """Shape ``[n_y, n_x]``, NaN where there is none."""
        found = np.full((len(self.y.values), len(self.x.values)), np.nan)
        for row in self.table.to_dict("records"):
            found[self.y.values.index(row["y"]), self.x.values.index(row["x"])] = row["value"]
        return found

    def texts(self) -> Iterator[tuple[float, float, str, bool]]:
        """What is written in cells: place, text, and whether the cell is dark.

        Of large maps only cells in which runs were left out have a text: how many are kept of how many.
        """
        every = len(self.x.values) * len(self.y.values) <= WRITTEN
        digits = _digits(self.limits, len(self.x.values))
        for row in self.table.to_dict("records"):
            value = float(row["value"])
            lines = [_written(value, digits, self.centred)] if every and math.isfinite(value) else []
            if row["n"] < row["runs"] and not (self.centred and not math.isfinite(value)):
                lines.append(f"{row['n']} of {row['runs']}")
            if lines:
                yield (*self.place(row), "\n".join(lines), math.isfinite(value) and self._dark(value))

    def place(self, row: Mapping[Any, Any]) -> tuple[float, float]:
        """The centre of a row's cell."""
        x, y = self.x.values.index(row["x"]), self.y.values.index(row["y"])
        return float(self.x.centres[x]), float(self.y.centres[y])

    def missing(self) -> Iterator[tuple[float, float]]:
        """The centres of cells without a value."""
        for y, x in np.argwhere(np.isnan(self.values)):
            yield float(self.x.centres[x]), float(self.y.centres[y])

    def contour(self, level: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The edges between cells that reach a value and neighbours that do not, as lines that NaN parts.

        Nothing is interpolated: a contour says between which of the values that were tried a level lies. Where several
        levels lie between two cells, their lines run side by side.
        """
        x, y = self.x.centres, self.y.centres
        lines: list[tuple[float, float]] = []
        for (row, column), other in self._neighbours():
            low, high = sorted((self.values[row, column], self.values[other]))
            crossed = [own for own in sorted(self.levels) if low < own <= high]
            if level not in crossed:
                continue
            # Higher lines are nearer to the higher cell.
            off = _BESIDE * (crossed.index(level) - 0.5 * (len(crossed) - 1))
            off *= 1.0 if self.values[other] == high else -1.0
            at = np.array([0.5 * (x[column] + x[other[1]]), 0.5 * (y[row] + y[other[0]])])
            across = np.array([other[1] - column, other[0] - row], dtype=float)
            ends = [at + off * across + sign * 0.5 * across[::-1] for sign in (-1.0, 1.0)]
            lines += [*((float(end[0]), float(end[1])) for end in ends), (np.nan, np.nan)]
        found = np.array(lines[:-1], dtype=float).reshape(-1, 2)
        return found[:, 0], found[:, 1]

    def _neighbours(self) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
        """Cells that share an edge, both with a value; the second is above the first or to the right of it."""
        known = np.isfinite(self.values)
        for row, column in np.ndindex(*known.shape):
            for other in ((row + 1, column), (row, column + 1)):
                inside = other[0] < known.shape[0] and other[1] < known.shape[1]
                if inside and known[row, column] and known[other]:
                    yield (row, column), other

    def _dark(self, value: float) -> bool:
        low, high = self.limits
        place = (value - low) / (high - low) if high > low else 0.5
        return abs(place - 0.5) > 0.32 if self.centred else place < 0.55


def grids(table: pd.DataFrame, crossing: Crossing, contours: Sequence[float] | None = None) -> list[Grid]:
    """The maps of a table, each followed by that of its differences to the control, if there is one.

    Args:
        table: see :func:`qlab.views.crossed.cells`.
        crossing: what it was made with.
        contours: values at which to draw contours; by default :data:`CONTOURS` of accuracies, where both axes are of
            numbers: names have no order that a contour could follow.
    """
    accuracy = "accuracy" in crossing.metric
    ordered = not any(isinstance(value, str) for name in ("x", "y") for value in table[name])
    levels = (CONTOURS if accuracy and ordered else ()) if contours is None else tuple(contours)
    told = [name for name in LABELS if name in table and table[name].nunique(dropna=False) > 1]
    groups: Any = table.groupby(told, sort=False, dropna=False) if told else [((), table)]
    limits = finite_limits(table["mean"].to_numpy(dtype=float))
    differs = "difference" in table
    reach = float(np.nanmax(np.abs(table["difference"]))) if differs and table["difference"].notna().any() else 1.0
    found = []
    for key, rows in groups:
        title = _title(dict(zip(told, key, strict=True)), table)
        x, y = (Axis(axis_words(getattr(crossing, name)), tuple(distinct(rows[name]))) for name in ("x", "y"))
        own = _table(rows, "mean", "std", "kept", "").assign(runs=list(rows["runs"]))
        found.append(Grid(title, x, y, named(crossing.metric), own, limits, levels=levels))
        if differs:
            own = _table(rows, "difference", "difference_std", "pairs", "against")
            own["note"] = [_compared(row) for row in rows.to_dict("records")]
            quantity = f"{named(crossing.metric).partition(' (')[0]} minus control"
            reach = max(reach, 1e-9)
            found.append(Grid(title, x, y, quantity, own, (-reach, reach), centred=True))
    return found


def _table(rows: pd.DataFrame, value: str, deviation: str, count: str, note: str) -> pd.DataFrame:
    own = rows[["x", "y", value, deviation, count, "kept", "left_out"]].copy()
    own.columns = pd.Index(["x", "y", "value", "std", "n", "runs", "left_out"])
    told = {name: list(rows[name]) for name in (BEHIND, IDS) if name in rows}
    return own.reset_index(drop=True).assign(note=list(rows[note]) if note else "", **told)


def _compared(row: Mapping[Any, Any]) -> str:
    """What a cell was compared with, and how."""
    if not math.isfinite(row["difference"]):
        return str(row["against"])
    return f"{row['against']}, " + ("same seeds" if row["pairs"] else "other seeds: not paired")


def _digits(limits: tuple[float, float], columns: int) -> int | None:
    """Decimals of values in cells; None where significant digits say more."""
    if max(map(abs, limits)) > 10.0 or limits[1] - limits[0] < 1e-2:
        return None
    return 3 if columns <= 6 else 2


def _written(value: float, digits: int | None, signed: bool) -> str:
    text = f"{value:.3g}" if digits is None else f"{value:.{digits}f}"
    if signed and float(text) == 0.0:
        return "0"
    return (f"+{text}" if signed and value > 0.0 else text).replace("-", "−")


def _title(values: Mapping[str, Any], table: pd.DataFrame) -> str:
    """What tells a map from others, in words."""
    parts = [
        f"{named(RATIO)} {ratio_text(value, table['ratio'])}" if name == "ratio" else without_places(str(value))
        for name, value in values.items()
    ]
    return ", ".join(parts)
