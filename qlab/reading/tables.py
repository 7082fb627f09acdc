"""The tables of an experiment: the summaries that `qlab run` prints, or any metrics against any param."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from qlab.errors import ConfigError
from qlab.reading.axes import Axes, measured, metrics_named, number_param, param_named
from qlab.reading.summaries import summary
from qlab.reading.tidy import Kind
from qlab.tracking import frames
from qlab.tracking.groups import RATIO
from qlab.views.summary import METRICS, summarize

UNLEARNED = ("validation_accuracy", "forget_accuracy_polluted")
"""Metrics of unlearning runs where nothing else is asked for."""

Parts = Sequence[tuple[str, pd.DataFrame]]
"""Names of experiments and their runs of one kind, one row for each."""


def axes_of(
    runs: Sequence[pd.DataFrame], y: Sequence[str] | None, x: str | None, by: Sequence[str], kind: Kind
) -> Axes:
    """What is meant by the names that a reader gives.

    Raises:
        ConfigError: there is no such param or metric, or a param has values that are no numbers.
    """
    every = pd.concat(runs, ignore_index=True) if runs else pd.DataFrame()
    if every.empty:
        raise ConfigError(f"There are no {WORDS[kind]} here.")
    chosen = (RATIO if RATIO in every else None) if x is None else number_param(every, x, "x")
    if chosen is None:
        raise ConfigError("x: these runs have no corruption ratio; give another param of numbers.")
    if y is None and kind == "probes":
        raise ConfigError(f"y: is needed for probes; they have {', '.join(measured(every)) or 'no metric'}.")
    metrics = {"trials": METRICS[::-1], "unlearning": UNLEARNED}[kind] if y is None else metrics_named(every, y, "y")
    return Axes(chosen, metrics, tuple(dict.fromkeys(param_named(every, name, "by") for name in by)))


def table_of(parts: Parts, axes: Axes, kind: Kind) -> pd.DataFrame:
    """Any metrics against any param; with several experiments the first column says which.

    See :func:`qlab.reading.summaries.summary`.
    """
    return _together([(name, summary(frame, axes, kind)) for name, frame in parts])


def summaries_of(parts: Parts, kind: Kind, by: Sequence[str] = ()) -> pd.DataFrame:
    """The tables that sum experiments up, see :mod:`qlab.views`; with several the first column says which."""
    return _together([(name, _summary(frame, kind, by)) for name, frame in parts])


def _summary(frame: pd.DataFrame, kind: Kind, by: Sequence[str]) -> pd.DataFrame:
    if kind == "trials":
        return summarize(frame, by)
    if kind == "unlearning":
        from qlab.views.unlearning import summarize_unlearning  # libraries that draw: others do without

        return summarize_unlearning(frame)
    from qlab.views.curvature import summarize_probes

    return summarize_probes(frame, frames.metric_columns(frame))


def _together(tables: Parts) -> pd.DataFrame:
    if len(tables) == 1:
        return tables[0][1]
    named = [table.assign(experiment=name) for name, table in tables]
    found = pd.concat(named, ignore_index=True) if named else pd.DataFrame()
    return found[["experiment", *(name for name in found.columns if name != "experiment")]] if named else found


WORDS: dict[Kind, str] = {"trials": "trials", "unlearning": "unlearning runs", "probes": "probes"}
