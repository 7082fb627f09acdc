"""Landscape: slices around stored models, computed from their checkpoints as controls are dragged."""

from __future__ import annotations

import collections
from typing import Any

import pandas as pd
import panel as pn
import panel_material_ui as pmui

from qlab.errors import DataError
from qlab.explorer import design
from qlab.explorer.controls import Control, bound
from qlab.explorer.copying import scripts
from qlab.explorer.copying.origin import Origin
from qlab.explorer.deciding import Decision, decide, place_of
from qlab.explorer.decision_picture import DecisionPicture
from qlab.explorer.figure import Figure
from qlab.explorer.page import Page
from qlab.explorer.picker import Picker
from qlab.explorer.planes import Planes, Sight
from qlab.explorer.sliced import below, columns_of, limits_of, pictures, table_of
from qlab.explorer.slicing import MOST, Asked, Sliced, Slicer
from qlab.explorer.text import Text
from qlab.landscape import ProbeResult
from qlab.views.backends import text_options
from qlab.views.decision_map import decision_map
from qlab.views.landscape import draw
from qlab.views.saving import picture_bytes
from qlab.views.slices import cut_picture, surface_picture
from qlab.views.titles import titled

PAUSE_SECONDS = 0.35
"""After so long without a change the fine grid is drawn, even if the slider is still held."""

_LISTED = 100
"""So many checkpoints are in the list."""

_HINT = "Drag over a slice, or click it: what the model decides with the parameters of that point appears beside."

_SAMPLES = ["train", "retain", "forget_polluted", "forget_clean", "validation"]
_DIRECTIONS = ["filter", "random", "hessian", "pca", "points"]


class LandscapePage(Page):
    """Slices around one to four checkpoints; the line between the first two.

    Drag over a slice, or click it, to see what the model decides with the parameters of that point, and the cuts there.
    """

    title = "Landscape"
    depends = (
        "experiment",
        "runs",
        "points",
        "samples",
        "directions",
        "dimensions",
        "draw",
        "span",
        "resolution",
        "surface",
        "same_colours",
    )
    lit_by = ("cut", "cut_in", "projection", "judged", "row")

    def build(self) -> list[Any]:
        """The slices; cuts and lines below."""
        state = self.state
        self._slicer = Slicer(self.context.reader, self.context.loader)
        self._shown: Sliced | None = None
        self._dragged = False
        self._points = Control(
            pmui.MultiChoice(label="Checkpoints (up to four)", options={}, width=design.CONTROL, max_items=MOST),
            state,
            "points",
        )
        self._picker = Picker("Find a checkpoint", self._pick)
        self._planes = Planes(self._chosen)
        self._picture = DecisionPicture(lambda row: setattr(state, "row", row))
        self._decision: Decision | None = None
        self.decided = Figure("decision_map")
        self.slices = Figure("landscape")
        self.cut = Figure("landscape_cut")
        self.line = Figure("landscape_line")
        self._surface = pn.Column(sizing_mode="stretch_width")
        self._between = pmui.Button(label="Line between the first two", icon="timeline", size="small")
        self._between.on_click(lambda _: self._draw_line())
        span = pmui.FloatSlider(label="Span", width=design.CONTROL, start=0.05, end=3.0, step=0.05)
        resolution = pmui.IntSlider(label="Resolution", width=design.CONTROL, start=11, end=101, step=2)
        judged = pmui.Select(
            label="Right is", options={"the clean label": "clean", "the label given": "given"}, **design.FIELD
        )
        self.controls = [
            self._picker.view,
            self._points.widget,
            bound(pmui.Select(label="Samples", **design.FIELD, options=_SAMPLES), state, "samples"),
            bound(pmui.Select(label="Directions", **design.FIELD, options=_DIRECTIONS), state, "directions"),
            bound(pmui.Select(label="Dimensions", **design.FIELD, options=[1, 2]), state, "dimensions"),
            self._slider(span, "span"),
            self._slider(resolution, "resolution"),
            self._slider(pmui.IntSlider(label="Draw", width=design.CONTROL, start=0, end=20), "draw"),
            bound(pmui.Switch(label="Surface"), state, "surface"),
            bound(pmui.Switch(label="One colour scale"), state, "same_colours"),
            bound(judged, state, "judged"),
            self._between,
        ]
        self._hint = Text(_HINT, visible=False, margin=(0, 10))
        left = pn.Column(self.slices.view, self._hint, self._surface, sizing_mode="stretch_width")
        self._beside = pn.Column(left, self.decided.view, sizing_mode="stretch_width", stylesheets=[design.BESIDE])
        return [self._beside, self.cut.view, self.line.view]

    def _slider(self, slider: Any, field: str) -> Any:
        """A slider that is followed while it is dragged, and then once more."""

        def moved(event: Any) -> None:
            # What the state says already comes from an address, not from a hand.
            self._dragged = event.new != getattr(self.state, field)

        slider.param.watch(moved, "value")  # before the state follows
        slider.param.watch(lambda _: self._refine(), "value_throttled")
        return bound(slider, self.state, field)

    def update(self) -> None:
        """Computes the slices that the state asks for."""
        draft, self._dragged = self._dragged, False
        asked = self._asked(draft)
        self.follow(lambda meanwhile: self._slicer.slices(asked, meanwhile), self._show, "slices")
        if draft:
            self.context.work.soon("refine", PAUSE_SECONDS, self._refine)

    def _refine(self) -> None:
        if self._shown is None or self._shown.draft or self.context.work.under_way(f"{self.title} slices"):
            self._dragged = False
            self.update()

    def _asked(self, draft: bool = False) -> Asked:
        state = self.state
        names = ("samples", "directions", "dimensions", "draw", "span", "resolution")
        fields = {name: getattr(state, name) for name in names}
        return Asked(state.experiment, tuple(state.points), tuple(state.runs), fields, draft)

    def _show(self, shown: Sliced) -> None:
        self._shown = shown
        labels = collections.Counter(item.label for item in shown.known.values())
        texts = {
            run: item.label if labels[item.label] == 1 else f"{item.label} ({run[:6]})"
            for run, item in shown.known.items()
        }
        self._picker.offer(texts)
        # The list holds what is chosen or drawn, and of thousands not all others: these are found by typing.
        listed = [*self.state.points, *shown.runs.values(), *list(texts)[:_LISTED]]
        self._points.offer({texts[run]: run for run in dict.fromkeys(listed) if run in texts})
        self.say("\n".join(shown.missing), "slices")
        results = shown.results
        flat = all(result.arrays["loss"].ndim == 2 for result in results.values())
        if not results or not flat or self.state.surface:
            self._planes.clear()
        self._hint.visible = bool(results) and flat and not self.state.surface and not self.state.cut
        if not results:
            self.slices.clear()
            self._surface.objects = []
            self.cut.clear()
            self._show_decision(None)
            return
        limits = limits_of(shown, self.state.same_colours)
        origin = self._origin(shown, "slices", self.state.same_colours)
        if self.state.surface and flat:
            self.slices.clear()
            surfaces = [
                picture_bytes(_surface(shown.titles[name], result, limits[name]), "png", dpi=80)
                for name, result in results.items()
            ]
            panes = [pn.pane.PNG(item, sizing_mode="scale_width", max_width=560) for item in surfaces]
            self._surface.objects = [pn.Column(*panes, sizing_mode="stretch_width", styles=design.columns(len(panes)))]
        elif flat:
            self._surface.objects = []
            self._planes.show(
                [Sight(shown.titles[name], below(result), result, limits[name]) for name, result in results.items()]
            )
            self.slices.embody(self._planes.view, lambda: (pictures(shown, limits), table_of(results)), origin)
        else:
            self._surface.objects = []
            self.slices.show(pictures(shown, limits), table_of(results), origin)
        if not shown.draft:
            self.light()

    def _pick(self, run: str) -> None:
        """Draws one more checkpoint, in place of the last where there are as many as there can be."""
        others = [point for point in self.state.points if point != run]
        self.state.points = [*others[: MOST - 1], run]

    def _chosen(self, number: int, x: float, y: float, moving: bool) -> None:
        span = self.state.span
        place = (min(max(x, -span), span), min(max(y, -span), span))
        if moving:  # the address and the cuts follow when it is let go
            self._planes.mark(place)
            self._decide(number, place)
        else:
            self.state.param.update(cut=list(place), cut_in=number)

    def light(self) -> None:
        """Marks the place that is looked at, and shows the cuts and the decisions there."""
        results = {} if self._shown is None else self._shown.results
        flat = {name: result for name, result in results.items() if result.arrays["loss"].ndim == 2}
        try:
            place = place_of(self.state.cut)
            self.say("", "cut")
        except DataError as error:
            place = None
            self.say(str(error), "cut")
        self._planes.mark(place)
        self._hint.visible = bool(flat) and place is None and not self.state.surface
        if place is None or not flat:
            self.cut.clear()
            self._show_decision(None)
            return
        assert self._shown is not None
        titles = self._shown.titles
        picture = cut_picture({titles[name]: result for name, result in flat.items()}, place)
        self.cut.show(picture, table_of(flat), self._origin(self._shown, "cut", place))
        self._decide(self.state.cut_in, place)

    def _origin(self, shown: Sliced, what: str, extra: Any) -> Origin:
        """Where slices come from; of a draft what the fine grid would."""
        points = [run for name, run in shown.runs.items() if name in shown.results]
        experiment = self.state.experiment
        script = scripts.slices(what, experiment, points, self._asked().fields, extra)
        scalars = [
            {"checkpoint": shown.titles[name], "samples": result.about["samples"], "rows": result.about["rows"]}
            | {part: result.scalars[f"landscape_{part}"] for part in ("loss", "accuracy")}
            for name, result in shown.results.items()
        ]
        return Origin(experiment, points, script, pd.DataFrame(scalars))

    def _decide(self, number: int, place: tuple[float, float]) -> None:
        """Asks for the decision map at a place; a newer request takes the place of an older one."""
        shown, asked = self._shown, self._asked()
        if shown is None:
            return
        look = (self.state.projection, self.state.judged)
        loader = self.context.loader
        self.follow(lambda _: decide(loader, asked, shown, number, place, look), self._show_decision, "decision")

    def _show_decision(self, decision: Decision | None) -> None:
        self._decision = decision
        if decision is None:
            self._picture.clear()
            self.decided.clear()
            self._beside.css_classes = []
            return
        self._picture.show(decision, self.state.row)
        title = f"{decision.title} at a = {decision.place[0]:.3g}, b = {decision.place[1]:.3g}"
        self.decided.embody(self._picture.view, lambda: (decision_map(decision.frame, title), decision.frame))
        self._beside.css_classes = ["beside"]

    def _draw_line(self) -> None:
        asked = self._asked()

        points = [] if self._shown is None else list(self._shown.runs.values())[:2]

        def show(found: tuple[ProbeResult, str]) -> None:
            result, title = found
            script = scripts.slices("line", asked.experiment, points, asked.fields)
            numbers = pd.DataFrame(list(result.scalars.items()), columns=["name", "value"])
            origin = Origin(asked.experiment, points, script, numbers)
            self.line.show(titled(draw(result), title), pd.DataFrame(columns_of(result)), origin)

        self.compute(lambda: self._slicer.titled_line(asked), show, "line")


def _surface(title: str, result: ProbeResult, limits: tuple[float, float]) -> Any:
    return surface_picture(result, limits=limits).opts(backend="matplotlib", **text_options({"title": title}))
