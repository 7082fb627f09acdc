"""Which params an experiment sweeps, and when two of them make a heat map."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Final

import pandas as pd

from qlab.tracking.groups import RATIO
from qlab.tracking.missing import is_missing
from qlab.views.controls import Control
from qlab.views.crossed import Crossing, Kind, cells, numeric
from qlab.views.labels import varying
from qlab.views.words import NOISE

SECOND: Final = 4
"""So many values of a second param make a heat map: lines would hardly be told apart."""

FIRST: Final = 3
"""So many of the first."""

MOST: Final = 24
"""Maps in a figure that nobody asked for."""

_NOT_STRENGTHS: Final = ("after", "wires", "pe", "tg")


def strengths(frame: pd.DataFrame) -> tuple[str, ...]:
    """The params in which channels of noise differ by numbers, the first channel's if several have some."""
    return _strengths_among(swept_numbers(frame))


def _strengths_among(numbers: Sequence[str]) -> tuple[str, ...]:
    swept = [name for name in numbers if (own := NOISE.fullmatch(name)) and own[1] not in _NOT_STRENGTHS]
    # Of a channel with both, gamma is the strength, and p what the surroundings do.
    swept.sort(key=lambda name: not name.endswith(".gamma"))
    places = sorted({name.split(".")[2] for name in swept}, key=int)
    return tuple(name for name in swept if name.split(".")[2] == places[0]) if places else ()


def swept_numbers(frame: pd.DataFrame) -> list[str]:
    """The params in which runs differ and that are numbers, the corruption ratio left out."""
    others = [name for name in frame.columns if name.startswith("unlearner.")]
    different = [name for name in others if _count(frame, name) > 1]
    return [name for name in (*varying(frame), *different) if name != RATIO and numeric(frame, name)]


def second_axis(frame: pd.DataFrame, first: Sequence[str]) -> tuple[str, ...] | None:
    """The strength of noise, if it is swept, else the param with most values, beside a first axis; or None."""
    return next(iter(_second_axes(frame, first)), None)


def _second_axes(frame: pd.DataFrame, first: Sequence[str], least: int = 2) -> list[tuple[str, ...]]:
    """What can be swept beside a first axis with so many values at least: noise first, then by how many they are."""
    swept = swept_numbers(frame)
    noise = _strengths_among(swept)
    counts = {name: _count(frame, name) for name in swept}
    others = sorted((name for name in counts if name not in (*first, *noise)), key=lambda name: -counts[name])
    found = [*([noise] if noise and not set(noise) & set(first) else []), *((name,) for name in others)]
    return [axis for axis in found if axis == noise or counts[axis[0]] >= least]


def _count(frame: pd.DataFrame, name: str) -> int:
    return len({value for value in frame[name] if not is_missing(value)})


def map_worth_drawing(frame: pd.DataFrame, metric: str, kind: Kind | None = None) -> Crossing | None:
    """The map that stands beside the curves of an experiment, or None.

    There is one of trials if a param of numbers has :data:`SECOND` values or more for each of :data:`FIRST` corruption
    ratios or more, everything else alike; of unlearning runs if it has for each of two methods. Strengths of noise are
    compared with no noise where the sweep begins at zero.

    Args:
        frame: one row for each run of a kind.
        metric: what the map is to show.
        kind: "method" for unlearning runs.
    """
    first = ("method",) if kind == "method" else (RATIO,)
    if frame.empty or (kind is None and RATIO not in frame):
        return None
    for second in _second_axes(frame, first, SECOND):
        across, up = (second, first) if kind == "method" else (first, second)
        found = _worth_drawing(frame, Crossing(across, up, metric), kind, second)
        if found is not None:
            return found
    return None


def _worth_drawing(
    frame: pd.DataFrame, crossing: Crossing, kind: Kind | None, second: tuple[str, ...]
) -> Crossing | None:
    table = crossed_only(cells(frame, crossing, kind))
    maps = _maps(table)
    along, rows = ("x", "y") if kind == "method" else ("y", "x")
    most = max((_crossed(own, along, rows) for own in maps), default=0)
    if most < (2 if kind == "method" else FIRST) or len(maps) > MOST:
        return None
    noise = all(NOISE.fullmatch(name) for name in second) and bool((table[along] == 0.0).any())
    return dataclasses.replace(crossing, control=Control({second[0]: 0.0}) if noise else None)


def crossed_only(table: pd.DataFrame) -> pd.DataFrame:
    """The cells of maps with two places or more on both axes, see :func:`qlab.views.crossed.cells`."""
    kept = [own for own in _maps(table) if own["x"].nunique() > 1 and own["y"].nunique() > 1]
    return pd.concat(kept) if kept else table.iloc[:0]


def _maps(table: pd.DataFrame) -> list[pd.DataFrame]:
    """The cells of each map."""
    told = list(table.columns[: list(table.columns).index("x")])
    groups: Any = table.groupby(told, sort=False, dropna=False) if told else [((), table)]
    return [own for _, own in groups]


def _crossed(own: pd.DataFrame, along: str, rows: str) -> int:
    """For how many values on the first axis there are enough on the second."""
    counts = own.groupby(rows, sort=False)[along].nunique()
    return int((counts >= SECOND).sum())
