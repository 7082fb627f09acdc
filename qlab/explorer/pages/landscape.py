"""Landscape: slices around stored models, computed from their checkpoints as controls are dragged."""

from __future__ import annotations

import collections
from typing import Any

import pandas as pd
import panel as pn
import panel_material_ui as pmui

from qlab.explorer import design
from qlab.explorer.controls import Control, bound
from qlab.explorer.figure import Figure
from qlab.explorer.page import Page
from qlab.explorer.planes import Planes, Sight
from qlab.explorer.sliced import below, columns_of, limits_of, pictures, table_of
from qlab.explorer.slicing import MOST, Asked, Sliced, Slicer
from qlab.landscape import ProbeResult
from qlab.views.backends import text_options
from qlab.views.landscape import draw
from qlab.views.saving import picture_bytes
from qlab.views.slices import cut_picture, surface_picture

PAUSE_SECONDS = 0.35
"""After so long without a change the fine grid is drawn, even if the slider is still held."""

_SAMPLES = ["train", "retain", "forget_polluted", "forget_clean", "validation"]
_DIRECTIONS = ["filter", "random", "hessian", "pca", "points"]


class LandscapePage(Page):
    """Slices around one to four checkpoints; click a slice to cut it; the line between the first two."""

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
        self._planes = Planes(self._clicked)
        self.slices = Figure("landscape")
        self.cut = Figure("landscape_cut")
        self.line = Figure("landscape_line")
        self._surface = pn.Column(sizing_mode="stretch_width")
        self._between = pmui.Button(label="Line between the first two", icon="timeline", size="small")
        self._between.on_click(lambda _: self._draw_line())
        self.state.param.watch(lambda _: self._show_cut(), "cut")
        span = pmui.FloatSlider(label="Span", width=design.CONTROL, start=0.05, end=3.0, step=0.05)
        resolution = pmui.IntSlider(label="Resolution", width=design.CONTROL, start=11, end=101, step=2)
        self.controls = [
            self._points.widget,
            bound(pmui.Select(label="Samples", **design.FIELD, options=_SAMPLES), state, "samples"),
            bound(pmui.Select(label="Directions", **design.FIELD, options=_DIRECTIONS), state, "directions"),
            bound(pmui.Select(label="Dimensions", **design.FIELD, options=[1, 2]), state, "dimensions"),
            self._slider(span, "span"),
            self._slider(resolution, "resolution"),
            self._slider(pmui.IntSlider(label="Draw", width=design.CONTROL, start=0, end=20), "draw"),
            bound(pmui.Switch(label="Surface"), state, "surface"),
            bound(pmui.Switch(label="One colour scale"), state, "same_colours"),
            self._between,
        ]
        return [self.slices.view, self._surface, self.cut.view, self.line.view]

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
        self._points.offer(
            {
                item.label if labels[item.label] == 1 else f"{item.label} ({run[:6]})": run
                for run, item in shown.known.items()
            }
        )
        self.say("\n".join(shown.missing), "slices")
        results = shown.results
        flat = all(result.arrays["loss"].ndim == 2 for result in results.values())
        if not results or not flat or self.state.surface:
            self._planes.clear()
        if not results:
            self.slices.clear()
            self._surface.objects = []
            self.cut.clear()
            return
        limits = limits_of(shown, self.state.same_colours)
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
            self.slices.embody(self._planes.view, lambda: (pictures(shown, limits), table_of(results)))
        else:
            self._surface.objects = []
            self.slices.show(pictures(shown, limits), table_of(results))
        if not shown.draft:
            self._show_cut()

    def _clicked(self, x: float, y: float) -> None:
        self.state.cut = [x, y]

    def _show_cut(self) -> None:
        results = {} if self._shown is None else self._shown.results
        flat = {name: result for name, result in results.items() if result.arrays["loss"].ndim == 2}
        if len(self.state.cut) != 2 or not flat:
            self.cut.clear()
            return
        place = (self.state.cut[0], self.state.cut[1])
        self.cut.show(cut_picture(flat, place), table_of(flat))

    def _draw_line(self) -> None:
        asked = self._asked()

        def show(result: ProbeResult) -> None:
            self.line.show(draw(result), pd.DataFrame(columns_of(result)))

        self.compute(lambda: self._slicer.line(asked), show, "line")


def _surface(title: str, result: ProbeResult, limits: tuple[float, float]) -> Any:
    return surface_picture(result, limits=limits).opts(backend="matplotlib", **text_options({"title": title}))
