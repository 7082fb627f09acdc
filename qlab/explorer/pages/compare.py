"""Compare: two to four groups of runs, or single runs, side by side."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import pandas as pd
import panel as pn
import panel_material_ui as pmui

from qlab.errors import QlabError
from qlab.explorer import design
from qlab.explorer.controls import Control, bound
from qlab.explorer.copying.origin import Origin
from qlab.explorer.figure import Figure
from qlab.explorer.page import Page
from qlab.explorer.pages.compared_landscapes import LandscapesTab
from qlab.explorer.pages.samples import SamplesTab
from qlab.explorer.tables import plain_table
from qlab.explorer.text import Text, heading
from qlab.reading.compare import BY, By, Group, differing, groups_of, metrics_of
from qlab.reading.compared_curves import curve_table, difference_table, end_table, in_words
from qlab.tracking import names
from qlab.views.compare import compared_curves, compared_differences, looks_of
from qlab.views.kept import measured
from qlab.views.labels import label_models
from qlab.views.words import APART, TITLES, named
from qlab.words import counted

TABS = ("Curves", "Settings", "Samples", "Landscapes")

_USUAL = ("validation_accuracy", "forget_accuracy_polluted", "train_accuracy", "validation_loss", "train_loss")
"""Of these the first two that have a curve are drawn where nothing else is asked for."""

_SEEDS = 8
"""Of so many seeds each is named."""

_BY = {"selected runs, by group": "groups", "every seed of their groups": "every seed", "single runs": "runs"}

_NOTE = "Mean ± sample standard deviation over seeds; differences by seed, with Student's 95 % interval of their mean."


@dataclasses.dataclass(frozen=True, eq=False)
class _Shown:
    groups: list[Group]
    reference: Group
    looks: dict[str, Any]
    offered: list[str]
    place: str
    curves: pd.DataFrame
    differences: pd.DataFrame
    ends: pd.DataFrame
    apart: list[str]


class ComparePage(Page):
    """What selected groups differ in, their curves and differences by seed, samples they disagree on, landscapes."""

    title = "Compare"
    depends = ("experiment", "runs", "compare_by", "compare_metrics", "reference")

    def build(self) -> list[Any]:
        """What the groups are; then tabs of curves, settings that differ, samples and landscapes."""
        state = self.state
        self._read: _Shown | None = None
        by = pmui.Select(label="Side by side", options=_BY, **design.FIELD)
        self._reference = Control(pmui.Select(label="Reference", options=[], **design.FIELD), state, "reference")
        self._metrics = Control(
            pmui.MultiChoice(label="Metrics", options={}, width=design.CONTROL), state, "compare_metrics"
        )
        self.controls = [bound(by, state, "compare_by"), self._reference.widget, self._metrics.widget]
        self.curves, self.differences = Figure("compare_curves"), Figure("compare_differences")
        self.samples = Figure("compare_samples", lambda *place: self._samples.clicked(*place), height=460)
        self._samples = SamplesTab(self, self.samples)
        self._groups = Text("")
        self._config = pn.Column(sizing_mode="stretch_width")
        self._apart = Text("", visible=False)
        self._ends = pn.Column(sizing_mode="stretch_width")
        curves = pn.Column(
            self.curves.view, self._apart, self.differences.view, self._ends, sizing_mode="stretch_width"
        )
        self.landscapes = Figure("compare_landscapes")
        self._landscapes = LandscapesTab(self, self.landscapes)
        views = (curves, self._config, self._samples.view, self._landscapes.view)
        self._tabs = pmui.Tabs(*zip(TABS, views, strict=True), active=self._active)
        self._tabs.param.watch(lambda event: setattr(state, "compare_tab", TABS[event.new]), "active")
        state.param.watch(lambda _: self._turn(), "compare_tab")
        self._place = pn.Column(sizing_mode="stretch_width")
        return [self._place]

    def update(self) -> None:
        """Reads the selected runs and their curves."""
        state = self.state
        experiment, chosen, wanted = state.experiment, list(state.runs), list(state.compare_metrics)
        by: By = next((own for own in BY if own == state.compare_by), BY[0])
        letter = state.reference

        def compute() -> _Shown | str:
            try:
                groups = groups_of(self.context.reader.runs(experiment), chosen, by)
            except QlabError as error:
                return str(error)
            return self._compared(groups, letter, wanted)

        self.compute(compute, self._show)

    def figures(self) -> list[Figure]:
        """Those of the open tab."""
        own = {"Samples": (self.samples,), "Landscapes": (self.landscapes,)}
        return [figure for figure in own.get(TABS[self._active], (self.curves, self.differences)) if figure.shown]

    @property
    def _active(self) -> int:
        return TABS.index(self.state.compare_tab) if self.state.compare_tab in TABS else 0

    def _turn(self) -> None:
        if self._tabs.active != self._active:
            self._tabs.active = self._active
        if self._read is not None:
            self._show_models(self._read)

    def _compared(self, groups: list[Group], letter: str, wanted: Sequence[str]) -> _Shown:
        reference = next((group for group in groups if group.letter == letter), groups[0])
        every = metrics_of(groups)
        own = {name for group in groups for name in measured(group.runs)}
        offered = [name for name in (*TITLES, *APART, *sorted(own)) if name in every]
        runs = [str(run) for group in groups for run in group.kept["run_id"]]
        metrics = [name for name in wanted if name in offered]
        series = self.context.reader.series(runs, metrics or [name for name in _USUAL if name in offered])
        curved = {metric for (_, metric), values in series.items() if len(values) > 1}
        metrics = metrics or [name for name in _USUAL if name in curved][:2] or offered[:2]
        places = {group.letter: "unlearning step" if group.kind == names.UNLEARNING else "epoch" for group in groups}
        alike = [group for group in groups if places[group.letter] == places[reference.letter]]
        order = sorted(every, key=lambda name: (name not in TITLES, every.index(name)))
        return _Shown(
            groups,
            reference,
            looks_of({group.letter: group.name for group in groups}, _models(groups)),
            offered,
            " or ".join(dict.fromkeys(places.values())),
            curve_table(groups, metrics, series),
            difference_table(alike, reference, metrics, series),
            end_table(groups, reference, order),
            [group.letter for group in groups if group not in alike],
        )

    def _show(self, found: _Shown | str) -> None:
        if isinstance(found, str):
            self._read, self._place.objects = None, []
            for figure in (self.curves, self.differences):
                figure.clear()
            self._samples.show((), None, seen=False)
            self._landscapes.show((), seen=False)
            self.say(found)
            return
        self._read = found
        names_of = {group.letter: group.name for group in found.groups}
        self._reference.offer({name: letter for letter, name in names_of.items()}, found.reference.letter)
        self._metrics.offer({named(name): name for name in found.offered})
        table = described(found.groups)
        titles = {"param": "setting", **{letter: letter for letter in names_of}}
        self._groups.object = "\n".join(_line(group) for group in found.groups)
        self._config.objects = [plain_table(table, titles=titles, **_paged(table))]
        if found.curves.empty:
            self.curves.clear()
            self.say("No run of these groups counts that has a metric which all have: nothing to draw.")
        else:
            counts = {group.letter: group.counts for group in found.groups}
            drawn = compared_curves(found.curves, names_of, counts, found.looks, found.place)
            self.curves.show(drawn, found.curves, self._origin(found))
        self._show_differences(found)
        self._show_models(found)
        if not self._place.objects:
            self._place.objects = [self._groups, self._tabs]

    def _show_differences(self, found: _Shown) -> None:
        letter = found.reference.letter
        said = []
        if found.apart:
            said.append(
                f"Epochs of training and steps of unlearning are not subtracted from each other: "
                f"no curve of {', '.join(found.apart)} minus {letter}."
            )
        if found.differences.empty:
            self.differences.clear()
            if len(found.apart) < len(found.groups) - 1 and not found.curves.empty:
                said.append(f"No group has a seed and a step in common with {letter}: nothing to subtract.")
        else:
            table = found.differences
            drawn = compared_differences(table, letter, found.looks, found.place)
            self.differences.show(drawn, table, self._origin(found))
        self._apart.object, self._apart.visible = " ".join(said), bool(said)
        ends = in_words(found.ends)
        note = "Mean ± sample standard deviation over seeds; differences by seed, with Student's 95 % interval."
        ends["metric"] = [named(name) for name in ends["metric"]]
        self._ends.objects = (
            [heading("Last values"), plain_table(ends, **_paged(ends)), Text(note)] if len(ends) else []
        )

    def _origin(self, found: _Shown) -> Origin:
        runs = [str(run) for group in found.groups for run in group.runs["run_id"]]
        return Origin(self.state.experiment, runs, short=found.ends)

    def _show_models(self, found: _Shown) -> None:
        """The tabs that ask models, which they do once they are open."""
        tab = TABS[self._active]
        self._samples.show(found.groups, found.reference, seen=tab == "Samples")
        self._landscapes.show(found.groups, seen=tab == "Landscapes")


def described(groups: Sequence[Group]) -> pd.DataFrame:
    """How many runs of each group count, and the params that differ: a column for each group."""
    head = [
        {"param": "runs", **{group.letter: _counted(group) for group in groups}},
    ]
    return pd.concat([pd.DataFrame(head), differing(groups)], ignore_index=True)


def _line(group: Group) -> str:
    return f"{group.name}  ·  {_counted(group)}"


def _counted(group: Group) -> str:
    counts = group.counts
    found = f"{counts['kept']} of {counted(counts['runs'], 'run')}"
    found += "" if group.single or not group.units else f", seeds {_seeds(list(group.units))}"
    return found + (f"; left out: {counts['left_out']}" if counts["left_out"] else "")


def _seeds(seeds: list[int]) -> str:
    """Seeds in short: "0 to 4"; of many that do not follow each other, the first few."""
    if len(seeds) > 2 and seeds[-1] - seeds[0] == len(seeds) - 1:
        return f"{seeds[0]} to {seeds[-1]}"
    more = f" and {len(seeds) - _SEEDS} more" if len(seeds) > _SEEDS else ""
    return ", ".join(map(str, seeds[:_SEEDS])) + more


def _models(groups: Sequence[Group]) -> dict[str, str]:
    """The label of each group's model."""
    labels = label_models(pd.concat([group.runs.iloc[:1] for group in groups], ignore_index=True))
    return {group.letter: label for group, label in zip(groups, labels, strict=True)}


def _paged(table: pd.DataFrame) -> dict[str, Any]:
    return {"pagination": "local", "page_size": 10} if len(table) > 12 else {}
