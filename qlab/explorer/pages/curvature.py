"""Curvature: spectra, traces with their two terms, and the landscape roughening ratio."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import pandas as pd
import panel as pn
import panel_material_ui as pmui

from qlab.explorer import design
from qlab.explorer.copying import scripts
from qlab.explorer.copying.origin import Origin
from qlab.explorer.drawing import nearest
from qlab.explorer.figure import Figure
from qlab.explorer.highlights import Marks
from qlab.explorer.kinship import Kinship
from qlab.explorer.page import Page
from qlab.explorer.tables import plain_table
from qlab.explorer.text import heading
from qlab.landscape.result import ProbeResult
from qlab.tracking import frames, names
from qlab.views.behind import IDS, without_behind
from qlab.views.curvature import DRAWN, figures_of, summarize_probes, with_probed
from qlab.views.landscape import draw
from qlab.views.readable import readable
from qlab.views.titles import titled


@dataclasses.dataclass(frozen=True, eq=False)
class _Shown:
    table: pd.DataFrame
    runs: dict[str, str]
    every: list[str]
    names: dict[str, str]
    kinship: Kinship


class CurvaturePage(Page):
    """What probes found: summaries over seeds, and the picture of any single result."""

    title = "Curvature"
    depends = ("experiment", "where")
    lit_by = ("runs", "points")

    def build(self) -> list[Any]:
        """Figures of all probes, then one result."""
        self.roughening = Figure("roughening", functools.partial(self._clicked, "roughening"))
        self.hessian = Figure("hessian", functools.partial(self._clicked, "hessian"))
        self.under_noise = Figure("under_noise", functools.partial(self._clicked, "under_noise"))
        self._shown: _Shown | None = None
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
                with_probed(summarize_probes(runs, frames.metric_columns(runs)), runs),
                dict(zip(labels, done["run_id"].astype(str), strict=True)),
                [str(run) for run in runs["run_id"]],
                dict(zip(done["run_id"].astype(str), done["name"].astype(str), strict=True)),
                Kinship(self.context.reader.runs(experiment)),
            )

        self.compute(compute, self._show)

    def _show(self, shown: _Shown) -> None:
        self._shown = shown
        drawn, numbers = figures_of(shown.table), without_behind(shown.table)
        for name, figure in self._figures().items():
            if name in drawn:
                draws = drawn[name]
                script = scripts.probes(draws.__name__, self.state.where)
                figure.show(draws(shown.table), numbers, Origin(self.state.experiment, shown.every, script))
            else:
                figure.clear()
        self._names = shown.names
        self._one.options = shown.runs
        self._heading.visible = bool(shown.runs)
        if shown.runs and self._one.value not in shown.runs.values():
            self._one.value = next(iter(shown.runs.values()))
        self.light()
        self._table.objects = [plain_table(readable(numbers), pagination="remote", page_size=10)]

    def light(self) -> None:
        """Rings the points behind which selected runs stand, and shows the result of the first of them."""
        if self._shown is None:
            return
        shown, chosen = self._shown, self._shown.kinship.of(self.selected)
        for name, figure in self._figures().items():
            marks = {
                panel: Marks(rings=[place for place, runs in self._places(name, panel) if not chosen.isdisjoint(runs)])
                for panel in range(len(DRAWN[name][1]))
            }
            figure.highlights.show(marks)
        selected = [run for run in shown.runs.values() if run in chosen]
        if selected and self._one.value not in selected:
            self._one.value = selected[0]

    def _figures(self) -> dict[str, Figure]:
        return {"roughening": self.roughening, "hessian": self.hessian, "under_noise": self.under_noise}

    def _places(self, name: str, panel: int) -> list[tuple[tuple[float, float], tuple[str, ...]]]:
        """The points of a panel, with the runs behind them."""
        if self._shown is None:
            return []
        kind, panels = DRAWN[name]
        table = self._shown.table
        rows = table[(table["probe_type"] == kind) & table["metric"].isin(panels[panel])]
        rows = rows[rows["mean"].notna() & rows["ratio"].notna()]
        return [((float(row["ratio"]), float(row["mean"])), row[IDS]) for row in rows.to_dict("records")]

    def _clicked(self, name: str, panel: int, x: float, y: float) -> None:
        """Selects the runs behind a point."""
        places = self._places(name, panel)
        if (found := nearest([place for place, _ in places], (x, y))) is not None:
            self.state.runs = list(places[found][1])

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
