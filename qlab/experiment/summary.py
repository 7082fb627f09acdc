"""The files that sum an experiment up: tables as CSV, figures as PNG and HTML."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from qlab.experiment.session import Session
from qlab.tracking import frames, names
from qlab.views.summary import summarize
from qlab.views.unlearning import CURVES, curves_of, label_runs, summarize_unlearning


def summarise_trials(session: Session, parent: str) -> pd.DataFrame:
    """Writes table and figure of all trials, wherever in the MLflow experiment their runs are."""
    frame = _latest(session, names.TRIAL, [trial.key for trial in session.experiment.trials])
    table = summarize(frame)
    with tempfile.TemporaryDirectory() as folder:
        _log(session, parent, write_summary(table, Path(folder), session.experiment.name))
    return table


def summarise_unlearning(session: Session, parent: str) -> pd.DataFrame:
    """Writes table and figure of all unlearning runs; an empty table if there are none."""
    frame = _latest(session, names.UNLEARNING, [item.key for item in session.experiment.unlearnings])
    if frame.empty:
        return pd.DataFrame()
    table = summarize_unlearning(frame)
    labels = label_runs(frame)
    history = [
        {**label, "metric": metric, "step": step, "value": value}
        for label, run_id, status in zip(labels.to_dict("records"), frame["run_id"], frame["status"], strict=True)
        if status == "FINISHED"
        for metric, _ in CURVES
        for step, value in session.store.metric_history(run_id, metric)
    ]
    with tempfile.TemporaryDirectory() as folder:
        files = write_unlearning(table, pd.DataFrame(history), Path(folder), session.experiment.name)
        _log(session, parent, files)
    return table


def write_summary(table: pd.DataFrame, folder: Path, title: str) -> list[Path]:
    """Writes ``summary.csv``, ``accuracy.png`` and ``accuracy.html`` into a folder."""
    from qlab.views.resilience import accuracy_against_ratio
    from qlab.views.saving import save_html, save_png

    csv = folder / "summary.csv"
    table.to_csv(csv, index=False)
    figure = accuracy_against_ratio(table)
    return [csv, save_png(figure, folder / "accuracy.png"), save_html(figure, folder / "accuracy.html", title)]


def write_unlearning(table: pd.DataFrame, history: pd.DataFrame, folder: Path, title: str) -> list[Path]:
    """Writes ``unlearning.csv`` and, if a run finished, ``unlearning.png`` and ``unlearning.html`` into a folder."""
    from qlab.views.saving import save_html, save_png
    from qlab.views.unlearning import accuracy_against_step

    csv = folder / "unlearning.csv"
    table.to_csv(csv, index=False)
    if history.empty:
        return [csv]
    figure = accuracy_against_step(curves_of(history), table)
    return [csv, save_png(figure, folder / "unlearning.png"), save_html(figure, folder / "unlearning.html", title)]


def _latest(session: Session, kind: str, keys: Sequence[str]) -> pd.DataFrame:
    frame = frames.runs_of_kind(session.store, [session.experiment_id], kind)
    return frames.latest_per_trial(frame[frame["trial"].isin(keys)])


def _log(session: Session, parent: str, files: Sequence[Path]) -> None:
    for file in files:
        session.store.log_file(parent, file, "summary")
