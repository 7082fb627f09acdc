"""Slices around stored models: which models, in which order, at which resolution."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

import pandas as pd

from qlab.errors import DataError, QlabError
from qlab.explorer.loaded import Checkpoint, Loader, checkpoints, fitted_runs, related
from qlab.explorer.reader import Reader
from qlab.explorer.work import Meanwhile
from qlab.landscape import InterpolationProbe, ProbeResult, SliceProbe
from qlab.landscape.landscape import TRAINED

MOST: Final = 4
"""So many checkpoints are drawn side by side."""

COARSE: Final = 21
"""Grid points on an axis while a slider is dragged."""


@dataclasses.dataclass(frozen=True, eq=False)
class Asked:
    """What is to be drawn.

    Args:
        experiment: its name.
        points: run ids of checkpoints; empty: those that the selected runs lead to.
        runs: ids of selected runs.
        fields: of the SliceProbe.
        draft: whether a coarse grid is enough.
    """

    experiment: str
    points: tuple[str, ...]
    runs: tuple[str, ...]
    fields: Mapping[str, Any]
    draft: bool = False


@dataclasses.dataclass(frozen=True, eq=False)
class Sliced:
    """Slices by the names of their models, and what they are of.

    Args:
        results: of SliceProbes.
        titles: model, corruption, ratio, seed and method, by the same names.
        missing: what is not there, in words.
        known: all checkpoints of the experiment, by run.
        draft: whether the grids are coarser than was asked.
        runs: whose they are, by the same names.
        items: the checkpoints, by the names of the results.
    """

    results: dict[str, ProbeResult]
    titles: dict[str, str]
    missing: list[str]
    known: dict[str, Checkpoint]
    draft: bool
    runs: dict[str, str] = dataclasses.field(default_factory=dict)
    items: dict[str, Checkpoint] = dataclasses.field(default_factory=dict)


class Slicer:
    """Makes slices for one visitor.

    Args:
        reader: reads the store.
        loader: makes landscapes.
    """

    def __init__(self, reader: Reader, loader: Loader) -> None:
        self._reader, self._loader = reader, loader
        self._last: tuple[pd.DataFrame, list[Checkpoint], list[str]] | None = None

    def slices(self, asked: Asked, meanwhile: Meanwhile[Sliced]) -> Sliced:
        """Slices around the checkpoints asked for; on the way to a fine grid a coarse one is shown.

        Raises:
            DataError: there is no checkpoint.
            Overtaken: something else is asked meanwhile.
        """
        frame, every, left = self._known(asked.experiment)
        known = {item.run_id: item for item in every}
        missing = [f"{run}: no finished run with a checkpoint." for run in asked.points if run not in known]
        if left:
            missing.append(f"Left out, without gradients: {', '.join(left)}.")
            if not every:
                raise DataError(missing[-1])
        items = self._items(asked, frame, every)
        if not asked.points and asked.runs and not set(asked.runs) & set(known):
            missing.append("No selected run has a checkpoint; others are shown.")
        titles = {name: title_of(name, item) for name, item in items.items()}
        fine = int(asked.fields["resolution"])

        def measured(resolution: int) -> Sliced:
            results: dict[str, ProbeResult] = {}
            said = list(missing)
            for name in items:
                if resolution > COARSE:  # a coarse one is done before it is asked
                    meanwhile.check()
                try:
                    results[name] = self._slice(asked, name, items, resolution)
                except QlabError as error:
                    said.append(f"{name}: {error}")
            runs = {name: item.run_id for name, item in items.items()}
            return Sliced(results, titles, said, known, resolution < fine, runs, items)

        if fine <= COARSE or (asked.fields["dimensions"] == 1 and not asked.draft):
            return measured(fine)
        draft = measured(COARSE)
        if asked.draft:
            return draft
        meanwhile.show(draft)
        return measured(fine)

    def line(self, asked: Asked) -> ProbeResult:
        """The line between the first two checkpoints.

        Raises:
            DataError: there are no two of one shape.
        """
        frame, every, _ = self._known(asked.experiment)
        items = list(self._items(asked, frame, every).items())
        if len(items) < 2:
            raise DataError("A line needs two checkpoints; choose them above.")
        (start, first), (name, second) = items[:2]
        other = f"{name} (other)" if name == TRAINED else name
        landscape = self._loader.landscape(asked.experiment, first, {other: second})
        if other not in landscape.points:
            raise DataError(f"{first.label} and {second.label} are models of different shapes: no line joins them.")
        fields: dict[str, Any] = {"path": (TRAINED, other), "samples": asked.fields["samples"]}  # checked by the probe
        result = landscape.measure(InterpolationProbe(**fields))
        return dataclasses.replace(result, about={**result.about, "path": [start, name]})

    def titled_line(self, asked: Asked) -> tuple[ProbeResult, str]:
        """The same, and what it is between."""
        frame, every, _ = self._known(asked.experiment)
        titles = [title_of(name, item) for name, item in list(self._items(asked, frame, every).items())[:2]]
        return self.line(asked), " to ".join(titles)

    def _known(self, experiment: str) -> tuple[pd.DataFrame, list[Checkpoint], list[str]]:
        """All runs, the checkpoints among them, and models that are left out; read again where a run is new."""
        frame = self._reader.runs(experiment)
        if self._last is None or self._last[0] is not frame:
            models = frame.set_index("run_id")
            left = sorted({str(models.loc[run, "model.type"]) for run in fitted_runs(frame)})
            self._last = (frame, checkpoints(frame), left)
        return self._last

    def _items(self, asked: Asked, frame: pd.DataFrame, every: list[Checkpoint]) -> dict[str, Checkpoint]:
        """The checkpoints to draw, by their names: those chosen, else the selected trial and its relatives."""
        if not every:
            raise DataError(f'No run of "{asked.experiment}" has finished with a checkpoint yet.')
        known = {item.run_id: item for item in every}
        found = [known[run] for run in asked.points if run in known]
        if asked.points and not found:
            raise DataError(
                f'{", ".join(asked.points)}: no finished run of "{asked.experiment}" with a checkpoint. '
                "Choose others, or clear the field for the most telling ones."
            )
        if not found:
            picked = [known[run] for run in asked.runs if run in known]
            start = picked[0] if picked else _interesting(every)
            relatives = related(start, every, frame)
            order = ["clean", TRAINED, *(name for name in relatives if name not in ("clean", TRAINED, "oracle"))]
            wanted = [name for name in [*order[:3], "oracle"] if name in relatives]
            return {name: relatives[name] for name in wanted[:MOST]} or {start.label: start}
        names = related(found[0], every, frame)
        short = {item.run_id: name for name, item in names.items()}
        return {short.get(item.run_id, item.label): item for item in found[:MOST]}

    def _slice(self, asked: Asked, name: str, items: Mapping[str, Checkpoint], resolution: int) -> ProbeResult:
        named = named_others(name, items)
        landscape = self._loader.landscape(asked.experiment, items[name], named)
        own = {**asked.fields, "resolution": resolution}
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


def named_others(name: str, items: Mapping[str, Checkpoint]) -> dict[str, Checkpoint]:
    """The other points of a model's landscape, which calls its own centre "trained", whatever it is here."""
    return {f"{other} (other)" if other == TRAINED else other: item for other, item in items.items() if other != name}


def title_of(name: str, item: Checkpoint) -> str:
    """Model, corruption, ratio, seed and method of a checkpoint, and what it is here if that is not said by these."""
    return item.label if name in item.label else f"{item.label}: {name}"


def _interesting(every: list[Checkpoint]) -> Checkpoint:
    """What to show where nothing is selected: a teacher that was unlearned, else the first trial."""
    taught = {item.trial for item in every if item.kind == "unlearning"}
    trials = [item for item in every if item.kind == "trial"] or every
    return next((item for item in trials if item.trial in taught), trials[0])
