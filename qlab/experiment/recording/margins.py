"""Margins of single rows that audits kept, among the files that sum an experiment up."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from qlab.attempts import Attempts
from qlab.experiment.recording.figure_files import tried, write_figure
from qlab.tracking.store import Store


def write_margins(
    store: Store, frame: pd.DataFrame, folder: Path, title: str, figures: Attempts | None = None
) -> list[Path]:
    """Writes ``margins.csv``, ``margins.png`` and ``margins.html`` if a run was audited with KLoM.

    Of every model the methods on one trained model, see :func:`qlab.reading.margins.one_of_each`.

    Args:
        store: where audits keep their arrays.
        frame: one row for each unlearning run.
        folder: where to; exists.
        title: heading of the interactive figure.
        figures: is told what cannot be read or drawn; without it that is an error.
    """
    from qlab.reading.margins import audited_runs, margins_of_runs, one_of_each, stored_margins
    from qlab.views.margins import ridges

    found = one_of_each(audited_runs(frame))
    if found.empty:
        return []
    table = tried("margins", lambda: margins_of_runs(found, stored_margins(store)), figures)
    if table is None or table.empty:
        return []
    csv = folder / "margins.csv"
    table.to_csv(csv, index=False)
    return [csv, *write_figure(lambda: ridges(table), folder, "margins", title, figures)]
