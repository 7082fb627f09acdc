"""Heat maps among the files that sum an experiment up."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from qlab.attempts import Attempts
from qlab.experiment.recording.figure_files import write_figure

if TYPE_CHECKING:  # training does not wait for libraries that draw
    from qlab.views.mapped import Sketch


def worth_drawing(trials: pd.DataFrame, unlearnings: pd.DataFrame, figures: Attempts) -> dict[str, Sketch]:
    """See :func:`qlab.views.mapped.sketches`; whether or not there are to be figures, as there are tables.

    Args:
        trials: one row for each trial.
        unlearnings: one row for each unlearning run.
        figures: is told if that fails.
    """
    from qlab.views.mapped import sketches

    attempts = Attempts()
    found = attempts.made("heat maps", lambda: sketches(trials, unlearnings))
    for what, why in attempts.missing.items():
        figures.fail(what, why)
    return found or {}


def write_maps(maps: Mapping[str, Sketch], folder: Path, title: str, figures: Attempts | None = None) -> list[Path]:
    """Writes ``map.csv``, ``map.png`` and ``map.html`` of trials, and ``unlearning_map`` of unlearning runs, if any.

    Args:
        maps: see :func:`qlab.views.mapped.sketches`.
        folder: where to.
        title: of the pages.
        figures: is told which figures cannot be drawn; without it that is an error.
    """
    files = []
    for name, sketch in maps.items():
        csv = folder / f"{name}.csv"
        sketch.named_table.to_csv(csv, index=False)
        files += [csv, *write_figure(sketch.draw, folder, name, title, figures)]
    return files
