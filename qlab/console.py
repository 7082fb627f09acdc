"""What the command line shows: progress, tables and messages."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from qlab.claims.table import VERDICT_NOTE, short
from qlab.tracking.audit_names import SHOWN as AUDITED
from qlab.views.audit_tables import floor_of, remarks
from qlab.views.kept import joined
from qlab.views.labels import ratio_text
from qlab.views.words import named
from qlab.words import counted

if TYPE_CHECKING:  # commands that only show tables do without PyTorch
    from qlab.experiment.runner import Outcome


def printer(file: Any = None) -> Console:
    """A console that prints tables to stdout, or to the stream given."""
    console = Console(file=file, highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, 140)
    return console


def print_outcome(
    console: Console, name: str, outcome: Outcome, location: str, tracking_option: str, *, figures: bool = True
) -> None:
    """The table of an experiment, where everything is, and what to do next."""
    console.print(summary_table(outcome.table, name))
    drawn, tables = "summary/accuracy.png, accuracy.html, summary.csv", "summary/summary.csv"
    if len(outcome.unlearning):
        console.print(unlearning_table(outcome.unlearning, f"{name}: unlearning"))
        from qlab.views.unlearning import figures_over_steps

        pages = ", ".join(f"{name}.png, {name}.html" for name in figures_over_steps(outcome.unlearning))
        drawn += f"; {pages}, unlearning.csv"
        tables += ", unlearning.csv"
        if any(" known=" in str(label) for label in outcome.unlearning["corruption"]):  # where it is swept
            drawn += "; known.png, known.html, known.csv"
            tables += ", known.csv"
    if len(outcome.audits):
        console.print(audit_table(outcome.audits, f"{name}: audits, in brackets what oracles have"))
        for line in remarks(outcome.audits):
            console.print(Text(line), soft_wrap=True)
        drawn += "; audits.png, audits.html, audits.csv"
        tables += ", audits.csv"
    if len(outcome.probes):
        for table in probe_tables(outcome.probes, name):
            console.print(table)
        drawn += "; probes.csv, and a figure for each kind of probe that qlab draws"
        tables += ", probes.csv"
    for maps in outcome.maps:
        drawn += f"; {maps}.png, {maps}.html, {maps}.csv"
        tables += f", {maps}.csv"
    if len(outcome.claims):
        console.print(claims_table(outcome.claims, f"{name}: claims"))
        console.print(Text(VERDICT_NOTE), soft_wrap=True)
    unlearned = f", {counted(outcome.unlearned, 'unlearning run')}" if len(outcome.unlearning) else ""
    measured = f", {counted(outcome.measured, 'probe')} taken" if len(outcome.probes) else ""
    compared = f"{counted(outcome.compared, 'trial')} compared to choose, " if outcome.choices else ""
    console.print(
        Text(
            f"{compared}{counted(outcome.trained, 'trial')} trained, {outcome.reused} from the store{unlearned}"
            f"{measured}; "
            f"{outcome.working_seconds:.1f} s of training, {outcome.tracking_seconds:.1f} s of tracking"
        )
    )
    for choice in outcome.choices:
        console.print(Text(f"chosen: {choice}"), soft_wrap=True)
    for what, why in outcome.missing.items():
        console.print(Text(f"NOT DRAWN {what}: {why}"), soft_wrap=True)
    for failure in outcome.failures:
        console.print(Text(f"FAILED {failure}"), soft_wrap=True)
    for what, where in (
        ("runs", f"{location} (MLflow experiment {name}, parent run {outcome.parent_run})"),
        ("figure" if figures else "tables", f"{outcome.artifacts}/{drawn if figures else tables}"),
        ("compare runs", f"qlab ui{tracking_option}"),
        ("explore", f"qlab explore{tracking_option}"),
    ):
        console.print(Text(f"{what + ':':13} {where}"), soft_wrap=True)


def summary_table(table: pd.DataFrame, title: str) -> Table:
    """Accuracies and further metrics by model, corruption and ratio, mean and deviation over seeds, n kept of n."""
    shown = Table(title=Text(title), title_justify="left")
    shown.add_column("model", overflow="fold")
    shown.add_column("corruption", overflow="fold")
    measured = [str(name).removesuffix("_mean") for name in table if str(name).endswith("_mean")]
    headings = (named(name).removesuffix(" (clean data)") for name in measured)
    for column in ("ratio", *headings, "kept"):
        shown.add_column(column, justify="right", overflow="fold")
    texts = [name for name in ("chosen", "left_out") if name in table and table[name].any()]
    for name in texts:
        shown.add_column(name.replace("_", " "), overflow="fold")
    previous = None
    for row in table.to_dict("records"):
        group = (row["model"], row["corruption"])
        if previous is not None and group != previous:
            shown.add_section()
        cells = [
            *(("", "") if group == previous else (str(part) for part in group)),
            ratio_text(row["ratio"], table["ratio"]),
            *(_spread(row[f"{name}_mean"], row[f"{name}_std"]) for name in measured),
            f"{row['kept']} of {row['trials']}",
        ]
        shown.add_row(*(Text(cell) for cell in [*cells, *(str(row[name]) for name in texts)]))
        previous = group
    return shown


def unlearning_table(table: pd.DataFrame, title: str) -> Table:
    """Each method's final accuracy, forgetting, speed and distance to the oracle, mean and deviation over seeds."""
    partial = {
        name: heading
        for name, heading in (("corrective_accuracy", "corrective"), ("reachable_gap", "gap to reachable"))
        if "reachable_gap_mean" in table and f"{name}_mean" in table  # where rows are hidden from methods
    }
    measured = ("validation", "forget, polluted labels", "steps to 95 % of oracle", "gap to oracle")
    spent = ("gradient evaluations", "seconds")
    chosen = ("chosen",) if "chosen" in table else ()

    def cells(row: Mapping[Hashable, Any]) -> list[str]:
        reached = row["steps_to_oracle_n"]
        steps = f"{row['steps_to_oracle_mean']:.0f}" if reached else "never"
        return [
            _spread(row["validation_accuracy_mean"], row["validation_accuracy_std"]),
            _spread(row["forget_accuracy_polluted_mean"], row["forget_accuracy_polluted_std"]),
            steps if reached in (0, row["kept"]) else f"{steps} ({reached} of {row['kept']} got there)",
            _spread(row["oracle_gap_mean"], row["oracle_gap_std"]),
            *(_spread(row[f"{name}_mean"], row[f"{name}_std"]) for name in partial),
            _counted(row.get("gradient_evaluations_mean", np.nan)),
            _seconds(row["unlearning_seconds_mean"]),
            *([str(row["chosen"])] if chosen else []),
            f"{row['kept']} of {row['runs']}" + (f" ({row['left_out']})" if row["left_out"] else ""),
        ]

    return _table_of_methods(table, title, (*measured, *partial.values(), *spent, *chosen, "kept"), cells)


def _counted(evaluations: float) -> str:
    """How many; nothing of runs that are older than the count."""
    return f"{evaluations:,.0f}" if np.isfinite(evaluations) else ""


def _seconds(seconds: float) -> str:
    return f"{seconds:.2g}" if np.isfinite(seconds) and seconds < 10.0 else _counted(seconds)


_FEW_AUDITS = 5
"""Deviations of up to so many numbers fit beside each other."""


def audit_table(table: pd.DataFrame, title: str) -> Table:
    """What audits found of each method, mean over runs (and deviation), and what oracles have among themselves."""
    metrics = [name for name in AUDITED if f"{name}_mean" in table]

    def cell(row: Mapping[Hashable, Any], metric: str) -> str:
        floor = floor_of(row, metric)
        beside = f" ({floor:.2f})" if np.isfinite(floor) else ""
        deviation = row[f"{metric}_std"] if len(metrics) <= _FEW_AUDITS else np.nan
        return _spread(row[f"{metric}_mean"], deviation, 2) + beside

    headings = [AUDITED[metric] for metric in metrics]
    return _table_of_methods(table, title, headings, lambda row: [cell(row, metric) for metric in metrics])


def _table_of_methods(
    table: pd.DataFrame, title: str, headings: Iterable[str], cells: Callable[[Mapping[Hashable, Any]], Iterable[str]]
) -> Table:
    """A row for each method, in sections by model, and by corruption and ratio if there are several."""
    shown = Table(title=Text(title), title_justify="left")
    several = any(table[column].nunique(dropna=False) > 1 for column in ("ratio", "corruption"))
    for column in ("model", "method"):
        shown.add_column(column, overflow="fold")
    for column in headings:
        shown.add_column(column, justify="right")
    previous = None
    for row in table.to_dict("records"):
        ratio = ratio_text(row["ratio"], table["ratio"])
        group = f"{row['model']} {row['corruption']} {ratio}" if several else str(row["model"])
        if previous is not None and group != previous:
            shown.add_section()
        shown.add_row(*map(Text, ["" if group == previous else group, str(row["method"]), *cells(row)]))
        previous = group
    return shown


_SHOWN: dict[str, dict[str, str]] = {
    "HessianProbe": {
        "hessian_trace": "trace",
        "hessian_trace_a": "term A",
        "hessian_trace_b": "term B",
        "hessian_eigenvalue_max": "largest",
        "hessian_eigenvalue_min": "lowest",
        "gradient_norm": "gradient",
    },
    "RougheningProbe": {"lrr": "LRR", "hessian_trace": "trace polluted", "hessian_trace_clean": "trace clean"},
    "SliceProbe": {"landscape_loss": "loss", "landscape_accuracy": "accuracy", "direction_length_1": "unit length"},
    "InterpolationProbe": {"barrier": "barrier", "distance_1": "first distance"},
    "GradientVarianceProbe": {
        "logit_gradient_variance": "variance, logits",
        "logit_gradient_square": "mean square, logits",
        "loss_gradient_variance": "variance, loss",
        "loss_gradient_square": "mean square, loss",
    },
    "ExpressivityProbe": {
        "jacobian_rank": "rank",
        "jacobian_rank_of_angles": "rank / angles",
        "pauli_strings": "Pauli strings",
        "effective_pauli_strings": "effective",
    },
    "UnderNoise": {
        "landscape_loss": "loss",
        "landscape_accuracy": "accuracy",
        "accuracy_change": "accuracy change",
        "noise_attenuation": "attenuation",
    },
}
"""The metrics shown of qlab's own probes, and their headings; others show their first metrics."""

_MOST_SHOWN = 6


def probe_tables(table: pd.DataFrame, name: str) -> list[Table]:
    """For each type of probe its metrics by model and ratio: mean and deviation over seeds, of LRR the interval too."""
    found = []
    for kind, rows in table.groupby("probe_type", sort=False, dropna=False):
        shown = Table(title=Text(f"{name}: {kind}"), title_justify="left")
        first_ones = [str(metric) for metric in rows["metric"].unique()[:_MOST_SHOWN] if metric]
        headings = _SHOWN.get(str(kind), dict(zip(first_ones, first_ones, strict=True)))
        metrics = [metric for metric in headings if (rows["metric"] == metric).any()]
        several = rows["probe"].nunique(dropna=False) > 1
        for column in ("model", "corruption", *(("probe",) if several else ())):
            shown.add_column(column, overflow="fold")
        for column in ("ratio", *(headings[metric] for metric in metrics), "kept"):
            shown.add_column(column, justify="right")
        previous: tuple[str, ...] = ()
        for group, own in rows.groupby(["model", "corruption", "probe", "ratio"], sort=False, dropna=False):
            by_metric = {str(row["metric"]): row for row in own.to_dict("records")}
            first = own.iloc[0]
            names = tuple(str(part) for part in (group[:3] if several else group[:2]))
            if previous and names != previous:
                shown.add_section()
            cells = [*([""] * len(names) if names == previous else names), ratio_text(first["ratio"], table["ratio"])]
            previous = names
            cells += [_interval(by_metric[metric]) if metric in by_metric else "-" for metric in metrics]
            shown_rows = [row for metric, row in by_metric.items() if metric in metrics or not metric]
            left_out = joined(str(row["left_out"]) for row in shown_rows)
            reasons = f" ({left_out})" if left_out else ""
            # A mean may be over fewer than are kept, where a ratio has a zero to divide by.
            count = min((by_metric[metric]["n"] for metric in metrics if metric in by_metric), default=first["kept"])
            shown.add_row(*map(Text, [*cells, f"{count} of {first['runs']}{reasons}"]))
        found.append(shown)
    return found


def claims_table(table: pd.DataFrame, title: str) -> Table:
    """Each claim with its verdict, its effect with one-sided bounds, and how many seeds stand behind it."""
    shown = Table(title=Text(title), title_justify="left")
    people = short(table)
    shown.add_column("claim", overflow="fold", ratio=3)
    for column in ("verdict", "effect", "n"):
        shown.add_column(column, overflow="fold")
    if any(people["note"]):
        shown.add_column("note", overflow="fold", ratio=2)
    for row in people.to_dict("records"):
        cells = [str(row[name]) for name in ("claim", "verdict", "effect", "n", "note")]
        shown.add_row(*map(Text, cells[: len(shown.columns)]))
    return shown


def frame_table(frame: pd.DataFrame, title: str) -> Table:
    """Any data frame as a table of text."""
    shown = Table(title=Text(title), title_justify="left")
    for column in frame.columns:
        shown.add_column(Text(str(column)), overflow="fold")
    for row in frame.itertuples(index=False):
        shown.add_row(
            *(Text("" if pd.isna(cell) else f"{cell:.3f}" if isinstance(cell, float) else str(cell)) for cell in row)
        )
    return shown


def _spread(mean: float, deviation: float, digits: int = 3) -> str:
    if np.isnan(mean):
        return "-"
    return f"{mean:.{digits}f}" if np.isnan(deviation) else f"{mean:.{digits}f} ± {deviation:.{digits}f}"


def _interval(row: Mapping[Hashable, Any]) -> str:
    """Mean and deviation; for a roughening ratio the bootstrap interval too."""
    if pd.isna(row["mean"]):
        return "-"
    shown = _digits(row["mean"]) + ("" if pd.isna(row["std"]) else f" ± {_digits(row['std'], 2)}")
    interval = row["metric"] == "lrr" and not pd.isna(row["low"])
    return shown + (f" [{_digits(row['low'])}, {_digits(row['high'])}]" if interval else "")


def _digits(value: float, digits: int = 3) -> str:
    """Some significant digits; integers in full."""
    return f"{value:.0f}" if 10**digits <= abs(value) < 1e6 else f"{value:.{digits}g}"
