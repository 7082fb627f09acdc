"""What a map's cells are compared with: runs of another group, at the same values of all that both have."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import numpy as np
import pandas as pd

from qlab.errors import ConfigError
from qlab.tracking import frames, params
from qlab.tracking.groups import RATIO
from qlab.tracking.missing import is_missing
from qlab.views.kept import ending, numbers_of, spread

NEAR: Final = 1.25
"""By what factor a param of the control may be off a value that was measured."""


class Axes(Protocol):
    """The params on the axes of a map."""

    @property
    def x(self) -> tuple[str, ...]:
        """Horizontal."""

    @property
    def y(self) -> tuple[str, ...]:
        """Vertical."""


@dataclasses.dataclass(frozen=True)
class Control:
    """A group of runs that is subtracted from the cells of a map.

    For each cell those of its runs count that agree with it in task, corruption, the params on the axes and whatever
    differs within the group, as far as the group does not say otherwise and both have it. Runs of the same seed are
    compared with each other if there are any.

    Args:
        group: what its runs have in common: values by dotted name. One of the params of an axis stands for them all.
            An empty list, or None, stands for runs that have no such param, and none below it: ``{"model.noise": []}``.
            For a number the name of a metric stands for the cell's own value times the metric's mean over the cell:
            ``{"model.scale": "noise_attenuation"}``; the nearest that there is counts, if it is within a factor of
            :data:`NEAR`.
    """

    group: Mapping[str, Any]

    def among(self, frame: pd.DataFrame, metric: str, axes: Axes) -> Candidates:
        """Its runs among some.

        Args:
            frame: one row for each run.
            metric: what is compared.
            axes: of the map.

        Raises:
            ConfigError: there are none.
        """
        measured = {name: value for name, value in self.group.items() if _is_metric(frame, name, value)}
        fixed = {name: value for name, value in self.group.items() if name not in measured}
        member = np.ones(len(frame), dtype=bool)
        for name, value in fixed.items():
            alike = next((axis for axis in (axes.x, axes.y) if name in axis), (name,))
            own = np.logical_or.reduce([has(frame, other, value) for other in alike])
            if not own.any():
                raise ConfigError(f"control: no run here has {name} = {said(value)}{_known(frame, name)}.")
            member &= own
        if not member.any():
            raise ConfigError(f"control: no run here has {described(fixed)} together.")
        ended = np.array([reason == "" for reason in ending(frame)], dtype=bool)
        values = pd.Series(numbers_of(frame, metric), index=frame.index)
        kept = member & ended & np.isfinite(values.to_numpy())
        return Candidates(frame[kept], values[kept], fixed, measured, (axes.x, axes.y))


@dataclasses.dataclass(frozen=True, eq=False)
class Candidates:
    """Runs of a control's group.

    Args:
        rows: those that are kept.
        values: of the metric.
        fixed: what the group says.
        measured: params of the group that follow from a metric of the cell.
        axes: params on the axes.
    """

    rows: pd.DataFrame
    values: pd.Series[float]
    fixed: Mapping[str, Any]
    measured: Mapping[str, str]
    axes: Sequence[tuple[str, ...]]

    @functools.cached_property
    def matched(self) -> list[str]:
        """The params in which a cell and its control agree."""
        every = [name for name in frames.param_columns(self.rows) if not self._says(name)]
        apart = {name for name in every if len({_key(value) for value in self.rows[name]}) > 1}
        data = {name for name in every if name.startswith(("task.", "corruption.")) or name == RATIO}
        data |= {name for axis in self.axes for name in axis}
        return [name for name in every if name in apart | data and not name.startswith(("select.", "points."))]

    def compared(self, cell: pd.DataFrame, values: pd.Series[float]) -> dict[str, Any]:
        """The difference of a cell to its control, see :func:`qlab.views.crossed.cells`.

        Args:
            cell: its runs that are kept.
            values: their metric.

        Raises:
            ConfigError: several models of the group could be meant.
        """
        nothing = {"difference": np.nan, "difference_std": np.nan, "pairs": 0}
        if cell.empty:
            return nothing | {"against": "no run is kept"}
        rows, near = self.rows, []
        for name in self.matched:
            own = _alone(cell, name)
            if own is None:
                continue
            # What the control does not have (the strength of noise without noise) does not tell them apart.
            rows = rows[[is_missing(value) or _key(value) == _key(own) for value in rows[name]]]
        for name, metric in self.measured.items():
            rows, text = _nearest(rows, name, _target(cell, name, metric))
            near.append(text)
        if rows.empty:
            return nothing | {"against": "; ".join(filter(None, near)) or "the control has no such runs"}
        for name in self.matched:
            if _alone(cell, name) is None and len({_key(value) for value in rows[name]}) > 1:
                raise ConfigError(
                    f"control: {described(self.fixed)} has several values of {name}"
                    f"{_known(rows, name)}; say which, such as {name} = {said(_alone(rows, name))}."
                )
        return _difference(cell, values, rows, self.values.loc[rows.index]) | {"against": ", ".join(near) or "control"}

    def _says(self, name: str) -> bool:
        named = (*self.fixed, *self.measured)
        group = (*named, *(other for axis in self.axes if set(axis) & set(named) for other in axis))
        return any(name == own or name.startswith(f"{own}.") for own in group)


def _difference(
    cell: pd.DataFrame, values: pd.Series[float], rows: pd.DataFrame, others: pd.Series[float]
) -> dict[str, Any]:
    ours, theirs = (
        own.groupby(runs["seed"] if "seed" in runs else pd.Series(0, index=runs.index)).mean()
        for own, runs in ((values.astype(float), cell), (others.astype(float), rows))
    )
    both = ours.index.intersection(theirs.index)
    if len(both):
        mean, deviation = spread(np.asarray(ours[both] - theirs[both], dtype=float))
        return {"difference": mean, "difference_std": deviation, "pairs": len(both)}
    (a, s), (b, t) = (spread(np.asarray(own, dtype=float)) for own in (ours, theirs))
    return {"difference": a - b, "difference_std": math.hypot(s, t), "pairs": 0}


def _target(cell: pd.DataFrame, name: str, metric: str) -> float:
    """A cell's own value of a param times a metric's mean."""
    own = params.number(_alone(cell, name))
    return np.nan if own is None else float(own) * float(np.nanmean([np.nan, *numbers_of(cell, metric), np.nan]))


def _nearest(rows: pd.DataFrame, name: str, target: float) -> tuple[pd.DataFrame, str]:
    """The runs whose param is nearest to a value, and what to say of it."""
    short = name.rpartition(".")[2]
    if not np.isfinite(target):
        return rows.iloc[:0], f"no value to choose {short} by"
    known = {_key(value): float(value) for value in rows[name] if params.number(value) is not None}
    off = {key: abs(math.log(value / target)) for key, value in known.items() if value * target > 0.0}
    best = min(off, key=off.__getitem__, default=None)
    if best is None or off[best] > math.log(NEAR):
        return rows.iloc[:0], f"no {short} near {target:.3g}"
    return rows[[_key(value) == best for value in rows[name]]], f"{short} {known[best]:.3g} for {target:.3g}"


def has(frame: pd.DataFrame, name: str, value: Any) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which runs have a param with a value, or one of a list of values; None or an empty list: have no such param."""
    wanted = list(value) if isinstance(value, list | tuple) else [value]
    if value is None or not wanted:
        below = [column for column in frame.columns if column == name or column.startswith(f"{name}.")]
        absent = [frame[column].map(lambda own: is_missing(own) or own == ()) for column in below]
        return np.logical_and.reduce([np.ones(len(frame), dtype=bool), *(own.to_numpy(dtype=bool) for own in absent)])
    keys = {_key(item) for item in (*wanted, value)}
    own = frame[name] if name in frame else [None] * len(frame)
    return np.array([_key(item) in keys for item in own], dtype=bool)


def _key(value: Any) -> Any:
    """Equal for values that mean the same: 1 and 1.0."""
    number = params.number(value)
    if number is not None:
        return ("number", float(number))
    if is_missing(value):
        return None
    return tuple(map(_key, value)) if isinstance(value, list | tuple) else (type(value).__name__, value)


def _alone(rows: pd.DataFrame, name: str) -> Any:
    """The value of a param of runs that agree in it; None if they have none."""
    return next((value for value in rows[name] if not is_missing(value)), None) if name in rows else None


def _is_metric(frame: pd.DataFrame, name: str, value: Any) -> bool:
    numbers = [own for own in frame[name] if not is_missing(own)] if name in frame else []
    named = isinstance(value, str) and value in frames.metric_columns(frame)
    return named and bool(numbers) and all(params.number(own) is not None for own in numbers)


def _known(frame: pd.DataFrame, name: str) -> str:
    """The values that runs have of a param, for messages."""
    texts = sorted({params.shown(value) for value in frame[name] if not is_missing(value)}) if name in frame else []
    return f" (there is {', '.join(texts[:8])}{', ...' if len(texts) > 8 else ''})" if texts else ""


def said(value: Any) -> str:
    """A value of a group for people."""
    return "[]" if value is None or value == () or value == [] else params.shown(value)


def described(group: Mapping[str, Any]) -> str:
    """A group for people: "model.noise = [], model.scale = 2"."""
    return ", ".join(f"{name} = {said(value)}" for name, value in group.items())
