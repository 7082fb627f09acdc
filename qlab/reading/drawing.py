"""The figures of an experiment as HoloViews objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from qlab.errors import ConfigError, DataError
from qlab.reading.axes import Axes
from qlab.reading.histories import Histories
from qlab.reading.summaries import x_column
from qlab.reading.tables import WORDS, Parts, summaries_of, table_of
from qlab.reading.tidy import Kind
from qlab.tracking.store import Store
from qlab.views.curvature import figures_of
from qlab.views.lines import Panel, drawn, metric_panels, step_panels
from qlab.views.resilience import accuracy_against_ratio
from qlab.views.unlearning import DRAWN, accuracy_against_step, curves_of, history_of


def figure_of(store: Store, parts: Parts, axes: Axes | None, kind: Kind, *, log_x: bool = False) -> Any:
    """A figure of runs: what is asked for, or without that the one that sums them up.

    Raises:
        DataError: there is nothing to draw.
    """
    if not parts:
        raise DataError(f"There are no {WORDS[kind]} here.")
    if axes is not None:
        panels = panels_of(store, parts, axes, kind)
        check_positive(panels, log_x=log_x)
        return drawn(panels, log_x=log_x, columns=min(2, len(axes.y)))
    if kind == "trials":
        table = summaries_of(parts, kind)
        return accuracy_against_ratio(_named(table, "corruption"))
    if kind == "unlearning":
        return accuracy_against_step(_named(_curves(store, parts), "model"), _named(summaries_of(parts, kind), "model"))
    table = _named(summaries_of(parts, kind), "model")
    figures = [draw(table) for draw in figures_of(table).values()]
    if not figures:
        raise DataError(
            "There is nothing to draw: qlab draws roughening ratios, Hessian traces and accuracies under other noise; "
            "results.table(of='probes') has what others measured."
        )
    return figures[0] if len(figures) == 1 else sum(figures[1:], figures[0]).cols(2)


def panels_of(store: Store, parts: Parts, axes: Axes | None, kind: Kind) -> list[Panel]:
    """Lines in panels for a figure; unlearning runs over steps if nothing else is asked for.

    Raises:
        DataError: there is nothing to draw.
    """
    if not parts:
        raise DataError(f"There are no {WORDS[kind]} here.")
    if axes is None:
        if kind != "unlearning":
            raise DataError(f"There is nothing to draw of {kind} without a metric.")
        curves = _curves(store, parts)
        if curves.empty:
            raise DataError("There is nothing to draw: no unlearning run has finished.")
        return step_panels(curves, summaries_of(parts, kind), DRAWN)
    line = {"trials": "model", "unlearning": "method", "probes": "model"}[kind]
    return metric_panels(table_of(parts, axes, kind), x_column(axes), axes.y, line)


def check_positive(panels: Sequence[Panel], *, log_x: bool = False, log_y: bool = False) -> None:
    """Sees to it that logarithmic axes show all that there is.

    Raises:
        ConfigError: some of it is zero or negative.
    """
    for panel in panels:
        for line in panel.lines:
            for asked, values, option, what in (
                (log_x, line.x, "log_x", panel.xlabel),
                (log_y, line.mean, "log_y", panel.ylabel),
            ):
                if asked and (values <= 0).any():
                    raise ConfigError(
                        f"{option}: {what} has the value {values.min():g} ({line.name}), which a logarithmic axis does "
                        f"not show; leave {option} out."
                    )


def _curves(store: Store, parts: Parts) -> pd.DataFrame:
    """Means over steps of unlearning runs, see :func:`qlab.views.unlearning.curves_of`."""
    found = []
    for name, frame in parts:
        history = history_of(frame, Histories(store, list(frame["run_id"])))
        if not history.empty:
            curves = curves_of(history)
            found.append(curves if len(parts) == 1 else curves.assign(experiment=name))
    columns = ["model", "corruption", "ratio", "method", "metric", "step", "mean", "deviation", "kept"]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=columns)


def _named(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """A table in which the experiments' names are part of one of the columns, if there are several."""
    if "experiment" not in table:
        return table
    return table.assign(**{column: table["experiment"].astype(str) + ": " + table[column].astype(str)})
