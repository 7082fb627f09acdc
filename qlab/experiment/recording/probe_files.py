"""What probes have found, among the files that sum an experiment up."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from qlab.attempts import Attempts
from qlab.experiment.recording.figure_files import tried, write_figure
from qlab.landscape import ProbeResult


def write_probes(
    table: pd.DataFrame,
    results: Sequence[tuple[str, ProbeResult]],
    folder: Path,
    title: str,
    figures: Attempts | None = None,
    drawn: pd.DataFrame | None = None,
) -> list[Path]:
    """Writes ``probes.csv`` and what there is of ``roughening``, ``hessian`` and ``landscapes`` as PNG and HTML.

    Args:
        table: see :func:`qlab.views.curvature.summarize_probes`.
        results: slices and paths to draw, with what they are of.
        folder: where to.
        title: of the pages.
        figures: is told which figures cannot be drawn; without it that is an error.
        drawn: the rows that are drawn against the corruption ratio; by default all.
    """
    from qlab.views.curvature import figures_of

    panels = _panels(results, figures) if results else []
    csv = folder / "probes.csv"
    table.to_csv(csv, index=False)
    rows = table if drawn is None else drawn
    made: dict[str, Callable[[], Any]] = {
        name: functools.partial(draw, rows) for name, draw in figures_of(rows).items()
    }
    if panels:
        from qlab.views.landscape import panels_in_rows

        made["landscapes"] = lambda: panels_in_rows(panels)
    return [csv, *(file for name, draw in made.items() for file in write_figure(draw, folder, name, title, figures))]


def _panels(results: Sequence[tuple[str, ProbeResult]], figures: Attempts | None) -> list[Any]:
    """Drawn one by one: one that cannot be drawn would take the others down with it."""
    from qlab.views.landscape import panel

    drawn = (
        tried(f"landscapes: {label}", functools.partial(panel, label, result), figures) for label, result in results
    )
    return [drawing for drawing in drawn if drawing is not None]
