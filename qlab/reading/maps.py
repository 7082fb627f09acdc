"""Which map a reader means: the params on its axes, the metric, the control, by whole names."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import pandas as pd

from qlab.errors import ConfigError, unknown
from qlab.reading.axes import metrics_named, param_named
from qlab.reading.tables import WORDS, Parts
from qlab.reading.tidy import Kind
from qlab.tracking import frames
from qlab.tracking.groups import RATIO
from qlab.views.controls import Control
from qlab.views.crossed import NAMED, Crossing, cells
from qlab.views.crossed import Kind as Labelled
from qlab.views.mapped import METRIC
from qlab.views.sweeps import second_axis, strengths
from qlab.views.words import STRENGTH

LABELLED: Final[Mapping[Kind, Labelled | None]] = {"trials": None, "unlearning": "method", "probes": "probe"}
"""What runs are of beside a model and a corruption."""


def crossing_of(
    frame: pd.DataFrame,
    kind: Kind,
    metric: str | None,
    x: str | Sequence[str] | None,
    y: str | Sequence[str] | None,
    control: Mapping[str, Any] | None,
) -> Crossing:
    """What is meant by the names that a reader gives, see :meth:`qlab.reading.Results.heat_map`.

    Raises:
        ConfigError: there is no such param or metric, both axes are the same, or no second param is swept.
    """
    if frame.empty:
        raise ConfigError(f"There are no {WORDS[kind]} here.")
    if metric is None and kind == "probes":
        raise ConfigError("metric: is needed for probes.")
    across = axis_of(frame, kind, RATIO if x is None else x, "x")
    if y is None:
        found = second_axis(frame, across)
        if found is None:
            raise ConfigError("y: no param of numbers beside x has several values here; give one, or a label.")
        up = found
    else:
        up = axis_of(frame, kind, y, "y")
    if set(across) & set(up):
        raise ConfigError(f"y: got {up[0]}, which is x already; accepts another param.")
    group = None if control is None else group_of(frame, control)
    metrics = metrics_named(frame, [METRIC if metric is None else metric], "metric")
    return Crossing(across, up, metrics[0], None if group is None else Control(group))


def axis_of(frame: pd.DataFrame, kind: Kind, given: str | Sequence[str], option: str) -> tuple[str, ...]:
    """The params of an axis: one, several that are alternatives, :data:`~qlab.views.words.STRENGTH`, or a label.

    Raises:
        ConfigError: there is none of that name.
    """
    if given == STRENGTH:
        found = strengths(frame)
        if not found:
            raise ConfigError(f"{option}: no run here has a channel of noise whose strength is swept.")
        return found
    if isinstance(given, str):
        labels = [name for name in NAMED if name in ("model", "corruption", LABELLED[kind])]
        if given in labels:
            return (given,)
        if given in NAMED:
            raise ConfigError(f"{option}: {unknown('label', given, labels)}")
        return (param_named(frame, given, option),)
    if not given:
        raise ConfigError(f"{option}: got no param, accepts one or several.")
    return tuple(dict.fromkeys(param_named(frame, name, option) for name in given))


def group_of(frame: pd.DataFrame, control: Mapping[str, Any]) -> dict[str, Any]:
    """A control's group by whole names; a list of noise is one although runs have params of its channels only.

    Raises:
        ConfigError: there is no such param, or nothing is given.
    """
    if not control:
        raise ConfigError('control: got nothing, accepts params and values: {"model.scale": 2}.')
    found = {}
    for name, value in control.items():
        listed = _list_named(frames.param_columns(frame), name)
        found[param_named(frame, name, "control") if listed is None else listed] = value
    return found


def _list_named(columns: Sequence[str], given: str) -> str | None:
    """The list of components that is meant, of whose fields there are params: "model.noise" for "noise"."""
    found = {own[1] for name in columns if (own := re.fullmatch(r"(.+)\.\d+\.[^.]+", name))}
    return next((name for name in sorted(found) if name == given or name.endswith(f".{given}")), None)


def checked_contours(contours: Sequence[float] | None) -> Sequence[float] | None:
    """Contours as they were given.

    Raises:
        ConfigError: one is no finite number.
    """
    for value in contours or ():
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ConfigError(f"contours: got {value!r}, accepts finite numbers.")
    return None if contours is None else tuple(map(float, contours))


def table_of_maps(parts: Parts, kind: Kind, crossing: Crossing) -> pd.DataFrame:
    """The cells of the maps, see :func:`qlab.views.crossed.cells`; with several experiments their names are models'.

    Raises:
        ConfigError: there is nothing to draw, or the control is not one model or nowhere to be found.
    """
    every = pd.concat([frame for _, frame in parts], ignore_index=True)
    names = [name for name, frame in parts for _ in range(len(frame))]
    table = cells(every, crossing, LABELLED[kind], names if len(parts) > 1 else None)
    if table.empty:
        axes = " and ".join(dict.fromkeys(axis[0] for axis in (crossing.x, crossing.y)))
        raise ConfigError(f"There is nothing to draw: no run here has {axes}.")
    if crossing.control is not None and not table["difference"].notna().any():
        raise ConfigError(f"control: no cell has one: {table['against'].iloc[0]}.")
    return table
