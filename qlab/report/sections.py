"""What a report says of one experiment: figures, tables and settings, from the runs in the store."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from qlab.attempts import Attempts
from qlab.reading.along_steps import along_steps, figures_along, stepped
from qlab.reading.claims import claims_of
from qlab.reading.histories import Histories
from qlab.reading.known import against_known, known_table, sweeps_known
from qlab.reading.margins import audited_runs, margins_of_runs, one_of_each, stored_margins
from qlab.report.data import Shown, shown_data
from qlab.report.reference import References, agreement, matched_by_task
from qlab.tracking import frames, names, params
from qlab.tracking.store import Store
from qlab.views.curvature import figures_of, summarize_probes
from qlab.views.labels import labelled, natural, numbers
from qlab.views.mapped import sketches
from qlab.views.margins import ridges
from qlab.views.relearning import relearning_curves, relearning_history, was_audited
from qlab.views.resilience import accuracy_against_ratio
from qlab.views.summary import METRICS, summarize
from qlab.views.unlearning import (
    accuracy_against_step,
    curves_of,
    figures_over_steps,
    history_of,
    label_runs,
    summarize_unlearning,
)

Draw = Callable[[], Any]

_PROBE_CAPTIONS = {
    "roughening": "Landscape roughening ratio (mean over pairs, 95 % bootstrap interval) and the absolute traces.",
    "hessian": "Hessian trace and its two terms, mean over seeds and 95 % bootstrap interval.",
    "under_noise": "Accuracy of trained circuits under other noise than they were trained with, and how it changed: "
    "mean over seeds and 95 % bootstrap interval.",
}

_STEPS_CAPTION = (
    "What probes measure along unlearning: mean and standard deviation over runs; the trained model and the oracle are "
    "level lines, where the probe was taken there."
)

_RELEARNING_CAPTION = (
    "Relearning: the fraction of known and hidden corrupted rows that get their polluted labels while the known ones "
    "are learned anew after unlearning; beside models that were not unlearned and oracles. Mean and standard deviation "
    "over runs."
)

_KNOWN_CAPTION = (
    "Unlearning methods by the fraction of corrupted rows that they are told: mean and standard deviation over runs. "
    "Corrective accuracy is that under true labels on corrupted training rows, known and hidden; with a trigger, on "
    "validation rows that were given it."
)


_MARGINS_CAPTION = (
    "Margins of single rows over oracles, over models before unlearning and over unlearned ones: of each kind of rows "
    "the worst, the median and the best by KLoM, for every method on one trained model. Above 0 a row is given the "
    "label that it was trained with. Each density is scaled to the same height; margins are cut off at -100 and 100."
)


@dataclasses.dataclass(frozen=True, eq=False)
class Section:
    """What a report says of one MLflow experiment.

    Args:
        name: of the experiment.
        about: what it is for.
        settings: every setting, by dotted name, with all values it takes.
        figures: captions and how to draw them, by file name.
        tables: captions and tables, by file name.
        agreement: points of agreement with published ones, or None without.
        missing: what of it could not be made, and why.
        shown: the data and circuits, or None where they cannot be made again.
        claims: what was claimed and the verdicts, see :func:`qlab.claims.table.claim_table`; None without claims.
    """

    name: str
    about: str
    settings: dict[str, str]
    figures: dict[str, tuple[str, Draw]]
    tables: dict[str, tuple[str, pd.DataFrame]]
    agreement: pd.DataFrame | None
    missing: dict[str, str] = dataclasses.field(default_factory=dict)
    shown: Shown | None = None
    claims: pd.DataFrame | None = None


def section_of(store: Store, name: str, references: References | None) -> Section | None:
    """The section of one experiment; None if it has no trials.

    Args:
        store: where the runs are.
        name: of the MLflow experiment.
        references: published points to compare with.
    """
    every = frames.runs(store, store.experiment_ids([name]))
    trials = frames.latest_per_trial(every[every["kind"] == names.TRIAL])
    if trials.empty:
        return None
    unlearnings = frames.latest_per_trial(every[every["kind"] == names.UNLEARNING])
    probes = frames.latest_per_trial(every[every["kind"] == names.PROBE])
    attempts = Attempts()
    made = [attempts.made("accuracies", lambda: _resilience(trials, references))]
    if not unlearnings.empty:
        made.append(attempts.made("unlearning", lambda: _unlearning(store, unlearnings, references)))
    if not probes.empty:
        made.append(attempts.made("probes", lambda: _probes(probes)))
    made.append(attempts.made("heat maps", lambda: _maps(trials, unlearnings)))
    parts = [part for part in made if part is not None]
    parents = every[every["kind"] == names.EXPERIMENT]
    parent = str(parents["run_id"].iloc[-1]) if len(parents) else ""
    compared = [part.agreement for part in parts if part.agreement is not None]
    claims = attempts.made("claims", lambda: claims_of(store, {name: store.experiment_ids([name])[0]}))
    return Section(
        name=name,
        about=store.note(parent) if parent else "",
        settings=_settings([trials, unlearnings, probes]),
        figures={file: figure for part in parts for file, figure in part.figures.items()},
        tables={file: table for part in parts for file, table in part.tables.items()},
        agreement=pd.concat(compared, ignore_index=True) if compared else None,
        shown=attempts.made("data and circuits", lambda: shown_data(store, parent)) if parent else None,
        missing=attempts.missing,
        claims=None if claims is None or claims.empty else claims,
    )


@dataclasses.dataclass(frozen=True, eq=False)
class _Part:
    figures: dict[str, tuple[str, Draw]]
    tables: dict[str, tuple[str, pd.DataFrame]]
    agreement: pd.DataFrame | None = None


def _resilience(trials: pd.DataFrame, references: References | None) -> _Part:
    table = summarize(trials)
    tables = {"accuracy": ("Final accuracy, mean and standard deviation over seeds.", table)}
    swept = table["ratio"].nunique() > 1
    tasks = _tasks(trials, labelled(trials))
    published = matched_by_task(tasks, references.resilience) if references and swept else None
    compared = None
    if published is not None:
        ours = pd.concat(
            [
                table[["model", "corruption", "ratio"]].assign(
                    metric=metric, mean=table[f"{metric}_mean"], std=table[f"{metric}_std"], n=table["kept"]
                )
                for metric in METRICS
            ]
        )
        compared = agreement(ours, published, ["model", "corruption", "ratio", "metric"])
        compared = None if compared.empty else compared
    if not swept:
        return _Part({}, tables)
    caption = "Accuracy against corruption ratio: mean and standard deviation over seeds."
    if published is not None:
        caption += " Open markers: published."
    return _Part({"accuracy": (caption, lambda: accuracy_against_ratio(table, published))}, tables, compared)


def _tasks(runs: pd.DataFrame, labels: pd.DataFrame) -> dict[str, str]:
    """The task of each model, by the model's label; labels tell tasks apart where there are several."""
    tasks = runs["task.type"] if "task.type" in runs else [None] * len(runs)
    return dict(zip(labels["model"], (str(task).lower() for task in tasks), strict=True))


def _unlearning(store: Store, runs: pd.DataFrame, references: References | None) -> _Part:
    table = summarize_unlearning(runs)
    histories = Histories(store, list(runs["run_id"]))
    history = history_of(runs, histories)
    tables = {"unlearning": ("Unlearning methods at their last step, mean and standard deviation over runs.", table)}
    figures: dict[str, tuple[str, Draw]] = {}
    if sweeps_known(runs):
        figures["known"] = (_KNOWN_CAPTION, lambda: against_known(runs))
        tables["known"] = (_KNOWN_CAPTION, known_table(runs))
    if len(audited := one_of_each(audited_runs(runs))):
        margins = margins_of_runs(audited, stored_margins(store))
        figures["margins"] = (_MARGINS_CAPTION, lambda: ridges(margins))
        tables["margins"] = (_MARGINS_CAPTION, margins)
    if history.empty:
        return _Part({}, tables)
    curves = curves_of(history)
    published = matched_by_task(_tasks(runs, label_runs(runs)), references.unlearning) if references else None
    compared = None
    if published is not None:
        ours = curves.rename(columns={"deviation": "std", "kept": "n"})
        compared = agreement(ours, published, ["model", "corruption", "ratio", "method", "metric", "step"])
        compared = None if compared.empty else compared
    caption = "Accuracy on the validation split and on the forget set with its polluted labels against the step."
    if published is not None:
        caption += " Dashed: published."
    drawn: dict[str, tuple[str, Draw]] = {
        name: (caption, functools.partial(accuracy_against_step, curves, table, published, rows=rows))
        for name, rows in figures_over_steps(table).items()
    }
    if was_audited(runs):
        relearned = relearning_history(runs, histories)
        figures["relearning"] = (_RELEARNING_CAPTION, lambda: relearning_curves(relearned, runs))
    return _Part(drawn | figures, tables, compared)


def _probes(runs: pd.DataFrame) -> _Part:
    table = summarize_probes(runs, frames.metric_columns(runs))
    along = figures_along(runs)
    level = summarize_probes(runs[~stepped(runs)], frames.metric_columns(runs)) if along else table
    figures: dict[str, tuple[str, Draw]] = {
        name: (_PROBE_CAPTIONS[name], functools.partial(draw, level)) for name, draw in figures_of(level).items()
    }
    figures |= {name: (_STEPS_CAPTION, functools.partial(along_steps, own)) for name, own in along.items()}
    return _Part(figures, {"probes": ("Landscape probes.", table)})


def _maps(trials: pd.DataFrame, unlearnings: pd.DataFrame) -> _Part:
    found = sketches(trials, unlearnings)
    figures: dict[str, tuple[str, Draw]] = {name: (own.caption, own.draw) for name, own in found.items()}
    tables = {name: (f"Cells of {name.replace('_', ' ')}.", own.named_table) for name, own in found.items()}
    return _Part(figures, tables)


def _settings(runs: Sequence[pd.DataFrame]) -> dict[str, str]:
    """Every param with the values it takes, in order of name; seeds and identities of points are left out."""
    found = {}
    for column in sorted({column for frame in runs for column in frames.param_columns(frame)}):
        if column.startswith("points.") or column.endswith((".label", ".code")):
            continue
        values = [value for frame in runs if column in frame for value in frame[column].dropna()]
        texts = numbers(value for value in values if isinstance(value, float))
        shown = {texts[value] if isinstance(value, float) else params.shown(value) for value in values}
        if shown:
            found[column] = ", ".join(sorted(shown, key=natural))
    return found
