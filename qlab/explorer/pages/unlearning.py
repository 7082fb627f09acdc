"""Unlearning: methods side by side, over their steps and at their end."""

from __future__ import annotations

import dataclasses
from typing import Any

import pandas as pd
import panel as pn
import panel_material_ui as pmui

from qlab.explorer import design
from qlab.explorer.controls import Control
from qlab.explorer.figure import Figure
from qlab.explorer.page import Page
from qlab.explorer.pages.margins import Margins
from qlab.explorer.tables import plain_table
from qlab.reading.known import against_known, known_table, sweeps_known
from qlab.tracking import frames, names
from qlab.views.kept import measured
from qlab.views.relearning import (
    relearning_curves,
    relearning_history,
    relearning_metrics,
    relearning_table,
    was_audited,
)
from qlab.views.summary import rounded
from qlab.views.unlearning import (
    DRAWN,
    accuracy_against_step,
    curves_of,
    final_bars,
    history_of,
    label_runs,
    summarize_unlearning,
    trade_off,
)
from qlab.views.words import APART, TITLES


@dataclasses.dataclass(frozen=True, eq=False)
class _Shown:
    runs: pd.DataFrame
    table: pd.DataFrame
    curves: pd.DataFrame
    methods: list[str]
    known: pd.DataFrame | None
    relearned: pd.DataFrame | None


class UnlearningPage(Page):
    """Every metric against the unlearning step, the ends as bars, and what is forgotten against what is kept."""

    title = "Unlearning"
    depends = ("experiment", "where", "methods", "metrics")

    def build(self) -> list[Any]:
        """What to show; curves, bars, trade-off and table."""
        self._methods = Control(
            pmui.MultiChoice(label="Methods", options=[], width=design.CONTROL), self.state, "methods"
        )
        metrics = pmui.MultiChoice(label="Metrics", options=list(TITLES), width=design.CONTROL)
        self._metrics = Control(metrics, self.state, "metrics")
        self.curves = Figure("unlearning_curves")
        self.bars = Figure("unlearning_final")
        self.trade = Figure("unlearning_trade_off")
        self.known = Figure("unlearning_known")
        self.relearning = Figure("unlearning_relearning")
        self.margins = Figure("unlearning_margins")
        self._margins = Margins(self, self.margins)
        self._table = pn.Column(sizing_mode="stretch_width")
        tabs = pmui.Tabs(
            ("Over steps", self.curves.view),
            ("At the end", self.bars.view),
            ("Trade-off", self.trade.view),
            ("Known rows", self.known.view),
            ("Relearning", self.relearning.view),
            ("Margins", self._margins.view),
            ("Table", self._table),
        )
        self.controls = [self._methods.widget, self._metrics.widget]
        return [tabs]

    def update(self) -> None:
        """Reads the methods' runs and their histories."""
        experiment, where = self.state.experiment, self.state.where
        wanted, metrics = (
            list(self.state.methods),
            [name for name in self.state.metrics if name in (*TITLES, *APART)] or list(DRAWN),
        )

        def compute() -> _Shown:
            frame = self.context.reader.runs(experiment, where)
            runs = frames.latest_per_trial(frame[frame["kind"] == names.UNLEARNING])
            if runs.empty:
                raise self.nothing("unlearning runs", "Run: qlab run xxz_unlearn")
            labels = label_runs(runs)["method"]
            methods = sorted(labels.unique())
            if set(wanted) & set(methods):
                runs = runs[labels.isin(wanted)]
            series = self.context.reader.series([str(run) for run in runs["run_id"]], metrics)
            history = history_of(runs, lambda run, metric: series[run, metric], metrics)
            curves = history if history.empty else curves_of(history)
            known = known_table(runs) if sweeps_known(runs) else None
            relearned = self._relearned(runs) if was_audited(runs) else None
            return _Shown(runs, summarize_unlearning(runs), curves, methods, known, relearned)

        self.compute(compute, self._show)

    def _relearned(self, runs: pd.DataFrame) -> pd.DataFrame:
        """The values of relearning curves."""
        series = self.context.reader.series([str(run) for run in runs["run_id"]], relearning_metrics(runs))
        return relearning_history(runs, lambda run, metric: series[run, metric])

    def _show(self, shown: _Shown) -> None:
        self._methods.offer(shown.methods)
        own = measured(shown.runs)
        apart = [name for name in APART if name in shown.runs and shown.runs[name].notna().any()]
        self._metrics.offer([*TITLES, *apart, *own])
        metrics = [name for name in self.state.metrics if name in (*TITLES, *apart)] or list(DRAWN)
        if shown.curves.empty:
            self.curves.clear()
            self.bars.clear()
            self.trade.clear()
            self.known.clear()
            self.relearning.clear()
            self.say("No unlearning run has finished yet.")
        else:
            drawn = accuracy_against_step(shown.curves, shown.table, metrics=metrics)
            self.curves.show(drawn, shown.curves)
            asked = [name for name in self.state.metrics if name in (*TITLES, *apart, *own)]
            final = [name for name in asked if f"{name}_mean" in shown.table] or list(DRAWN)
            self.bars.show(final_bars(shown.table, final), shown.table)
            self.trade.show(trade_off(shown.runs), shown.runs)
            if shown.known is None:
                self.known.clear()
            else:
                self.known.show(against_known(shown.runs), shown.known)
            if shown.relearned is None or shown.relearned.empty:
                self.relearning.clear()
            else:
                self.relearning.show(relearning_curves(shown.relearned, shown.runs), relearning_table(shown.relearned))
        self._margins.show(shown.runs)
        self._table.objects = [plain_table(rounded(shown.table), pagination="remote", page_size=12)]
