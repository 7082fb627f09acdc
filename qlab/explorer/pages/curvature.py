"""Curvature: spectra, traces with their two terms, and the landscape roughening ratio."""

from __future__ import annotations

import dataclasses
from typing import Any

import pandas as pd
import panel as pn
import panel_material_ui as pmui

from qlab.explorer import design
from qlab.explorer.copying import scripts
from qlab.explorer.copying.origin import Origin
from qlab.explorer.figure import Figure
from qlab.explorer.page import Page
from qlab.explorer.tables import plain_table
from qlab.explorer.text import heading
from qlab.landscape.result import ProbeResult
from qlab.tracking import frames, names
from qlab.views.curvature import figures_of, summarize_probes
from qlab.views.landscape import draw
from qlab.views.readable import readable
from qlab.views.titles import titled


@dataclasses.dataclass(frozen=True, eq=False)
class _Shown:
    table: pd.DataFrame
    runs: dict[str, str]
    every: list[str]
    names: dict[str, str]


class CurvaturePage(Page):
    """What probes found: summaries over seeds, and the picture of any single result."""

    title = "Curvature"
    depends = ("experiment", "where", "runs")

    def build(self) -> list[Any]:
        """Figures of all probes, then one result."""
        self.roughening = Figure("roughening")
        self.hessian = Figure("hessian")
        self.under_noise = Figure("under_noise")
        self.single = Figure("probe")
        self._names: dict[str, str] = {}
        self._one = pmui.Select(label="One result", options=[], **design.FIELD, searchable=True)
        self._one.param.watch(lambda _: self._show_one(), "value")
        self._table = pn.Column(sizing_mode="stretch_width")
        self.controls = [self._one]
        self._heading = heading("One result")
        self._heading.visible = False
        return [
            self.roughening.view,
            self.hessian.view,
            self.under_noise.view,
            self._heading,
            self.single.view,
            self._table,
        ]

    def update(self) -> None:
        """Reads the probes' runs and their summary."""
        experiment, where = self.state.experiment, self.state.where

        def compute() -> _Shown:
            frame = self.context.reader.runs(experiment, where)
            runs = frames.latest_per_trial(frame[frame["kind"] == names.PROBE])
            if runs.empty:
                raise self.nothing("probes", "An experiment that has some: qlab run xxz_hessian")
            done = runs[runs["status"] == "FINISHED"]
            labels = done["name"].astype(str) + " (" + done["run_id"].str[:6] + ")"
            return _Shown(
                summarize_probes(runs, frames.metric_columns(runs)),
                dict(zip(labels, done["run_id"].astype(str), strict=True)),
                [str(run) for run in runs["run_id"]],
                dict(zip(done["run_id"].astype(str), done["name"].astype(str), strict=True)),
            )

        self.compute(compute, self._show)

    def _show(self, shown: _Shown) -> None:
        drawn = figures_of(shown.table)
        figures = {"roughening": self.roughening, "hessian": self.hessian, "under_noise": self.under_noise}
        for name, figure in figures.items():
            if name in drawn:
                draws = drawn[name]
                script = scripts.probes(draws.__name__, self.state.where)
                figure.show(draws(shown.table), shown.table, Origin(self.state.experiment, shown.every, script))
            else:
                figure.clear()
        self._names = shown.names
        selected = [run for run in shown.runs.values() if run in self.state.runs]
        self._one.options = shown.runs
        self._heading.visible = bool(shown.runs)
        if selected:
            self._one.value = selected[0]
        elif shown.runs and self._one.value not in shown.runs.values():
            self._one.value = next(iter(shown.runs.values()))
        self._table.objects = [plain_table(readable(shown.table), pagination="remote", page_size=10)]

    def _show_one(self) -> None:
        run_id = self._one.value
        if not run_id:
            return
        title = self._names.get(str(run_id), "")

        def show(result: ProbeResult) -> None:
            numbers = pd.DataFrame(list(result.scalars.items()), columns=["name", "value"])
            origin = Origin(self.state.experiment, [str(run_id)], scripts.probe(str(run_id), title))
            self.single.show(titled(draw(result), title), numbers, origin)

        self.compute(lambda: self.context.reader.result(run_id), show, "result")
