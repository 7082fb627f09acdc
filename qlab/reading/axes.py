"""Which param or metric a reader means: its dotted name, or the end of it where that is no other's."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd

from qlab.errors import ConfigError, unknown
from qlab.tracking import frames, names, params
from qlab.tracking.groups import RATIO


@dataclasses.dataclass(frozen=True)
class Axes:
    """What is drawn or tabulated: mean and deviation of metrics against a param, for each model.

    Args:
        x: a param whose values are numbers.
        y: metrics, a panel or a pair of columns for each.
        by: params that tell models apart; all that differ if empty. Corruptions and ratios are told apart always.
    """

    x: str
    y: tuple[str, ...]
    by: tuple[str, ...] = ()

    @property
    def against_ratio(self) -> bool:
        """Whether the param is the corruption ratio."""
        return self.x == RATIO


def param_named(frame: pd.DataFrame, given: str, option: str) -> str:
    """The param that is meant: ``depth`` for ``model.depth``, ``model`` for ``model.type``.

    Args:
        frame: runs, see :mod:`qlab.tracking.frames`.
        given: its name, or the end of it.
        option: where it was given, for messages.

    Raises:
        ConfigError: no param of that name, or several.
    """
    choices = [*frames.param_columns(frame), *(name for name in names.PLAIN_PARAMS if name in frame)]
    if given in choices:
        return given
    if f"{given}.type" in choices:
        return f"{given}.type"
    found = [name for name in choices if name.endswith(f".{given}")]
    if len(found) == 1:
        return found[0]
    if found:
        raise ConfigError(f'{option}: got "{given}", which could be {" or ".join(sorted(found))}; give the whole name.')
    raise ConfigError(f"{option}: {unknown('param', given, choices)}")


def number_param(frame: pd.DataFrame, given: str, option: str) -> str:
    """The param that is meant, whose values are numbers.

    Raises:
        ConfigError: there is none of that name, or it has a value that is no number.
    """
    name = param_named(frame, given, option)
    wrong = [value for value in frame[name].dropna() if params.number(value) is None]
    if wrong:
        numeric = [column for column in frames.param_columns(frame) if _is_numeric(frame[column])]
        raise ConfigError(
            f"{option}: {name} has the value {params.shown(wrong[0])}, accepts a param whose values are numbers: "
            f"{', '.join(sorted(numeric)) or 'there is none'}."
        )
    return name


def _is_numeric(column: pd.Series) -> bool:
    known = column.dropna()
    return len(known) > 0 and all(params.number(value) is not None for value in known)


def metrics_named(frame: pd.DataFrame, given: Sequence[str], option: str) -> tuple[str, ...]:
    """Metrics, each of which some run has.

    Raises:
        ConfigError: there is none of that name.
    """
    choices = measured(frame)
    for name in given:
        if name not in choices:
            raise ConfigError(f"{option}: {unknown('metric', name, choices)}")
    return tuple(dict.fromkeys(given))


def measured(frame: pd.DataFrame) -> list[str]:
    """Metrics that some run has, also such as are no finite number anywhere."""
    flawed = {name for found in frame.get(names.NOT_FINITE, ()) for name in found}
    return sorted(name for name in frames.metric_columns(frame) if frame[name].notna().any() or name in flawed)


def positions(frame: pd.DataFrame, name: str) -> pd.Series:
    """A param's value of each run as a number, NaN where a run has none."""
    values = [params.number(value) for value in frame[name]] if name in frame else [None] * len(frame)
    return pd.Series([np.nan if value is None else float(value) for value in values], index=frame.index, dtype=float)
