"""Resilience: accuracy against corruption ratio, and the training behind each point."""

from __future__ import annotations

import dataclasses
import io
from typing import Any, Final

import pandas as pd
import panel as pn
import panel_material_ui as pmui

from qlab.claims.table import VERDICT_NOTE, short
from qlab.errors import DataError
from qlab.explorer import design
from qlab.explorer.controls import Control, bound
from qlab.explorer.copying import scripts
from qlab.explorer.copying.origin import Origin
from qlab.explorer.drawing import nearest
from qlab.explorer.figure import Figure
from qlab.explorer.highlights import Hollow, Marks
from qlab.explorer.kinship import Kinship
from qlab.explorer.page import Page
from qlab.explorer.tables import PlacedTable, plain_table
from qlab.explorer.text import Text, heading
from qlab.reading.against import Against, against
from qlab.report.reference import matched, resilience_points
from qlab.tracking import frames, names
from qlab.tracking.groups import RATIO
from qlab.views.kept import measured
from qlab.views.labels import UNKNOWN, ratio_text, varying
from qlab.views.palette import coloured_by_model, styles
from qlab.views.readable import readable
from qlab.views.summary import labelled_trials
from qlab.views.sweeps import swept_numbers
from qlab.views.training import METRICS, curves_over_epochs, last_of
from qlab.words import counted

_HINT: Final = "Click a point, or a row of the table, to see the training behind it."

_BESIDE: Final = 300
"""Height of a panel of training curves, pixels."""

MOST_CHOSEN: Final = 100
"""So many of the runs behind a point are selected by a click: the address names each."""


@dataclasses.dataclass(frozen=True, eq=False)
class _Shown:
    drawn: Against
    params: list[str]
    corruptions: list[str]
    axes: list[str]
    kinship: Kinship


@dataclasses.dataclass(frozen=True, eq=False)
class _Training:
    history: pd.DataFrame
    labels: pd.Series[str]
    models: dict[str, str]
    metrics: list[str]


class ResiliencePage(Page):
    """Accuracy against ratio, a line for each group of trials that differ in seed only, or in what is chosen.

    Instead of the ratio any param of numbers can be the axis.
    """

    title = "Resilience"
    depends = ("experiment", "where", "group_by", "corruptions", "traces", "across")
    lit_by = ("runs", "points")

    def build(self) -> list[Any]:
        """The curves, the training behind a point, the groups."""
        self._published: pd.DataFrame | None = None
        self._shown: _Shown | None = None
        self._behind = 0
        self._group_by = Control(
            pmui.MultiChoice(label="Group by (all but the seed)", options=[], width=design.CONTROL),
            self.state,
            "group_by",
        )
        self._corruptions = Control(
            pmui.MultiChoice(label="Corruptions", options=[], width=design.CONTROL), self.state, "corruptions"
        )
        self._across = Control(pmui.Select(label="Across", options=[], **design.FIELD), self.state, "across")
        traces = bound(pmui.Switch(label="Every run"), self.state, "traces")
        reference = pmui.FileInput(label="Published points", accept=".csv", width=design.CONTROL)
        reference.param.watch(self._read_reference, "value")
        self.curve = Figure("resilience", self._clicked, narrowest=design.SHARED)
        self.training = Figure("training", height=_BESIDE)
        self._groups = PlacedTable(self._open_row, selectable=1, page_size=10)
        self._claims = pn.Column(sizing_mode="stretch_width")
        self._chosen = Text(_HINT, margin=(5, 10))
        self._going = Text(visible=False, margin=(0, 10))
        self.controls = [self._across.widget, self._group_by.widget, self._corruptions.widget, traces, reference]
        left = pn.Column(self.curve.view, self._going, sizing_mode="stretch_width")
        right = pn.Column(self._chosen, self.training.view, sizing_mode="stretch_width")
        self._beside = pn.Column(left, right, sizing_mode="stretch_width", stylesheets=[design.BESIDE])
        return [self._beside, heading("Groups"), self._groups.view, self._claims]

    def update(self) -> None:
        """Summarises the trials, and reads the training of those selected."""
        state = self.state
        experiment, where, group_by = state.experiment, state.where, list(state.group_by)
        corruptions, across = state.corruptions, state.across

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
            axes = [RATIO, *swept_numbers(trials)]
            whole = Kinship(self.context.reader.runs(experiment))
            return _Shown(against(trials, across, group_by), varying(trials), every, axes, whole)

        self.compute(compute, self._show)
        self.compute(lambda: self.context.reader.claims(experiment), self._show_claims, "claims")
        self._show_training()

    def _show(self, shown: _Shown) -> None:
        self._shown = shown
        state, drawn = self.state, shown.drawn
        self._group_by.offer([*shown.params, *(name for name in state.group_by if name not in shown.params)])
        self._corruptions.offer(shown.corruptions)
        self._across.offer(list(dict.fromkeys([*shown.axes, drawn.x])), drawn.x)
        if (drawn.table["model"] == UNKNOWN).all():
            self.curve.clear()
            self.say("The trials of this experiment do not have the params yet that describe them.")
            return
        published = None if self._published is None else matched(drawn.table["model"].unique(), self._published)
        self.curve.show(drawn.figure(published, state.traces), drawn.numbers, self._origin(shown))
        self._mark()
        going = len({one.run for one in drawn.going})
        self._going.object = f"Hollow markers: what {counted(going, 'run')} that still train have reached so far."
        self._going.visible = bool(going)
        self._groups.show(readable(drawn.numbers))

    def _origin(self, shown: _Shown) -> Origin:
        state = self.state
        corruptions = [name for name in state.corruptions if name in shown.corruptions]
        script = scripts.resilience(state.across, list(state.group_by), corruptions, state.traces, state.where)
        note = "" if self._published is None else "The published points are from your file: it leaves them out."
        return Origin(state.experiment, [str(run) for run in shown.drawn.runs["run_id"]], script, note=note)

    def light(self) -> None:
        """Rings the points behind which selected runs stand, and shows the training of those."""
        self._mark()
        self._show_training()

    def _mark(self) -> None:
        """Draws the rings, and hollow markers of what is not finished."""
        if self._shown is None:
            return
        drawn, chosen = self._shown.drawn, self._shown.kinship.of(self.selected)
        by_model = styles(drawn.table["model"].unique())
        marks: dict[int, Marks] = {}
        points = [point for point in drawn.points if not chosen.isdisjoint(point.runs)]
        for panel in range(len(drawn.panels)):
            rings = [(point.x, point.y) for point in points if point.panel == panel]
            going = [one for one in drawn.going if one.panel == panel]
            rings += [(one.x, one.y) for one in going if one.run in chosen]
            hollow = [
                Hollow(one.x, one.y, style.colour, style.bokeh_marker, one.said)
                for one in going
                for style in [by_model[one.model]]
            ]
            marks[panel] = Marks(rings=rings, hollow=hollow)
        self.curve.highlights.show(marks)

    def _show_claims(self, claims: pd.DataFrame) -> None:
        shown = [] if claims.empty else [heading("Claims"), plain_table(short(claims)), Text(VERDICT_NOTE)]
        self._claims.objects = shown

    def _clicked(self, panel: int, x: float, y: float) -> None:
        if self._shown is None:
            return
        drawn = self._shown.drawn
        here = [(p.x, p.y, p.runs) for p in drawn.points if p.panel == panel]
        here += [(one.x, one.y, (one.run,)) for one in drawn.going if one.panel == panel]
        if (found := nearest([(place, value) for place, value, _ in here], (x, y), drawn.log)) is not None:
            self._choose(list(here[found][2]))

    def _open_row(self, row: int) -> None:
        if self._shown is not None:
            drawn = self._shown.drawn
            self._choose(drawn.behind(drawn.table.iloc[row].to_dict()))

    def _choose(self, runs: list[str]) -> None:
        # Proxies take no address of thousands of ids.
        self._behind = len(runs)
        self.state.runs = runs[:MOST_CHOSEN]

    def _show_training(self) -> None:
        experiment, chosen = self.state.experiment, list(self.state.runs)

        def compute() -> _Training:
            frame = self.context.reader.runs(experiment)
            trials = frame[frame["run_id"].isin(chosen) & (frame["kind"] == names.TRIAL)]
            labelled = labelled_trials(trials)
            ratios = labelled["ratio"]
            written = {ratio: ratio_text(ratio, ratios.unique()) for ratio in ratios.unique()}
            at = [written.get(ratio, "-") for ratio in ratios]
            texts = [f"{model} at {text}" for model, text in zip(labelled["model"], at, strict=True)]
            running = [str(run) for run in trials.loc[trials["status"] == "RUNNING", "run_id"]]
            metrics = [*METRICS, *measured(trials)]
            history = self.context.reader.histories([str(run) for run in trials["run_id"]], metrics, running)
            labels = pd.Series(texts, index=trials["run_id"], dtype=str)
            return _Training(history, labels, dict(zip(trials["run_id"], labelled["model"], strict=True)), metrics)

        def show(found: _Training) -> None:
            labels = found.labels
            if labels.empty:
                self.training.clear()
                self._chosen.object = _HINT
                self._beside.css_classes = []
                return
            part = len(labels) == MOST_CHOSEN < self._behind
            more = f", the first of {self._behind:,} behind what was clicked" if part else ""
            self._chosen.object = f"Training of {counted(len(labels), 'selected trial')}{more}"
            colours = self._colours(found)
            script = scripts.training({str(run): label for run, label in labels.items()}, found.metrics, colours)
            origin = Origin(experiment, [str(run) for run in labels.index], script, last_of(found.history, labels))
            self.training.show(curves_over_epochs(found.history, labels, colours), found.history, origin)
            self._beside.css_classes = ["beside"]

        self.compute(compute, show, "training")

    def _colours(self, found: _Training) -> dict[str, str]:
        """The colours of training curves: those that their models have beside them."""
        drawn = None if self._shown is None else self._shown.drawn
        above = {} if drawn is None else dict(zip(drawn.runs["run_id"], drawn.runs["model"], strict=True))
        models = [] if drawn is None else [str(model) for model in drawn.table["model"].unique()]
        of = {str(label): str(above.get(run, found.models[str(run)])) for run, label in found.labels.items()}
        return coloured_by_model(of, models)

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
