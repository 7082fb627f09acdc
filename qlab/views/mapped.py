"""The heat maps that stand beside an experiment's curves."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

import pandas as pd

from qlab.views.controls import described
from qlab.views.crossed import Crossing, Kind, cells
from qlab.views.sweeps import crossed_only, map_worth_drawing
from qlab.views.words import axis_words, named
from qlab.words import counted

METRIC: Final = "validation_accuracy"
"""What is drawn where nothing else is asked for."""


@dataclasses.dataclass(frozen=True, eq=False)
class Sketch:
    """A map to be drawn.

    Args:
        crossing: what it shows.
        table: see :func:`qlab.views.crossed.cells`; models with one value of a param are left out.
        left: how many runs these have.
    """

    crossing: Crossing
    table: pd.DataFrame
    left: int = 0

    @property
    def caption(self) -> str:
        """What it shows, in a sentence or two."""
        x, y = axis_words(self.crossing.x), axis_words(self.crossing.y)
        text = f"{named(self.crossing.metric).partition(' (')[0]} over {x} and {y}: mean over seeds".capitalize()
        control = self.crossing.control
        axes = {name: axis_words(axis) for axis in (self.crossing.x, self.crossing.y) for name in axis}
        group = {axes.get(name, name): value for name, value in control.group.items()} if control else {}
        beside = f"; beside it the difference to {described(group)}, seed by seed" if control else ""
        left = f" {counted(self.left, 'run')} of models with one value of either: not here." if self.left else ""
        return f"{text}{beside}. Crosses: not tried, or no run kept.{left}"

    @property
    def named_table(self) -> pd.DataFrame:
        """The table with the places in columns named as the params of the axes."""
        return self.table.rename(columns=self.crossing.columns)

    def draw(self) -> Any:
        """The map as a HoloViews object."""
        from qlab.views.grids import grids
        from qlab.views.heat_map import drawn

        return drawn(grids(self.table, self.crossing))


def sketches(trials: pd.DataFrame, unlearnings: pd.DataFrame) -> dict[str, Sketch]:
    """The maps of an experiment by the name of their files, see :func:`qlab.views.sweeps.map_worth_drawing`.

    Args:
        trials: one row for each trial.
        unlearnings: one row for each unlearning run.
    """
    found: dict[str, Sketch] = {}
    kinds: tuple[tuple[str, pd.DataFrame, Kind | None], ...] = (
        ("map", trials, None),
        ("unlearning_map", unlearnings, "method"),
    )
    for name, frame, kind in kinds:
        crossing = map_worth_drawing(frame, METRIC, kind)
        if crossing is not None:
            table = cells(frame, crossing, kind)
            shown = crossed_only(table)
            found[name] = Sketch(crossing, shown, int(table["runs"].sum() - shown["runs"].sum()))
    return found
