"""What an experiment looks like in the MLflow UI: the curves of its own run, its description, its prepared views."""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlencode

import pandas as pd

from qlab.claims.table import short
from qlab.experiment.asking.experiment import Experiment
from qlab.experiment.recording.recorder import Recorder
from qlab.tracking import names
from qlab.tracking.curves import Curve, unit, write_curves
from qlab.tracking.groups import RATIO
from qlab.tracking.redaction import redact
from qlab.tracking.showcase import MAIN, UNLEARNING, View, address, run_address, show
from qlab.words import counted

_TRIALS = ("validation_accuracy", "train_accuracy")
_METHODS = ("validation_accuracy", "forget_accuracy_polluted")

_MARKDOWN = re.compile(r"([\\`*_{}\[\]<#|])")


def show_experiment(
    recorder: Recorder,
    parent: str,
    trials: pd.DataFrame,
    table: pd.DataFrame,
    unlearned: pd.DataFrame,
    steps: pd.DataFrame,
    claims: pd.DataFrame,
    *,
    pictured: Sequence[str],
) -> None:
    """Writes what the UI shows, unless it is already there.

    Args:
        recorder: of the experiment.
        parent: the experiment's run.
        trials: one row for each trial.
        table: see :func:`qlab.views.summary.summarize`.
        unlearned: one row for each unlearning run.
        steps: see :func:`qlab.views.unlearning.curves_of`.
        claims: see :func:`qlab.claims.table.claim_table`.
        pictured: the summary's figures that the experiment's run has, of "accuracy", "map" and "unlearning_map".
    """
    store, experiment_id = recorder.store, recorder.experiment_id
    with recorder.tracking():
        whole = unit(table["ratio"])
        against_ratio, against_step = ratio_curves(table, whole), step_curves(steps)
        write_curves(store, parent, [*against_ratio, *against_step])
        views = prepared_views(trials, unlearned, against_ratio, against_step, whole)
        run = store.known_as(parent)
        note = description(recorder.experiment, experiment_id, run, table, views, claims, pictured=pictured)
        show(store, experiment_id, note, views)


def ratio_curves(table: pd.DataFrame, whole: int) -> list[Curve]:
    """Accuracy against the ratio of each model and corruption; without a corruption it is at zero.

    Args:
        table: see :func:`qlab.views.summary.summarize`.
        whole: the factor that turns ratios into steps.
    """
    curves = []
    from qlab.views.resilience import panels_of

    for metric, _ in panels_of(table):
        for (model, corruption), own in table.groupby(["model", "corruption"], sort=False):
            steps = [0 if math.isnan(ratio) else round(ratio * whole) for ratio in own["ratio"]]
            mean, deviation = (dict(zip(steps, own[f"{metric}_{part}"], strict=True)) for part in ("mean", "std"))
            curves.append(Curve(metric, f"{model} {corruption}", str(corruption), mean, deviation))
    return curves


def step_curves(steps: pd.DataFrame) -> list[Curve]:
    """Accuracy against the unlearning step of each method, for each model, corruption and ratio.

    Args:
        steps: see :func:`qlab.views.unlearning.curves_of`.
    """
    if steps.empty:
        return []
    from qlab.views.labels import ratio_text

    curves = []
    for metric in _METHODS:
        rows = steps[steps["metric"] == metric]
        groups: Any = rows.groupby(["model", "corruption", "ratio", "method"], sort=False, dropna=False)
        for (model, corruption, ratio, method), own in groups:
            panel = f"{model} {corruption} {ratio_text(ratio, steps['ratio'])}"
            at = [int(step) for step in own["step"]]
            mean, deviation = (dict(zip(at, own[part], strict=True)) for part in ("mean", "deviation"))
            curves.append(Curve(f"unlearning_{metric}", f"{panel} {method}", panel, mean, deviation))
    return curves


def prepared_views(
    trials: pd.DataFrame,
    unlearned: pd.DataFrame,
    against_ratio: Sequence[Curve],
    against_step: Sequence[Curve],
    whole: int,
) -> list[View]:
    """The views: one of trials, and one of unlearning runs if there are some."""
    axis = _axis(whole)
    from qlab.views.kept import measured

    metrics = (*_TRIALS, *measured(trials))
    own, columns = _settings(trials), [f"metrics.{name}" for name in metrics]
    views = [View(MAIN, "qlab: trials", names.TRIAL, own, [*columns, "params.seed"], metrics, against_ratio, axis)]
    if not unlearned.empty:
        keys = [*_settings(unlearned), "unlearner.type"]
        columns = [f"metrics.{name}" for name in (*_METHODS, "retain_accuracy")]
        views.append(
            View(
                UNLEARNING,
                "qlab: unlearning",
                names.UNLEARNING,
                keys,
                [*columns, "params.seed"],
                _METHODS,
                against_step,
                "unlearning steps",
            )
        )
    return views


def _axis(whole: int) -> str:
    return "ratio in percent" if whole == 100 else f"ratio times {whole}"


def _settings(frame: pd.DataFrame) -> list[str]:
    """The params that tell groups of runs apart: the model, the ratio, and those in which runs differ."""
    from qlab.views.labels import varying

    found = [name for name in varying(frame) if name != "model.type" and _tells_apart(frame, name)]
    if "corruption.type" in frame and frame["corruption.type"].nunique(dropna=False) > 1:
        found.append("corruption.type")
    return ["model.type", *found, RATIO]


def _tells_apart(frame: pd.DataFrame, name: str) -> bool:
    """Whether a param differs among runs of one type of model: where it does not, the type says as much."""
    values = frame[name].map(repr)
    return bool((values.groupby(frame["model.type"], dropna=False).nunique() > 1).any())


def description(
    experiment: Experiment,
    experiment_id: str,
    run_id: str,
    table: pd.DataFrame,
    views: Iterable[View],
    claims: pd.DataFrame | None = None,
    *,
    pictured: Sequence[str] = ("accuracy",),
) -> str:
    """What is asked, the summary's figures if there are some, and the command, as Markdown."""
    seeds = len({trial.seed for trial in experiment.trials})
    ratios = sorted({float(ratio) for ratio in table["ratio"] if not math.isnan(ratio)})
    asked = [
        f"{counted(len(experiment.trials), 'trial')} of {_listed(table['model'])}",
        f"{_listed(table['corruption'])}, {'ratio' if len(ratios) == 1 else 'ratios'} "
        + (", ".join(f"{ratio:g}" for ratio in ratios) or "none"),
        counted(seeds, "seed"),
    ]
    if experiment.unlearnings:
        asked.append(counted(len(experiment.unlearnings), "unlearning run"))
    if experiment.probe_runs:
        asked.append(counted(len(experiment.probe_runs), "probe"))
    left_out = "; ".join(_literal(line) for line in experiment.left_out)
    source = redact(experiment.source)
    sets = [f"--set {key}={json.dumps(value)}" for key, value in experiment.assignments]
    command = " ".join(["qlab run", shlex.quote(source), *(redact(text) for text in sets)])
    links = [f"[{view.name.removeprefix('qlab: ')}]({address(experiment_id, view.key)})" for view in views]
    lines = [
        _literal(experiment.about) or _literal(experiment.name),
        f"{'; '.join(asked)}. Compare: {', '.join(links)}.",
        f"Left out: {left_out}." if left_out else "",
        "" if claims is None else claim_lines(claims),
        *(_picture(name, run_id) for name in pictured),
        f"Means over seeds are metrics of the [experiment's run]({run_address(experiment_id, run_id)}); "
        f"their step is the {_axis(unit(table['ratio']))}, or the unlearning step. If a page shows evaluations, "
        f"choose *Model training* above the menu.",
        f"    {command}",
    ]
    return "\n\n".join(line for line in lines if line)


_PICTURED = {
    "accuracy": "accuracy against the ratio",
    "map": "accuracy over two swept fields",
    "unlearning_map": "accuracy after unlearning over a swept field",
}


def _picture(name: str, run_id: str) -> str:
    path = f"summary/{name}.png"
    there = f"get-artifact?{urlencode({'path': path, 'run_uuid': run_id})}"
    return f"![{_PICTURED[name]}; also in the artifacts of the experiment's run, {path}]({there})"


def claim_lines(claims: pd.DataFrame) -> str:
    """Claims and verdicts as a list in Markdown; nothing without claims."""
    return "\n".join(
        f"- **{row['verdict']}**: {_literal(row['claim'])} ({_literal(row['effect'])}, n = {_literal(row['n'])}"
        + (f"; {_literal(row['note'])})" if row["note"] else ")")
        for row in short(claims).to_dict("records")
    )


def _listed(labels: Iterable[str]) -> str:
    own = [_literal(label) for label in dict.fromkeys(labels)]
    return ", ".join(own[:12]) + (f" and {len(own) - 12} more" if len(own) > 12 else "")


def _literal(text: str) -> str:
    """Text as Markdown that shows it as it is."""
    return _MARKDOWN.sub(r"\\\1", " ".join(str(text).split()))
