"""What methods reach of each fraction of known rows: a table, and lines over the fraction."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from qlab.reading.axes import Axes, positions
from qlab.reading.summaries import summary
from qlab.tracking import names
from qlab.views import heat_map
from qlab.views.backends import styled
from qlab.views.crossed import Crossing, cells
from qlab.views.grids import grids
from qlab.views.kept import joined, numbers_of
from qlab.views.lines import Panel, drawn, metric_panels
from qlab.views.palette import styles

KNOWN: Final = "corruption.known"
WHICH: Final = "corruption.known_rows"
_ALARMS: Final = "corruption.false_alarms"
_METHOD: Final = "unlearner.type"

SHOWN: Final = ("validation_accuracy", "corrective_accuracy")
"""Metrics that are drawn where nothing else is asked for."""

_MOST_LINES: Final = 9
"""With more, those to compare with included, lines would hardly be told apart: there are as many colours."""

_FRACTIONS: Final = (-0.03, 1.03)

_REFERENCES: Final = {
    "oracle": {
        "corrective_accuracy": "corrective_accuracy_oracle",
        "validation_accuracy": "oracle_accuracy",
    },
    "reachable oracle": {
        "corrective_accuracy": "corrective_accuracy_reachable",
        "validation_accuracy": "reachable_accuracy",
    },
    "teacher": {"corrective_accuracy": "corrective_accuracy_teacher"},
}
"""Lines to compare methods with, and the metrics of unlearning runs that they are made of."""

_IF_ALL_KNOWN: Final = {
    "reachable_accuracy": "oracle_accuracy",
    "reachable_accuracy_std": "oracle_accuracy_std",
    "reachable_gap": "oracle_gap",
    "reachable_kl": "oracle_kl",
    "reachable_kl_floor": "oracle_kl_floor",
    "membership_auc_reachable": "membership_auc_oracle",
    "corrective_accuracy_reachable": "corrective_accuracy_oracle",
    "known_accuracy_polluted": "forget_accuracy_polluted",
    "known_accuracy_clean": "forget_accuracy_clean",
}
"""What metrics are where every corrupted row is known, and no other: they are not logged there a second time."""


def sweeps_known(frame: pd.DataFrame) -> bool:
    """Whether unlearning runs differ in how many of the corrupted rows are known."""
    return KNOWN in frame and positions(frame, KNOWN).nunique() > 1


def known_table(frame: pd.DataFrame, metrics: Sequence[str] = SHOWN) -> pd.DataFrame:
    """Metrics by known fraction: a row for each model, corruption, ratio, method and fraction.

    Columns: ``model``, ``corruption``, ``ratio``, ``method``, ``corruption.known``, then for each metric
    ``<metric>_mean`` and ``<metric>_std`` (n - 1) over the runs that have it, ``<metric>_n``; ``runs``, ``left_out``.
    Beside the methods there are the ``teacher``, which was not unlearned, the ``oracle``, trained without any corrupted
    row, and the ``reachable oracle``, trained without the known ones only. Where all are known the last two are one.

    Args:
        frame: one row for each unlearning run, see :func:`qlab.tracking.frames.latest_per_trial`.
        metrics: which.
    """
    keys = ["model", "corruption", "ratio", "method", KNOWN]
    work = completed(frame)
    parts = [_summary(work, metric).rename(columns={"kept": f"{metric}_n"}).set_index(keys) for metric in metrics]
    counted = ["runs", "left_out"]
    found = pd.concat([part.drop(columns=counted) for part in parts], axis=1)
    said = pd.concat([part[counted] for part in parts]).groupby(level=keys, dropna=False)
    return found.assign(runs=said["runs"].max(), left_out=said["left_out"].agg(joined)).reset_index()


def known_panels(frame: pd.DataFrame, metrics: Sequence[str] = SHOWN) -> list[Panel]:
    """A panel for each metric and model: a line over the known fraction for each method, and those to compare with.

    Args:
        frame: see :func:`known_table`.
        metrics: which.
    """
    work = completed(frame)
    every = [panel for metric in metrics for panel in metric_panels(_summary(work, metric), KNOWN, [metric], "method")]
    found = {line.name for panel in every for line in panel.lines}
    methods = sorted(found - _REFERENCES.keys())
    style = styles([*methods, *(name for name in _REFERENCES if name in found)])
    order = list(style)
    panels = [
        dataclasses.replace(
            panel,
            lines=tuple(
                dataclasses.replace(line, style=style[line.name])
                for line in sorted(panel.lines, key=lambda line: order.index(line.name))
            ),
        )
        for panel in every
    ]
    titles = list(dict.fromkeys(panel.title for panel in panels))
    return sorted(panels, key=lambda panel: titles.index(panel.title))  # those of a model side by side


def against_known(frame: pd.DataFrame, metrics: Sequence[str] = SHOWN) -> Any:
    """Metrics against the known fraction as a HoloViews object: lines, or of many methods heat maps.

    Args:
        frame: see :func:`known_table`.
        metrics: which, side by side.
    """
    panels = known_panels(frame, metrics)
    if any(len(panel.lines) > _MOST_LINES for panel in panels):
        return known_maps(frame, metrics)
    layout = drawn(panels, columns=len(metrics))
    for panel in layout:
        styled(panel, bokeh={"xlim": _FRACTIONS}, matplotlib={"xlim": _FRACTIONS, "aspect": 1.3})
    rows = -(-len(layout) // len(metrics))
    return styled(layout, bokeh={}, matplotlib={"fig_inches": (5.0 * len(metrics), 4.2 * rows)})


def known_maps(frame: pd.DataFrame, metrics: Sequence[str] = SHOWN) -> Any:
    """A heat map of methods by known fraction for each metric and model, see :mod:`qlab.views.heat_map`.

    Args:
        frame: see :func:`known_table`.
        metrics: which, side by side.
    """
    work = completed(frame)
    maps = []
    for metric in metrics:
        crossing = Crossing((KNOWN,), ("method",), metric)
        maps.append(grids(cells(with_references(work, metric), crossing, "method"), crossing, ()))
    # Those of one model beside each other: the maps of each metric come in the same order.
    return heat_map.drawn([grid for own in itertools.zip_longest(*maps) for grid in own if grid is not None])


def _summary(work: pd.DataFrame, metric: str) -> pd.DataFrame:
    return summary(with_references(work, metric), Axes(KNOWN, (metric,)), "unlearning")


def completed(frame: pd.DataFrame) -> pd.DataFrame:
    """The same runs with what their metrics mean where every row is known; those stand in each line that they end."""
    known = positions(frame, KNOWN)
    alarms = positions(frame, _ALARMS).fillna(0.0)
    whole = (known == 1.0) & (alarms == 0.0)
    work = frame.copy()
    for name, same in _IF_ALL_KNOWN.items():
        work[name] = np.where(whole, numbers_of(frame, same), numbers_of(frame, name))
    if WHICH not in frame:
        return work
    ways = [way for way in dict.fromkeys(frame.loc[known < 1.0, WHICH]) if isinstance(way, str)]
    ends = [work[known == 1.0].assign(**{WHICH: way}) for way in ways]
    return pd.concat([work[known != 1.0], *ends], ignore_index=True) if ways else work


def with_references(frame: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The runs, and as many for each line to compare methods with: they have the metric of what they are named after.

    Args:
        frame: one row for each unlearning run.
        metric: which.
    """
    own = [name for name in frame.columns if name.startswith("unlearner.")]
    told = [name for name in (names.TEACHER, KNOWN, WHICH, _ALARMS) if name in frame]
    parts = [frame]
    for name, metrics in _REFERENCES.items():
        rows = frame.assign(**{metric: numbers_of(frame, metrics[metric]) if metric in metrics else np.nan})
        # The same for all methods that are told the same of a model; but for estimators not each method has a run.
        rows = rows[rows[metric].notna()].drop_duplicates(told)
        parts.append(rows.assign(**{**dict.fromkeys(own), _METHOD: name}) if len(rows) else rows)
    return pd.concat([part for part in parts if len(part)], ignore_index=True)
