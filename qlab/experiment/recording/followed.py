"""What is followed step by step, among the files that sum an experiment up: probes along unlearning, and relearning."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pandas as pd

from qlab.attempts import Attempts
from qlab.experiment.recording.figure_files import write_figure


def write_steps(frame: pd.DataFrame, folder: Path, title: str, figures: Attempts | None = None) -> list[Path]:
    """Writes ``steps`` as PNG and HTML for each type of probe that follows unlearners.

    See :mod:`qlab.reading.along_steps`. Of several types each has its name: ``steps_hessianprobe``.

    Args:
        frame: one row for each run of a probe.
        folder: where to.
        title: of the page.
        figures: is told which figures cannot be drawn; without it that is an error.
    """
    from qlab.reading.along_steps import along_steps, figures_along

    return [
        file
        for name, own in figures_along(frame).items()
        for file in write_figure(lambda own=own: along_steps(own), folder, name, title, figures)  # type: ignore[misc]
    ]


def write_relearning(
    frame: pd.DataFrame,
    read: Callable[[str, str], Iterable[tuple[int, float]]],
    folder: Path,
    title: str,
    figures: Attempts | None = None,
) -> list[Path]:
    """Writes ``relearning.csv`` and the curves as PNG and HTML, if an audit has taken some.

    See :mod:`qlab.views.relearning`.

    Args:
        frame: one row for each unlearning run.
        read: gives steps and values of a run's metric.
        folder: where to.
        title: of the page.
        figures: is told which figures cannot be drawn; without it that is an error.
    """
    from qlab.views.relearning import relearning_curves, relearning_history, relearning_table, was_audited

    if not was_audited(frame):
        return []
    history = relearning_history(frame, read)
    if history.empty:
        return []
    csv = folder / "relearning.csv"
    relearning_table(history).to_csv(csv, index=False)
    return [csv, *write_figure(lambda: relearning_curves(history, frame), folder, "relearning", title, figures)]
