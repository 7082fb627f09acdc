"""The files that sum an experiment up: tables as CSV, figures as PNG and HTML.

Views are imported when something is summed up: training does not wait for libraries that draw, and helpers do without.
"""

from __future__ import annotations

import dataclasses
import functools
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from qlab.attempts import Attempts
from qlab.experiment.asking.trial import ProbeRun, Trial, Unlearning, content_hash
from qlab.experiment.recording.claims import evaluate_claims
from qlab.experiment.recording.figure_files import write_figure
from qlab.experiment.recording.followed import write_relearning, write_steps
from qlab.experiment.recording.known import write_known
from qlab.experiment.recording.maps import worth_drawing, write_maps
from qlab.experiment.recording.margins import write_margins
from qlab.experiment.recording.probe_files import write_probes
from qlab.experiment.recording.recorder import Recorder
from qlab.landscape import ProbeResult
from qlab.reading.histories import Histories
from qlab.tracking import frames, names

FIRST_FILE = "summary/summary.csv"
"""The artifact of the experiment's run that every summary has."""

T = TypeVar("T")

_FORM = 2
"""The version of what is written; summaries of another version are written again."""


@dataclasses.dataclass(frozen=True, eq=False)
class Summary:
    """The tables of an experiment.

    Args:
        trials: see :func:`qlab.views.summary.summarize`.
        unlearning: see :func:`qlab.views.unlearning.summarize_unlearning`; empty without methods.
        probes: see :func:`qlab.views.curvature.summarize_probes`; empty without probes.
        missing: figures that could not be drawn, and why.
        claims: see :func:`qlab.claims.table.claim_table`; empty without claims.
        maps: names of the heat maps, see :func:`qlab.views.mapped.sketches`.
        audits: see :func:`qlab.views.audit_tables.summarize_audits`; empty without audits.
    """

    trials: pd.DataFrame
    unlearning: pd.DataFrame
    probes: pd.DataFrame
    missing: dict[str, str]
    claims: pd.DataFrame
    maps: tuple[str, ...] = ()
    audits: pd.DataFrame = dataclasses.field(default_factory=pd.DataFrame)


class _Undrawn(Attempts):
    """Tries nothing: there are to be no figures."""

    def made(self, what: str, make: Callable[[], T]) -> T | None:
        return None


def summarise(recorder: Recorder, parent: str) -> Summary:
    """The tables of all that an experiment asks for, wherever in the MLflow experiment the runs are.

    They are written to the parent run, and drawn, unless that has been done of the same runs, and to the end. A figure
    that cannot be drawn keeps nothing else from being written; it is tried again the next time.
    """
    return _summarised(recorder, parent, Attempts(), draw=True)


def tabulate(recorder: Recorder, parent: str) -> Summary:
    """The same without PNG and HTML, which take most of the time: figures are drawn by the next :func:`summarise`."""
    return _summarised(recorder, parent, _Undrawn(), draw=False)


def _summarised(recorder: Recorder, parent: str, figures: Attempts, draw: bool) -> Summary:
    trials = _latest(recorder, names.TRIAL, recorder.experiment.trials)
    unlearnings = _latest(recorder, names.UNLEARNING, recorder.experiment.unlearnings)
    probes = _latest(recorder, names.PROBE, recorder.experiment.probe_runs)
    shown = [frame[["run_id", "status", "health"]].fillna("") for frame in (trials, unlearnings, probes)]
    # Metrics that were asked for later come to runs that were drawn before.
    measured = [own for frame in (trials, unlearnings) for own in frame[names.MEASURED] if own]
    claims = evaluate_claims(recorder, parent, trials, unlearnings, probes)
    maps = worth_drawing(trials, unlearnings, figures)
    audited = [own for own in unlearnings[names.AUDITED] if own] if recorder.experiment.audit is not None else []
    said: list[Any] = [claims.to_json()] if len(claims) else []
    told = [*said, *([sorted(maps)] if maps else []), *([audited, "margins"] if audited else [])]
    digest = content_hash(
        [_FORM, *(part.to_numpy().tolist() for part in shown), *([measured] if measured else []), *told]
    )
    with recorder.tracking():
        drawn = recorder.store.get_run(parent).data.tags.get(names.SUMMARY)
        write = drawn != digest or not recorder.store.has_file(parent, FIRST_FILE)
    unlearned, steps = _summarise_unlearning(recorder, parent, unlearnings, write, figures)
    found = Summary(
        _summarise_trials(recorder, parent, trials, write, figures),
        unlearned,
        _summarise_probes(recorder, parent, probes, write, figures),
        figures.missing,
        claims,
        tuple(maps),
        _summarise_audits(recorder, parent, unlearnings, write, figures) if audited else pd.DataFrame(),
    )
    if write:
        _write_maps(recorder, parent, maps, figures)
        from qlab.experiment.recording.showing import show_experiment

        pictured = [name for name in ("accuracy", *maps) if draw and name not in figures.missing]
        show_experiment(recorder, parent, trials, found.trials, unlearnings, steps, claims, pictured=pictured)
    if write and draw and not figures.missing:
        with recorder.tracking():
            recorder.store.set_tags(parent, {names.SUMMARY: digest})
    return found


def _write_maps(recorder: Recorder, parent: str, maps: dict[str, Any], figures: Attempts) -> None:
    with tempfile.TemporaryDirectory() as folder:
        _log(recorder, parent, write_maps(maps, Path(folder), recorder.experiment.name, figures))


def _summarise_trials(
    recorder: Recorder, parent: str, frame: pd.DataFrame, write: bool, figures: Attempts
) -> pd.DataFrame:
    from qlab.views.summary import summarize

    table = summarize(frame)
    if not write:
        return table
    with tempfile.TemporaryDirectory() as folder:
        _log(recorder, parent, write_summary(table, Path(folder), recorder.experiment.name, figures))
    return table


def _summarise_unlearning(
    recorder: Recorder, parent: str, frame: pd.DataFrame, write: bool, figures: Attempts
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The table, and the curves that are drawn; empty if nothing is to be written."""
    if frame.empty:
        return pd.DataFrame(), pd.DataFrame()
    from qlab.views.unlearning import curves_of, history_of, summarize_unlearning

    table = summarize_unlearning(frame)
    if not write:
        return table, pd.DataFrame()
    with recorder.tracking():
        history = history_of(frame, Histories(recorder.store, list(frame["run_id"])))
    curves = pd.DataFrame() if history.empty else curves_of(history)
    with tempfile.TemporaryDirectory() as folder:
        files = write_unlearning(table, curves, Path(folder), recorder.experiment.name, figures)
        files += write_known(frame, Path(folder), recorder.experiment.name, figures)
        _log(recorder, parent, files)
    return table, curves


def _summarise_audits(
    recorder: Recorder, parent: str, frame: pd.DataFrame, write: bool, figures: Attempts
) -> pd.DataFrame:
    from qlab.views.audit_tables import summarize_audits

    table = summarize_audits(frame)
    if write and len(table):
        from qlab.views.audits import bars_beside_oracles

        with tempfile.TemporaryDirectory() as folder:
            csv = Path(folder) / "audits.csv"
            table.to_csv(csv, index=False)
            title = recorder.experiment.name
            drawn = write_figure(lambda: bars_beside_oracles(table), Path(folder), "audits", title, figures)
            with recorder.tracking():
                read = Histories(recorder.store, list(frame["run_id"]))
                drawn += write_relearning(frame, read, Path(folder), title, figures)
                drawn += write_margins(recorder.store, frame, Path(folder), title, figures)
            _log(recorder, parent, [csv, *drawn])
    return table


def _summarise_probes(
    recorder: Recorder, parent: str, frame: pd.DataFrame, write: bool, figures: Attempts
) -> pd.DataFrame:
    if frame.empty:
        return pd.DataFrame()
    from qlab.views.curvature import summarize_probes

    table = summarize_probes(frame, frames.metric_columns(frame))
    if not write:
        return table
    pictures = _pictured(frame)
    with tempfile.TemporaryDirectory() as folder:
        with recorder.tracking():
            results = _results(recorder, pictures, Path(folder), figures)
        title = recorder.experiment.name
        # Of steps there are figures of their own: against the ratio they would be a line for each.
        files = write_probes(table, results, Path(folder), title, figures, drawn=_against_ratio(frame, table))
        _log(recorder, parent, [*files, *write_steps(frame, Path(folder), title, figures)])
    return table


def _against_ratio(frame: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """The table of those probes that follow no unlearner step by step."""
    from qlab.reading.along_steps import follows_steps, stepped
    from qlab.views.curvature import summarize_probes

    if not follows_steps(frame):
        return table
    return summarize_probes(frame[~stepped(frame)], frames.metric_columns(frame))


def _results(
    recorder: Recorder, pictures: Sequence[tuple[str, str]], folder: Path, figures: Attempts
) -> list[tuple[str, ProbeResult]]:
    """The results of runs, by their labels; those that cannot be read are reported as missing."""
    found = []
    for label, run in pictures:
        result = figures.made(f"landscapes: {label}", functools.partial(_result, recorder, run, folder))
        if result is not None:
            found.append((label, result))
    return found


def _result(recorder: Recorder, run: str, folder: Path) -> ProbeResult:
    return ProbeResult.load(recorder.store.fetch_file(run, names.PROBE_RESULT, _made(folder / run)))


def _pictured(frame: pd.DataFrame) -> list[tuple[str, str]]:
    """Label and run of every slice and path of the first seed that has one."""
    frame = frame[(frame["status"] == "FINISHED") & frame["probe.type"].isin(["SliceProbe", "InterpolationProbe"])]
    if frame.empty:
        return []
    from qlab.views.curvature import label_probe_runs
    from qlab.views.labels import ratio_text

    labels = label_probe_runs(frame)
    order = pd.concat([labels, frame[["seed", "run_id"]]], axis=1).sort_values("seed", kind="stable")
    first = order.drop_duplicates(["model", "corruption", "ratio", "probe"])
    return [
        (
            f"{row['model']}, {row['corruption']} {ratio_text(row['ratio'], labels['ratio'])}, seed {row['seed']}",
            str(row["run_id"]),
        )
        for row in first.sort_index().to_dict("records")
    ]


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def write_summary(table: pd.DataFrame, folder: Path, title: str, figures: Attempts | None = None) -> list[Path]:
    """Writes ``summary.csv``, ``accuracy.png`` and ``accuracy.html`` into a folder.

    Args:
        table: see :func:`qlab.views.summary.summarize`.
        folder: where to.
        title: of the pages.
        figures: is told which figures cannot be drawn; without it that is an error.
    """

    def draw() -> Any:
        from qlab.views.resilience import accuracy_against_ratio

        return accuracy_against_ratio(table)

    csv = folder / "summary.csv"
    table.to_csv(csv, index=False)
    return [csv, *write_figure(draw, folder, "accuracy", title, figures)]


def write_unlearning(
    table: pd.DataFrame, curves: pd.DataFrame, folder: Path, title: str, figures: Attempts | None = None
) -> list[Path]:
    """Writes ``unlearning.csv`` and, if a run finished, ``unlearning.png`` and ``unlearning.html`` into a folder.

    Where there is too much for one figure there are ``unlearning_2.png`` and so on. See :func:`write_summary`; curves
    are those of :func:`qlab.views.unlearning.curves_of`.
    """
    from qlab.views.unlearning import accuracy_against_step, figures_over_steps

    csv = folder / "unlearning.csv"
    table.to_csv(csv, index=False)
    if curves.empty:
        return [csv]
    files = [csv]
    for name, rows in figures_over_steps(table).items():
        draw = functools.partial(accuracy_against_step, curves, table, rows=rows)
        files += write_figure(draw, folder, name, title, figures)
    return files


def _latest(recorder: Recorder, kind: str, items: Sequence[Trial | Unlearning | ProbeRun]) -> pd.DataFrame:
    with recorder.tracking():
        frame = frames.runs_of_kind(recorder.store, [recorder.experiment_id], kind)
    return frames.latest_per_trial(frame[frame["trial"].isin([item.key for item in items])])


def _log(recorder: Recorder, parent: str, files: Sequence[Path]) -> None:
    with recorder.tracking():
        for file in files:
            recorder.store.log_file(parent, file, "summary")
