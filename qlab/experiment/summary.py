"""The files that sum an experiment up: tables as CSV, figures as PNG and HTML.

Views are imported when something is summed up: training does not wait for libraries that draw, and helpers do without.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from qlab.experiment.session import Session
from qlab.experiment.trial import Measurement, Trial, Unlearning, content_hash
from qlab.landscape import ProbeResult
from qlab.tracking import frames, names

FIRST_FILE = "summary/summary.csv"
"""The artifact of the experiment's run that every summary has."""


@dataclasses.dataclass(frozen=True, eq=False)
class Summary:
    """The tables of an experiment.

    Args:
        trials: see :func:`qlab.views.summary.summarize`.
        unlearning: see :func:`qlab.views.unlearning.summarize_unlearning`; empty without methods.
        probes: see :func:`qlab.views.curvature.summarize_probes`; empty without probes.
    """

    trials: pd.DataFrame
    unlearning: pd.DataFrame
    probes: pd.DataFrame


def summarise(session: Session, parent: str) -> Summary:
    """The tables of all that an experiment asks for, wherever in the MLflow experiment the runs are.

    They are written to the parent run, and drawn, unless that has been done of the same runs, and to the end.
    """
    trials = _latest(session, names.TRIAL, session.experiment.trials)
    unlearnings = _latest(session, names.UNLEARNING, session.experiment.unlearnings)
    probes = _latest(session, names.PROBE, session.experiment.measurements)
    shown = [frame[["run_id", "status", "health"]].fillna("") for frame in (trials, unlearnings, probes)]
    digest = content_hash([part.to_numpy().tolist() for part in shown])
    with session.tracking():
        drawn = session.store.get_run(parent).data.tags.get(names.SUMMARY)
        draw = drawn != digest or not session.store.has_file(parent, FIRST_FILE)
    found = Summary(
        _summarise_trials(session, parent, trials, draw),
        _summarise_unlearning(session, parent, unlearnings, draw),
        _summarise_probes(session, parent, probes, draw),
    )
    if draw:
        with session.tracking():
            session.store.set_tags(parent, {names.SUMMARY: digest})
    return found


def _summarise_trials(session: Session, parent: str, frame: pd.DataFrame, draw: bool) -> pd.DataFrame:
    from qlab.views.summary import summarize

    table = summarize(frame)
    if not draw:
        return table
    with tempfile.TemporaryDirectory() as folder:
        _log(session, parent, write_summary(table, Path(folder), session.experiment.name))
    return table


def _summarise_unlearning(session: Session, parent: str, frame: pd.DataFrame, draw: bool) -> pd.DataFrame:
    if frame.empty:
        return pd.DataFrame()
    from qlab.views.unlearning import history_of, summarize_unlearning

    table = summarize_unlearning(frame)
    if not draw:
        return table
    with session.tracking():
        history = history_of(frame, session.store.metric_history)
    with tempfile.TemporaryDirectory() as folder:
        files = write_unlearning(table, history, Path(folder), session.experiment.name)
        _log(session, parent, files)
    return table


def _summarise_probes(session: Session, parent: str, frame: pd.DataFrame, draw: bool) -> pd.DataFrame:
    if frame.empty:
        return pd.DataFrame()
    from qlab.views.curvature import summarize_probes

    table = summarize_probes(frame, frames.metric_columns(frame))
    if not draw:
        return table
    pictures = _pictured(frame)
    with tempfile.TemporaryDirectory() as folder:
        with session.tracking():
            results = [
                (
                    label,
                    ProbeResult.load(session.store.fetch_file(run, names.PROBE_RESULT, _made(Path(folder) / run))),
                )
                for label, run in pictures
            ]
        _log(session, parent, write_probes(table, results, Path(folder), session.experiment.name))
    return table


def _pictured(frame: pd.DataFrame) -> list[tuple[str, str]]:
    """Label and run of every slice and path of the first seed that has one."""
    frame = frame[(frame["status"] == "FINISHED") & frame["probe.type"].isin(["SliceProbe", "InterpolationProbe"])]
    if frame.empty:
        return []
    from qlab.views.curvature import label_probe_runs

    labels = label_probe_runs(frame)
    order = pd.concat([labels, frame[["seed", "run_id"]]], axis=1).sort_values("seed", kind="stable")
    first = order.drop_duplicates(["model", "corruption", "ratio", "probe"])
    return [
        (f"{row['model']}, {row['corruption']} {row['ratio']:g}, seed {row['seed']:g}", str(row["run_id"]))
        for row in first.sort_index().to_dict("records")
    ]


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def write_probes(
    table: pd.DataFrame, results: Sequence[tuple[str, ProbeResult]], folder: Path, title: str
) -> list[Path]:
    """Writes ``probes.csv`` and what there is of ``roughening``, ``hessian`` and ``landscapes`` as PNG and HTML.

    Args:
        table: see :func:`qlab.views.curvature.summarize_probes`.
        results: slices and paths to draw, with what they are of.
        folder: where to.
        title: of the pages.
    """
    from qlab.views.curvature import figures_of
    from qlab.views.landscape import gallery
    from qlab.views.saving import save_html, save_png

    csv = folder / "probes.csv"
    table.to_csv(csv, index=False)
    figures = {name: draw(table) for name, draw in figures_of(table).items()}
    if results:
        figures["landscapes"] = gallery(results)
    files = [csv]
    for name, figure in figures.items():
        files += [save_png(figure, folder / f"{name}.png"), save_html(figure, folder / f"{name}.html", title)]
    return files


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
    from qlab.views.unlearning import accuracy_against_step, curves_of

    csv = folder / "unlearning.csv"
    table.to_csv(csv, index=False)
    if history.empty:
        return [csv]
    figure = accuracy_against_step(curves_of(history), table)
    return [csv, save_png(figure, folder / "unlearning.png"), save_html(figure, folder / "unlearning.html", title)]


def _latest(session: Session, kind: str, items: Sequence[Trial | Unlearning | Measurement]) -> pd.DataFrame:
    with session.tracking():
        frame = frames.runs_of_kind(session.store, [session.experiment_id], kind)
    return frames.latest_per_trial(frame[frame["trial"].isin([item.key for item in items])])


def _log(session: Session, parent: str, files: Sequence[Path]) -> None:
    with session.tracking():
        for file in files:
            session.store.log_file(parent, file, "summary")
