"""Runs crossed by two params: a table of cells, with the difference of each to a control."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Final, Literal

import pandas as pd

from qlab.tracking import params
from qlab.tracking.groups import RATIO
from qlab.tracking.missing import is_missing
from qlab.views.alike import without
from qlab.views.controls import Control
from qlab.views.kept import ending, flaws, joined, numbers_of, spread
from qlab.views.labels import labelled, natural
from qlab.views.noiseless import with_zero
from qlab.views.words import NOISE, STRENGTH

Kind = Literal["method", "probe"]

_EXPERIMENT: Final = "experiment"

LABELS: Final = (_EXPERIMENT, "model", "corruption", "method", "probe", "ratio")
"""Columns that tell maps apart."""

NAMED: Final = LABELS[1:-1]
"""Those that can be an axis."""


@dataclasses.dataclass(frozen=True)
class Crossing:
    """What a map shows.

    Args:
        x: params of the horizontal axis, of which a run's value is that of the first that it has: channels of noise
            call their strength by different names. Or one of :data:`NAMED`, such as "method".
        y: of the vertical axis.
        metric: its mean over seeds is the colour.
        control: what is subtracted, or None.
    """

    x: tuple[str, ...]
    y: tuple[str, ...]
    metric: str
    control: Control | None = None

    @property
    def columns(self) -> dict[str, str]:
        """What to call the columns of places in a table for people: the param, or "strength" for several of noise."""
        return {"x": _called(self.x), "y": _called(self.y)}


def _called(axis: tuple[str, ...]) -> str:
    return STRENGTH if len(axis) > 1 and all(NOISE.fullmatch(name) for name in axis) else axis[0]


def cells(
    frame: pd.DataFrame, crossing: Crossing, kind: Kind | None = None, experiments: Sequence[str] | None = None
) -> pd.DataFrame:
    """One row for each cell that has runs, of each map; maps differ in what is not on their axes.

    Columns: those of :data:`LABELS` that are no axis, ``x`` and ``y`` (numbers or texts), ``mean``, ``std`` (n - 1; NaN
    for one run), ``kept``, ``runs`` and ``left_out``. With a control also ``difference``, ``difference_std``,
    ``pairs`` (seeds that both have; 0 if the means over different seeds are compared) and ``against`` (which control it
    is, or why there is none). A run is kept if it finished, did not diverge and has the metric as a finite number. Runs
    without a value on one of the axes are in no cell; on an axis of strengths of noise those without noise
    are at zero, see :func:`qlab.views.noiseless.with_zero`.

    Args:
        frame: one row for each run of a kind, see :func:`qlab.tracking.frames.latest_per_trial`.
        crossing: what is asked for.
        kind: of the runs beside a model and a corruption.
        experiments: that runs are of, if maps are to be told apart by them.

    Raises:
        ConfigError: the control is not one model.
    """
    if experiments is not None:
        frame = frame.assign(**{_EXPERIMENT: list(experiments)})
    frame = with_zero(frame, (crossing.x, crossing.y))
    work = _work(frame, crossing, kind)
    if experiments is not None:
        work.insert(0, _EXPERIMENT, frame.loc[work.index, _EXPERIMENT])
    told = [name for name in LABELS if name in work]
    control = None if crossing.control is None else crossing.control.among(frame, crossing.metric, crossing)
    rows = []
    for key, own in work.groupby([*told, "x", "y"], sort=False, dropna=False):
        kept = own[own["reason"] == ""]
        mean, deviation = spread(kept["value"].to_numpy())
        row: dict[str, Any] = dict(zip([*told, "x", "y"], key, strict=True))
        row |= {"mean": mean, "std": deviation, "kept": len(kept), "runs": len(own), "left_out": joined(own["reason"])}
        if control is not None:
            row |= control.compared(frame.loc[kept.index], kept["value"])
        rows.append(row)
    columns = [*told, "x", "y", "mean", "std", "kept", "runs", "left_out"]
    columns += [] if control is None else ["difference", "difference_std", "pairs", "against"]
    return pd.DataFrame(rows, columns=columns)


def runs_of_cells(frame: pd.DataFrame, crossing: Crossing, kind: Kind | None = None) -> tuple[pd.DataFrame, list[str]]:
    """The runs behind cells: ``run_id``, ``seed``, whether they are ``kept``, and what tells cells apart, by name.

    Args:
        frame: see :func:`cells`.
        crossing: see :func:`cells`.
        kind: see :func:`cells`.
    """
    frame = with_zero(frame, (crossing.x, crossing.y))
    work = _work(frame, crossing, kind)
    keys = [*(name for name in LABELS if name in work), "x", "y"]
    about = {name: frame.loc[work.index, name] if name in frame else None for name in ("run_id", "seed")}
    return work[keys].assign(**about, kept=work["reason"] == ""), keys


def _work(frame: pd.DataFrame, crossing: Crossing, kind: Kind | None) -> pd.DataFrame:
    """What each run on both axes belongs to, its places, its value, and the ``reason`` if it is not kept."""
    axes = (*crossing.x, *crossing.y)
    places = {"x": crossing.x, "y": crossing.y}
    params_of = {name: _values(frame, axis) for name, axis in places.items() if axis[0] not in NAMED}
    here = pd.Series(True, index=frame.index)
    for values in params_of.values():
        here &= ~values.map(is_missing).astype(bool)
    work = labelled(without(frame[here], axes), kind)
    for name, axis in places.items():
        work[name] = params_of[name][here] if name in params_of else work[axis[0]]
    work = work.drop(columns=[name for name in axes if name in NAMED])
    if RATIO in axes:
        work = work.drop(columns="ratio")
    work["value"] = numbers_of(frame, crossing.metric)[here]
    found = zip(ending(frame[here]), flaws(frame[here], crossing.metric), strict=True)
    work["reason"] = pd.Series([ended or flaw for ended, flaw in found], index=work.index, dtype=str)
    return work


def _values(frame: pd.DataFrame, axis: tuple[str, ...]) -> pd.Series[Any]:
    """Places on an axis: finite numbers, other values as text, None where a run has none."""
    found: list[Any] = [None] * len(frame)
    for name in axis:
        for place, value in enumerate(frame.get(name, ())):
            if found[place] is None and not is_missing(value):
                number = params.number(value)
                found[place] = params.shown(value) if number is None else float(number)
    return pd.Series(found, index=frame.index, dtype=object)


def order(value: Any) -> tuple[Any, ...]:
    """A key to sort places on an axis by: numbers first, then texts."""
    return (1, *natural(value)) if isinstance(value, str) else (0, value)


def distinct(values: pd.Series[Any]) -> list[Any]:
    """The places on an axis, in order."""
    return sorted(dict.fromkeys(values), key=order)


def numeric(frame: pd.DataFrame, name: str) -> bool:
    """Whether all values of a param are finite numbers, and there are some."""
    known = [value for value in frame[name] if not is_missing(value)] if name in frame else []
    return bool(known) and all(params.number(value) is not None for value in known)
