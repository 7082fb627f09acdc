"""Resilience: accuracy against corruption ratio, and the training behind each point."""

from __future__ import annotations

import dataclasses
import io
from typing import Any

import pandas as pd
import panel as pn
import panel_material_ui as pmui

from qlab.claims.table import VERDICT_NOTE, short
from qlab.errors import DataError
from qlab.explorer import design
from qlab.explorer.controls import Control, bound
from qlab.explorer.figure import Figure
from qlab.explorer.page import Page
from qlab.explorer.tables import plain_table
from qlab.explorer.text import Text, heading
from qlab.report.reference import matched, resilience_points
from qlab.tracking import frames, names
from qlab.views.kept import measured
from qlab.views.labels import UNKNOWN, ratio_text, varying
from qlab.views.resilience import accuracy_against_ratio, panels_of
from qlab.views.summary import labelled_trials, rounded, summarize
from qlab.views.training import METRICS, curves_over_epochs


@dataclasses.dataclass(frozen=True, eq=False)
class _Shown:
    table: pd.DataFrame
    trials: pd.DataFrame
    params: list[str]
    corruptions: list[str]


class ResiliencePage(Page):
    """Accuracy against ratio, a line for each group of trials that differ in seed only, or in what is chosen."""

    title = "Resilience"
    depends = ("experiment", "where", "group_by", "corruptions", "traces", "runs")

    def build(self) -> list[Any]:
        """The curves, the training behind a point, the groups."""
        self._published: pd.DataFrame | None = None
        self._shown: _Shown | None = None
        self._group_by = Control(
            pmui.MultiChoice(label="Group by (all but the seed)", options=[], width=design.CONTROL),
            self.state,
            "group_by",
        )
        self._corruptions = Control(
            pmui.MultiChoice(label="Corruptions", options=[], width=design.CONTROL), self.state, "corruptions"
        )
        traces = bound(pmui.Switch(label="Every run"), self.state, "traces")
        reference = pmui.FileInput(label="Published points", accept=".csv", width=design.CONTROL)
        reference.param.watch(self._read_reference, "value")
        self.curve = Figure("resilience", self._clicked)
        self.training = Figure("training")
        self._groups = pn.Column(sizing_mode="stretch_width")
        self._claims = pn.Column(sizing_mode="stretch_width")
        self._chosen = Text("Click a point, or a row of the table, to see the training behind it.", margin=(5, 10))
        self.controls = [self._group_by.widget, self._corruptions.widget, traces, reference]
        return [
            self.curve.view,
            self._chosen,
            self.training.view,
            heading("Groups"),
            self._groups,
            self._claims,
        ]

    def update(self) -> None:
        """Summarises the trials, and reads the training of those selected."""
        state = self.state
        experiment, where, group_by, corruptions = (
            state.experiment,
            state.where,
            list(state.group_by),
            state.corruptions,
        )

        def compute() -> _Shown:
            frame = self.context.reader.runs(experiment, where)
            trials = frames.latest_per_trial(frame[frame["kind"] == names.TRIAL])
            if trials.empty:
                raise self.nothing("trials", "Run: qlab run xxz_flip")
            every = (
                sorted(trials["corruption.type"].dropna().astype(str).unique()) if "corruption.type" in trials else []
            )
            wanted = [name for name in corruptions if name in every]
            if wanted:
                trials = trials[trials["corruption.type"].isin(wanted)]
            return _Shown(summarize(trials, group_by), labelled_trials(trials, group_by), varying(trials), every)

        self.compute(compute, self._show)
        self.compute(lambda: self.context.reader.claims(experiment), self._show_claims, "claims")
        self._show_training()

    def _show(self, shown: _Shown) -> None:
        self._shown = shown
        self._group_by.offer([*shown.params, *(name for name in self.state.group_by if name not in shown.params)])
        self._corruptions.offer(shown.corruptions)
        if (shown.table["model"] == UNKNOWN).all():
            self.curve.clear()
            self.say("The trials of this experiment do not have the params yet that describe them.")
            return
        published = None if self._published is None else matched(shown.table["model"].unique(), self._published)
        traces = shown.trials if self.state.traces else None
        self.curve.show(accuracy_against_ratio(shown.table, published, traces), shown.table)
        table = plain_table(rounded(shown.table), selectable=1, pagination="remote", page_size=10)
        table.on_click(lambda event: self._choose(self._rows(shown.table.iloc[event.row])))
        self._groups.objects = [table]

    def _show_claims(self, claims: pd.DataFrame) -> None:
        shown = [] if claims.empty else [heading("Claims"), plain_table(short(claims)), Text(VERDICT_NOTE)]
        self._claims.objects = shown

    def _clicked(self, panel: int, x: float, y: float) -> None:
        if self._shown is None:
            return
        metrics = [metric for metric, _ in panels_of(self._shown.table)]
        corruption = self._shown.table["corruption"].unique()[panel // len(metrics)]
        own = self._shown.table[self._shown.table["corruption"] == corruption]
        distance = (own["ratio"] - x) ** 2 + (own[f"{metrics[panel % len(metrics)]}_mean"] - y) ** 2
        distance = distance.fillna(float("inf"))
        if len(own) and distance.min() < 0.05**2:
            self._choose(self._rows(own.iloc[int(distance.to_numpy().argmin())]))

    def _rows(self, group: Any) -> list[str]:
        """The runs of a row of the summary."""
        assert self._shown is not None
        trials = self._shown.trials
        same = (trials["model"] == group["model"]) & (trials["corruption"] == group["corruption"])
        at = trials["ratio"].isna() if pd.isna(group["ratio"]) else trials["ratio"] == group["ratio"]
        return [str(run) for run in trials.loc[same & at, "run_id"]]

    def _choose(self, runs: list[str]) -> None:
        self.state.runs = runs

    def _show_training(self) -> None:
        experiment, chosen = self.state.experiment, list(self.state.runs)

        def compute() -> tuple[pd.DataFrame, pd.Series[str]]:
            frame = self.context.reader.runs(experiment)
            trials = frame[frame["run_id"].isin(chosen) & (frame["kind"] == names.TRIAL)]
            labelled = labelled_trials(trials)
            ratios = labelled["ratio"]
            labels = [
                f"{model} at {ratio_text(ratio, ratios)}"
                for model, ratio in zip(labelled["model"], ratios, strict=True)
            ]
            running = [str(run) for run in trials.loc[trials["status"] == "RUNNING", "run_id"]]
            metrics = [*METRICS, *measured(trials)]
            history = self.context.reader.histories([str(run) for run in trials["run_id"]], metrics, running)
            return history, pd.Series(labels, index=trials["run_id"], dtype=str)

        def show(found: tuple[pd.DataFrame, pd.Series[str]]) -> None:
            history, labels = found
            if labels.empty:
                self.training.clear()
                self._chosen.object = "Click a point, or a row of the table, to see the training behind it."
                return
            self._chosen.object = f"Training of {len(labels)} selected trials"
            self.training.show(curves_over_epochs(history, labels), history)

        self.compute(compute, show, "training")

    def _read_reference(self, event: Any) -> None:
        if not event.new:
            self._published = None
        else:
            try:
                self._published = resilience_points(pd.read_csv(io.BytesIO(event.new)))
            except (ValueError, KeyError, TypeError, DataError) as error:
                self.say(f"The file of published points cannot be read: {error}")
                return
        self.update()
