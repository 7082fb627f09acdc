"""What methods reach of each fraction of known rows, among the files that sum an experiment up."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from qlab.attempts import Attempts
from qlab.experiment.recording.figure_files import write_figure


def write_known(frame: pd.DataFrame, folder: Path, title: str, figures: Attempts | None = None) -> list[Path]:
    """Writes ``known.csv``, ``known.png`` and ``known.html`` if runs differ in how many corrupted rows are known.

    See :mod:`qlab.reading.known`.

    Args:
        frame: one row for each unlearning run.
        folder: where to.
        title: of the page.
        figures: is told which figures cannot be drawn; without it that is an error.
    """
    from qlab.reading.known import against_known, known_table, sweeps_known

    if not sweeps_known(frame):
        return []
    csv = folder / "known.csv"
    known_table(frame).to_csv(csv, index=False)
    return [csv, *write_figure(lambda: against_known(frame), folder, "known", title, figures)]
