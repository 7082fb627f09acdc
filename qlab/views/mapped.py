"""The heat maps that stand beside an experiment's curves."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

import pandas as pd

from qlab.views.controls import described
from qlab.views.crossed import Crossing, Kind, cells
from qlab.views.sweeps import map_worth_drawing
from qlab.views.words import axis_words, named

METRIC: Final = "validation_accuracy"


@dataclasses.dataclass(frozen=True, eq=False)
class Sketch:
    """A map to be drawn.

    Args:
        crossing: what it shows.
        table: see :func:`qlab.views.crossed.cells`.
    """

    crossing: Crossing
    table: pd.DataFrame

    @property
    def caption(self) -> str:
        """What it shows, in a sentence or two."""
        x, y = axis_words(self.crossing.x), axis_words(self.crossing.y)
        text = f"{named(self.crossing.metric).partition(' (')[0]} over {x} and {y}: mean over seeds".capitalize()
        control = self.crossing.control
        beside = f"; beside it the difference to {described(control.group)}, seed by seed" if control else ""
        return f"{text}{beside}. Crosses: not tried, or no run kept."

    @property
    def named_table(self) -> pd.DataFrame:
        """The table with the places in columns named as the params of the axes."""
        return self.table.rename(columns={"x": self.crossing.x[0], "y": self.crossing.y[0]})

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
            found[name] = Sketch(crossing, cells(frame, crossing, kind))
    return found
