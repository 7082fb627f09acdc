"""Landscape: slices around stored models, computed from their checkpoints as controls are dragged."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping
from typing import Any

import holoviews as hv
import numpy as np
import pandas as pd
import panel as pn
import panel_material_ui as pmui

from qlab.errors import DataError, QlabError
from qlab.explorer.controls import Control, bound
from qlab.explorer.figure import Figure, fitting
from qlab.explorer.loaded import Checkpoint, checkpoints, fitted_runs, related
from qlab.explorer.page import Page
from qlab.landscape import InterpolationProbe, ProbeResult, SliceProbe
from qlab.landscape.landscape import TRAINED
from qlab.views.backends import styled, text_options
from qlab.views.landscape import draw
from qlab.views.limits import finite_limits
from qlab.views.panels import row
from qlab.views.saving import picture_bytes
from qlab.views.slices import cut_picture, slice_picture, surface_picture

CONTROLS = 240
"""Width of the controls, pixels."""

PANEL = {"width": 375, "height": 320}
"""Size of a panel, pixels: two stand beside the controls on a screen of 1280."""

MOST = 4
"""So many checkpoints are drawn side by side."""

_SAMPLES = ["train", "retain", "forget_polluted", "forget_clean", "validation"]
_DIRECTIONS = ["filter", "random", "hessian", "pca", "points"]


@dataclasses.dataclass(frozen=True, eq=False)
class _Shown:
    results: dict[str, ProbeResult]
    missing: list[str]


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
        """Controls beside the slices, cuts and lines below."""
        state = self.state
        self._every: dict[str, Checkpoint] = {}
        self._shown: _Shown | None = None
        self._points = Control(
            pmui.MultiChoice(label="Checkpoints (up to four)", options={}, width=CONTROLS - 20, max_items=MOST),
            state,
            "points",
        )
        self.slices = Figure("landscape", self._clickable)
        self.cut = Figure("landscape_cut", _narrow)
        self.line = Figure("landscape_line", _narrow)
        self._surface = pn.Column(sizing_mode="stretch_width")
        self._between = pmui.Button(label="Line between the first two", icon="timeline", size="small")
        self._between.on_click(lambda _: self._draw_line())
        self.state.param.watch(lambda _: self._show_cut(), "cut")
        choose = [
            self._points.widget,
            bound(pmui.Select(label="Samples", width=CONTROLS - 20, options=_SAMPLES), state, "samples"),
            bound(pmui.Select(label="Directions", width=CONTROLS - 20, options=_DIRECTIONS), state, "directions"),
            bound(pmui.Select(label="Dimensions", width=CONTROLS - 20, options=[1, 2]), state, "dimensions"),
            bound(pmui.FloatSlider(label="Span", width=CONTROLS - 20, start=0.05, end=3.0, step=0.05), state, "span"),
            bound(
                pmui.IntSlider(label="Resolution", width=CONTROLS - 20, start=11, end=101, step=2), state, "resolution"
            ),
            bound(pmui.IntInput(label="Draw", width=CONTROLS - 20, start=0), state, "draw"),
            bound(pmui.Switch(label="Surface"), state, "surface"),
            bound(pmui.Switch(label="One colour scale"), state, "same_colours"),
            self._between,
        ]
        drawn = pn.Column(
            self.slices.view, self._surface, self.cut.view, self.line.view, sizing_mode="stretch_width", min_width=420
        )
        return [pn.Row(pn.Column(*choose, width=CONTROLS), drawn, sizing_mode="stretch_width")]

    def update(self) -> None:
        """Computes the slices that the state asks for."""
        state = self.state
        experiment, chosen, selected = state.experiment, list(state.points), list(state.runs)
        fields: dict[str, Any] = {
            "samples": state.samples,
            "directions": state.directions,
            "dimensions": state.dimensions,
            "draw": state.draw,
            "span": state.span,
            "resolution": state.resolution,
        }

        def compute() -> _Shown:
            frame = self.context.reader.runs(experiment)
            every = checkpoints(frame)
            self._every = {item.run_id: item for item in every}
            results: dict[str, ProbeResult] = {}
            missing = [f"{run}: no finished run with a checkpoint." for run in chosen if run not in self._every]
            if left := sorted({str(frame.set_index("run_id").loc[run, "model.type"]) for run in fitted_runs(frame)}):
                missing.append(f"Left out, without gradients: {', '.join(left)}.")
                if not every:
                    raise DataError(missing[-1])
            items = self._items(chosen, selected, every, frame)
            if not chosen and selected and not set(selected) & set(self._every):
                missing.append("No selected run has a checkpoint; others are shown.")
            for name in items:
                try:
                    results[name] = self._slice(experiment, name, items, fields)
                except QlabError as error:
                    missing.append(f"{name}: {error}")
            return _Shown(results, missing)

        self.compute(compute, self._show, "slices")

    def _items(
        self, chosen: list[str], selected: list[str], every: list[Checkpoint], frame: pd.DataFrame
    ) -> dict[str, Checkpoint]:
        """The checkpoints to draw, by their names: those chosen, else the selected trial and its relatives."""
        if not every:
            raise DataError(f'No run of "{self.state.experiment}" has finished with a checkpoint yet.')
        found = [self._every[run] for run in chosen if run in self._every]
        if chosen and not found:
            raise DataError(
                f'{", ".join(chosen)}: no finished run of "{self.state.experiment}" with a checkpoint. '
                "Choose others, or clear the field for the most telling ones."
            )
        if not found:
            picked = [self._every[run] for run in selected if run in self._every]
            start = picked[0] if picked else _interesting(every, frame)
            relatives = related(start, every, frame)
            order = ["clean", "trained", *(name for name in relatives if name not in ("clean", "trained", "oracle"))]
            wanted = [name for name in [*order[:3], "oracle"] if name in relatives]
            return {name: relatives[name] for name in wanted[:MOST]} or {start.label: start}
        names = related(found[0], every, frame)
        short = {item.run_id: name for name, item in names.items()}
        return {short.get(item.run_id, item.label): item for item in found[:MOST]}

    def _slice(
        self, experiment: str, name: str, items: Mapping[str, Checkpoint], fields: Mapping[str, Any]
    ) -> ProbeResult:
        # A landscape calls its own centre "trained", whatever it is here.
        named = {
            f"{other} (other)" if other == TRAINED else other: item for other, item in items.items() if other != name
        }
        landscape = self.context.loader.landscape(experiment, items[name], named)
        own = dict(fields)
        if own["directions"] == "points":
            points = [other for other in named if other in landscape.points]
            if len(points) < own["dimensions"]:
                raise DataError(
                    f"a slice through other checkpoints needs {own['dimensions']} more of the same model; choose them."
                )
            own["points"] = tuple(points[: own["dimensions"]])
        result = SliceProbe(**own).measure(landscape)
        shown = {TRAINED: name, f"{TRAINED} (other)": TRAINED}
        marks = [shown.get(mark, mark) for mark in result.about["marks"]]
        config = {**result.config, "points": [shown.get(point, point) for point in result.config["points"]]}
        return dataclasses.replace(result, about={**result.about, "marks": marks}, config=config)

    def _show(self, shown: _Shown) -> None:
        self._shown = shown
        labels = collections.Counter(item.label for item in self._every.values())
        self._points.offer(
            {
                item.label if labels[item.label] == 1 else f"{item.label} ({run[:6]})": run
                for run, item in self._every.items()
            }
        )
        self.say("\n".join(shown.missing))
        if not shown.results:
            self.slices.clear()
            self._surface.objects = []
            self.cut.clear()
            return
        results = shown.results
        limits = _common_limits(results) if self.state.same_colours else None
        flat = all(result.arrays["loss"].ndim == 2 for result in results.values())
        if self.state.surface and flat:
            self.slices.clear()
            surfaces = [
                picture_bytes(_surface(name, result, limits), "png", dpi=80) for name, result in results.items()
            ]
            self._surface.objects = [
                pn.GridBox(*(pn.pane.PNG(item, width=PANEL["width"]) for item in surfaces), ncols=2)
            ]
        else:
            self._surface.objects = []
            self.slices.show(_pictures(results, limits), _table(results))
        self._show_cut()

    def _clickable(self, layout: Any) -> Any:
        if self._shown and all(result.arrays["loss"].ndim == 2 for result in self._shown.results.values()):
            for panel in layout:
                hv.streams.Tap(source=panel).add_subscriber(self._clicked)
        return layout

    def _clicked(self, x: float | None, y: float | None) -> None:
        if x is not None and y is not None:
            self.state.cut = [float(x), float(y)]

    def _show_cut(self) -> None:
        results = {} if self._shown is None else self._shown.results
        flat = {name: result for name, result in results.items() if result.arrays["loss"].ndim == 2}
        if len(self.state.cut) != 2 or not flat:
            self.cut.clear()
            return
        place = (self.state.cut[0], self.state.cut[1])
        self.cut.show(cut_picture(flat, place), _table(flat))

    def _draw_line(self) -> None:
        experiment, samples = self.state.experiment, self.state.samples
        chosen, selected = list(self.state.points), list(self.state.runs)

        def compute() -> ProbeResult:
            frame = self.context.reader.runs(experiment)
            every = checkpoints(frame)
            self._every = {item.run_id: item for item in every}
            items = list(self._items(chosen, selected, every, frame).items())
            if len(items) < 2:
                raise DataError("A line needs two checkpoints; choose them above.")
            (start, first), (name, second) = items[:2]
            other = f"{name} (other)" if name == TRAINED else name
            landscape = self.context.loader.landscape(experiment, first, {other: second})
            if other not in landscape.points:
                raise DataError(f"{first.label} and {second.label} are models of different shapes: no line joins them.")
            fields: dict[str, Any] = {"path": (TRAINED, other), "samples": samples}  # checked when the probe is made
            result = landscape.measure(InterpolationProbe(**fields))
            return dataclasses.replace(result, about={**result.about, "path": [start, name]})

        def show(result: ProbeResult) -> None:
            self.line.show(draw(result), pd.DataFrame(_columns(result)))

        self.compute(compute, show, "line")


def _narrow(figure: Any) -> Any:
    """Panels beside the controls."""
    return fitting(figure, **PANEL)


def _interesting(every: list[Checkpoint], frame: pd.DataFrame) -> Checkpoint:
    """What to show where nothing is selected: a teacher that was unlearned, else the first trial."""
    taught = {item.trial for item in every if item.kind == "unlearning"}
    trials = [item for item in every if item.kind == "trial"] or every
    return next((item for item in trials if item.trial in taught), trials[0])


def _common_limits(results: Mapping[str, ProbeResult]) -> tuple[float, float]:
    return finite_limits(np.concatenate([result.arrays["loss"].ravel() for result in results.values()]))


def _pictures(results: Mapping[str, ProbeResult], limits: tuple[float, float] | None) -> hv.Layout:
    size = {"width": 560, "height": 480} if len(results) == 1 else PANEL
    panels = []
    for name, result in results.items():
        picture = slice_picture(result, limits=limits)
        for part in picture if isinstance(picture, hv.Layout) else [picture]:
            panels.append(styled(part, bokeh={"title": name, **size}, matplotlib={"title": name}))
    return row(panels, columns=2)


def _surface(name: str, result: ProbeResult, limits: tuple[float, float] | None) -> Any:
    return surface_picture(result, limits=limits).opts(backend="matplotlib", **text_options({"title": name}))


def _columns(result: ProbeResult) -> dict[str, Any]:
    return {
        name: result.arrays[name].reshape(-1)
        for name in ("position", "loss", "accuracy", "validation_loss", "validation_accuracy")
        if name in result.arrays
    }


def _table(results: Mapping[str, ProbeResult]) -> pd.DataFrame:
    """Slices as rows: what they are of, coordinates, loss and accuracy."""
    pieces = []
    for name, result in results.items():
        axis, loss = result.arrays["axis"], result.arrays["loss"]
        places = np.meshgrid(*[axis] * loss.ndim, indexing="ij")
        coordinates = dict(zip("ab", (place.ravel() for place in places), strict=False))
        values = {"loss": loss.ravel(), "accuracy": result.arrays["accuracy"].ravel()}
        pieces.append(pd.DataFrame({"checkpoint": name, **coordinates, **values}))
    return pd.concat(pieces, ignore_index=True)
