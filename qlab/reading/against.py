"""Trials against a param: means with the runs behind each, single runs that still train, and where each is drawn."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qlab.reading.axes import Axes, number_param, positions
from qlab.reading.summaries import grouped, summary
from qlab.tracking import names
from qlab.tracking.groups import RATIO
from qlab.views.behind import IDS, key_of, said, with_behind, without_behind
from qlab.views.lines import drawn as drawn_lines
from qlab.views.lines import metric_panels, panel_groups
from qlab.views.resilience import accuracy_against_ratio, panels_of
from qlab.views.slices import is_log
from qlab.views.summary import METRICS, labelled_trials, summarize

_RUNNING: Final = "RUNNING"


@dataclasses.dataclass(frozen=True)
class Point:
    """A mean that is drawn.

    Args:
        panel: number of its panel.
        x: its place.
        y: its value.
        model: the label of its line.
        runs: ids of the runs behind it.
    """

    panel: int
    x: float
    y: float
    model: str
    runs: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Going:
    """What a run that still trains has reached so far.

    Args:
        panel: number of the panel of the metric.
        x: its place.
        y: its last value.
        model: the label of its line.
        run: its id.
        said: who it is and how far, in words.
    """

    panel: int
    x: float
    y: float
    model: str
    run: str
    said: str


@dataclasses.dataclass(frozen=True, eq=False)
class Against:
    """Metrics of trials against a param.

    Args:
        table: a row for each point, see :func:`qlab.views.summary.summarize` or
            :func:`qlab.reading.summaries.summary`; with a column :data:`~qlab.views.behind.BEHIND`.
        runs: a row for each trial: ``run_id``, ``seed``, ``status``, ``so_far``, labels, place and metrics.
        x: the param.
        keys: columns of both that tell points apart.
        panels: what each panel shows: the metric, and the rows of the table.
    """

    table: pd.DataFrame
    runs: pd.DataFrame
    x: str
    keys: tuple[str, ...]
    panels: tuple[tuple[str, pd.DataFrame], ...]

    @property
    def column(self) -> str:
        """The column that holds the places."""
        return "ratio" if self.x == RATIO else self.x

    @property
    def log(self) -> bool:
        """Whether places span so much that the axis is logarithmic."""
        return self.x != RATIO and spans_decades(self.table[self.column].to_numpy(dtype=float))

    @property
    def numbers(self) -> pd.DataFrame:
        """The table, for files."""
        return without_behind(self.table)

    def behind(self, row: Mapping[Any, Any]) -> list[str]:
        """Ids of the runs behind a row of the table, those that are left out among them."""
        return list(row[IDS])

    @functools.cached_property
    def points(self) -> list[Point]:
        """The means, with the runs behind them, those that are left out among them."""
        found = []
        for panel, (metric, rows) in enumerate(self.panels):
            for row in rows.to_dict("records"):
                x, y = float(row[self.column]), float(row[f"{metric}_mean"])
                if np.isfinite([x, y]).all():
                    found.append(Point(panel, x, y, str(row["model"]), tuple(self.behind(row))))
        return found

    @functools.cached_property
    def going(self) -> list[Going]:
        """What the trials that still train have reached."""
        running = self.runs[self.runs["status"] == _RUNNING]
        return list(self._going(running)) if len(running) else []

    def _going(self, running: pd.DataFrame) -> Iterator[Going]:
        known = [{key_of(row, self.keys) for row in rows.to_dict("records")} for _, rows in self.panels]
        for run in running.to_dict("records"):
            key = key_of(run, self.keys)
            for panel, (metric, _) in enumerate(self.panels):
                x, y = float(run[self.column]), float(run.get(metric, np.nan))
                if key in known[panel] and np.isfinite([x, y]).all():
                    words = f"{said(pd.DataFrame([run]))}, {run['so_far']}"
                    yield Going(panel, x, y, str(run["model"]), str(run["run_id"]), words)

    def figure(self, published: pd.DataFrame | None = None, traces: bool = False) -> object:
        """The figure as a HoloViews object.

        Args:
            published: see :func:`qlab.views.resilience.accuracy_against_ratio`; only against the ratio.
            traces: whether single runs are drawn; only against the ratio.
        """
        if self.x == RATIO:
            return accuracy_against_ratio(self.table, published, self.runs if traces else None)
        metrics = list(dict.fromkeys(metric for metric, _ in self.panels))
        panels = metric_panels(self.table, self.x, metrics)
        return drawn_lines(panels, log_x=self.log, columns=len(metrics))


def against(trials: pd.DataFrame, x: str = "", group_by: Sequence[str] = ()) -> Against:
    """Training and validation accuracy, test accuracy and metrics of one's own, against a param.

    Args:
        trials: one row for each, see :func:`qlab.tracking.frames.latest_per_trial`.
        x: a param of numbers, or the end of its name; empty: the corruption ratio.
        group_by: params that tell models apart; empty: all that differ.

    Raises:
        ConfigError: there is no such param, or its values are no numbers.
    """
    axis = number_param(trials, x, "across") if x else RATIO
    runs = labelled_trials(trials, group_by)
    plain = summarize(trials, group_by)
    metrics = [metric for metric, _ in panels_of(plain)]
    keys: tuple[str, ...] = ("model", "corruption", "ratio")
    if axis == RATIO:
        table = with_behind(plain, runs, keys)
        rows = [own for _, own in table.groupby("corruption", sort=False, dropna=False)]
        panels = [(metric, own) for own in rows for metric in metrics]
    else:
        chosen = Axes(axis, tuple(metric for metric in metrics if metric in METRICS), tuple(group_by))
        labels = grouped(trials, chosen, "trials")
        keys = (*keys, axis)
        runs = runs.assign(**{name: labels[name] for name in keys}, kept=labels["reason"] == "")
        table = with_behind(summary(trials, chosen, "trials"), runs, keys)
        panels = [(metric, own) for _, own in panel_groups(table, axis) for metric in chosen.y]
    epochs = positions(trials, "training.epochs")
    runs = runs.assign(so_far=[_so_far(step, of) for step, of in zip(_steps(trials), epochs, strict=True)])
    return Against(table, runs, axis, keys, tuple(panels))


def spans_decades(values: NDArray[np.float64]) -> bool:
    """Whether positive values span more than a factor of :data:`~qlab.views.slices.LOG_RANGE`."""
    known = values[np.isfinite(values)]
    return len(known) > 1 and is_log((float(known.min()), float(known.max())))


def _steps(trials: pd.DataFrame) -> list[int]:
    """The last epoch that a running trial has logged."""
    seen = trials.get(names.SEEN, pd.Series([None] * len(trials)))
    return [own[0] if isinstance(own, tuple) else 0 for own in seen]


def _so_far(step: int, epochs: float) -> str:
    of = f" of {epochs:.0f}" if np.isfinite(epochs) else ""
    return f"running, epoch {step}{of}" if step else "running"
