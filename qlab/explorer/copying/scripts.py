"""What the pages do to draw their figures, as Python: the same functions, with what the visitor has chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qlab.explorer.copying.origin import Script

_SERIES = "values = results.series(runs['run_id'], {metrics!r})"
_READ = "lambda run, metric: values[run, metric]"


def resilience(across: str, group_by: Sequence[str], corruptions: Sequence[str], traces: bool, where: str) -> Script:
    """Accuracy against the corruption ratio, or another param."""
    lines = ["trials = results.raw('trials')"]
    if corruptions:
        lines.append(f"trials = trials[trials['corruption.type'].isin({list(corruptions)!r})]")
    lines += [
        f"drawn = against(trials, {across!r}, {list(group_by)!r})",
        "table = drawn.numbers",
        f"figure = drawn.figure(traces={traces})",
    ]
    return Script(["from qlab.reading.against import against"], lines, where)


def training(
    labels: Mapping[str, str], metrics: Sequence[str], colours: Mapping[str, str] | None = None, title: str = ""
) -> Script:
    """Loss and accuracy over epochs of some runs.

    Args:
        labels: of runs, by their ids.
        metrics: which.
        colours: of labels.
        title: above the panels.
    """
    told = f", colours={dict(colours)!r}" if colours else ""
    told += f", title={title!r}" if title else ""
    lines = [
        f"labels = pd.Series({dict(labels)!r}, dtype=str)",
        f"values = results.series(labels.index, {list(metrics)!r})",
        "rows = [(*key, *pair) for key, own in values.items() for pair in own]",
        "table = pd.DataFrame(rows, columns=['run_id', 'metric', 'step', 'value'])",
        f"figure = curves_over_epochs(table, labels{told})",
    ]
    return Script(["import pandas as pd", "from qlab.views.training import curves_over_epochs"], lines)


def unlearning(what: str, chosen: Mapping[str, Sequence[str]], metrics: Sequence[str], where: str) -> Script:
    """One of the figures of unlearning.

    Args:
        what: "curves", "bars", "trade_off", "known" or "relearning".
        chosen: labels by column of :func:`qlab.views.unlearning.label_runs`, or ids of runs under "run_id"; empty: all.
        metrics: shown.
        where: an MLflow filter.
    """
    metrics = list(metrics)
    names = ["label_runs"] if chosen and "run_id" not in chosen else []
    lines = ["runs = results.raw('unlearning')"]
    if "run_id" in chosen:
        lines.append(f"runs = runs[runs['run_id'].isin({list(chosen['run_id'])!r})]")
    elif chosen:
        masks = " & ".join(f"labels[{name!r}].isin({list(values)!r})" for name, values in chosen.items())
        lines += ["labels = label_runs(runs)", f"runs = runs[{masks}]"]
    imports = []
    if what == "curves":
        names += ["accuracy_against_step", "curves_of", "history_of", "summarize_unlearning"]
        lines += [
            _SERIES.format(metrics=metrics),
            f"table = curves_of(history_of(runs, {_READ}, {metrics!r}))",
            f"figure = accuracy_against_step(table, summarize_unlearning(runs), metrics={metrics!r})",
        ]
    elif what == "bars":
        names += ["final_bars", "summarize_unlearning"]
        lines += ["table = summarize_unlearning(runs)", f"figure = final_bars(table, {metrics!r})"]
    elif what == "trade_off":
        names += ["trade_off"]
        lines += ["table = runs", "figure = trade_off(runs)"]
    elif what == "known":
        imports = ["from qlab.reading.known import against_known, known_table"]
        lines += ["table = known_table(runs)", "figure = against_known(runs)"]
    else:
        own = "relearning_curves, relearning_history, relearning_metrics, relearning_table"
        imports = [f"from qlab.views.relearning import {own}"]
        lines += [
            "values = results.series(runs['run_id'], relearning_metrics(runs))",
            f"history = relearning_history(runs, {_READ})",
            "table = relearning_table(history)",
            "figure = relearning_curves(history, runs)",
        ]
    if names:
        imports = [*imports, f"from qlab.views.unlearning import {', '.join(sorted(names))}"]
    return Script(imports, lines, where)


def margins(run_id: str, rows: str, where: str) -> Script:
    """Margins of single rows of one audited run."""
    lines = [
        "runs = audited_runs(results.raw('unlearning'))",
        f"run = runs[runs['run_id'] == {run_id!r}]",
        f"table = results.margins_of(run, {rows!r})",
        "figure = ridges(table)",
    ]
    return Script(
        ["from qlab.reading.margins import audited_runs", "from qlab.views.margins import ridges"], lines, where
    )


def heat_map(
    metric: str,
    x: Sequence[str],
    y: Sequence[str],
    of: str,
    control: Mapping[str, Any] | None,
    contours: Sequence[float] | None,
    where: str,
) -> Script:
    """A metric over two params."""
    across, up = (own[0] if len(own) == 1 else list(own) for own in (x, y))
    told = f"{metric!r}, {across!r}, {up!r}, {of!r}" + (f", control={dict(control)!r}" if control else "")
    levels = f", contours={list(contours)!r}" if contours else ""
    return Script([], [f"table = results.map_table({told})", f"figure = results.heat_map({told}{levels})"], where)


def probes(draw: str, where: str) -> Script:
    """What probes found, against the ratio; ``draw`` is a function of :mod:`qlab.views.curvature`."""
    lines = [
        "probes = results.raw('probes')",
        "table = summarize_probes(probes, metric_columns(probes))",
        f"figure = {draw}(table)",
    ]
    imports = ["from qlab.tracking.frames import metric_columns"]
    return Script([*imports, f"from qlab.views.curvature import {draw}, summarize_probes"], lines, where)


def probe(run_id: str, title: str) -> Script:
    """What one probe found."""
    lines = [
        f"result = results.probe_result({run_id!r})",
        "table = pd.DataFrame(list(result.scalars.items()), columns=['name', 'value'])",
        f"figure = titled(draw(result), {title!r})",
    ]
    imports = ["import pandas as pd", "from qlab.views.landscape import draw", "from qlab.views.titles import titled"]
    return Script(imports, lines)


def slices(what: str, experiment: str, points: Sequence[str], fields: Mapping[str, Any], extra: Any = None) -> Script:
    """Slices around checkpoints, computed from them.

    Args:
        what: "slices", "cut" or "line".
        experiment: its name.
        points: run ids of the checkpoints.
        fields: of the probe.
        extra: of slices whether they have one scale of colours; of a cut where it is.
    """
    asked = f"Asked({experiment!r}, {tuple(points)!r}, (), {dict(fields)!r})"
    lines = ["reader = Reader(uri)", "slicer = Slicer(reader, Loader(reader))"]
    imports = [
        "from qlab.explorer.loaded import Loader",
        "from qlab.explorer.reader import Reader",
        "from qlab.explorer.slicing import Asked, Slicer",
    ]
    if what == "line":
        lines += [
            f"result, title = slicer.titled_line({asked})",
            "table = pd.DataFrame(columns_of(result))",
            "figure = titled(draw(result), title)",
        ]
        own = [
            "import pandas as pd",
            "from qlab.explorer.sliced import columns_of",
            "from qlab.views.landscape import draw",
            "from qlab.views.titles import titled",
        ]
        return Script([*imports, *own], lines)
    lines.append(f"sliced = slicer.slices({asked}, Meanwhile(lambda: False, lambda found: None))")
    imports.append("from qlab.explorer.work import Meanwhile")
    lines.append("table = table_of(sliced.results)")
    if what == "cut":
        imports += ["from qlab.explorer.sliced import table_of", "from qlab.views.slices import cut_picture"]
        lines.append(
            f"figure = cut_picture({{sliced.titles[name]: own for name, own in sliced.results.items()}}, {extra!r})"
        )
    else:
        imports.append("from qlab.explorer.sliced import limits_of, pictures, table_of")
        lines.append(f"figure = pictures(sliced, limits_of(sliced, {bool(extra)}))")
    return Script(imports, lines)


def data_map(experiment: str, trial: str, parent: str, projection: str, title: str) -> Script:
    """The corrupted training split as a map."""
    lines = [
        f"table = mapped(Reader(uri).config({experiment!r}, {trial!r}, {parent!r}), {projection!r})",
        f"figure = data_map(table, {title!r})",
    ]
    imports = [
        "from qlab.explorer.reader import Reader",
        "from qlab.explorer.training_map import mapped",
        "from qlab.views.data_map import data_map",
    ]
    return Script(imports, lines)


def runs(chosen: Sequence[str], where: str) -> Script:
    """Runs as the page lists them: those that match the filter, or only those chosen."""
    lines = ["runs = results.runs"]
    if chosen:
        lines.append(f"runs = runs[runs['run_id'].isin({list(chosen)!r})]")
    lines += [
        "own = runs[runs['kind'].notna() & (runs['kind'] != 'experiment')]",
        "table = table_of(own, time.time() * 1e3)",
    ]
    return Script(["import time", "from qlab.explorer.standing import table_of"], lines, where, draws=False)
