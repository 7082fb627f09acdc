"""Single unlearning runs over the figures of their methods: the curves of those selected, and where each ends."""

from __future__ import annotations

import collections
from collections.abc import Mapping, Sequence, Set
from typing import Final

import numpy as np
import pandas as pd

from qlab.explorer.highlights import Marks, Thick
from qlab.views.behind import key_of, runs_by
from qlab.views.kept import numbers_of
from qlab.views.palette import styles
from qlab.views.unlearning import DRAWN, label_runs

_PANEL: Final = ("model", "corruption", "ratio")

Series = Mapping[tuple[str, str], Sequence[tuple[int, float]]]


def selected_curves(
    runs: pd.DataFrame, table: pd.DataFrame, series: Series, metrics: Sequence[str], chosen: Set[str]
) -> dict[int, Marks]:
    """The curves of selected runs, thick, by the panels of :func:`qlab.views.unlearning.accuracy_against_step`.

    Args:
        runs: one row for each unlearning run.
        table: see :func:`qlab.views.unlearning.summarize_unlearning`.
        series: steps and values by run and metric.
        metrics: a panel each.
        chosen: ids.
    """
    by_method = styles(table["method"].unique())
    rows = {key: number for number, key in enumerate(runs_by(table, _PANEL))}
    lines: dict[int, list[Thick]] = collections.defaultdict(list)
    for run, label in _labelled(runs):
        if run not in chosen:
            continue
        for number, metric in enumerate(metrics):
            known = [(step, value) for step, value in series.get((run, metric), ()) if np.isfinite(value)]
            if known:
                steps, values = zip(*known, strict=True)
                said = f"{label['method']}, run {run[:8]}"
                panel = rows[key_of(label, _PANEL)] * len(metrics) + number
                lines[panel].append(Thick(steps, values, by_method[str(label["method"])].colour, said))
    return {panel: Marks(lines=own) for panel, own in lines.items()}


def ends(runs: pd.DataFrame, table: pd.DataFrame) -> dict[int, list[tuple[tuple[float, float], str]]]:
    """Where each run is in the panels of :func:`qlab.views.unlearning.trade_off`, and its id.

    Args:
        runs: one row for each unlearning run.
        table: see :func:`qlab.views.unlearning.summarize_unlearning`.
    """
    rows = {key: number for number, key in enumerate(runs_by(table, _PANEL))}
    x, y = (numbers_of(runs, name) for name in reversed(DRAWN))
    found: dict[int, list[tuple[tuple[float, float], str]]] = collections.defaultdict(list)
    for place, (run, label) in enumerate(_labelled(runs)):
        if np.isfinite([x[place], y[place]]).all():
            found[rows[key_of(label, _PANEL)]].append(((float(x[place]), float(y[place])), run))
    return found


def _labelled(runs: pd.DataFrame) -> list[tuple[str, dict[str, object]]]:
    labels = label_runs(runs).to_dict("records")
    return [
        (str(run), {str(name): value for name, value in label.items()})
        for run, label in zip(runs["run_id"], labels, strict=True)
    ]
