"""What the MLflow UI shows of an experiment: its kind, a description, and prepared views to compare runs in.

A view is kept as MLflow's UI keeps those that its users save: as a tag of the experiment. What a user has changed
there since stays as it is.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from qlab.tracking import names
from qlab.tracking.curves import Curve, metric_names
from qlab.tracking.grouped.address import group_of
from qlab.tracking.store import Store, now_ms

MAIN: Final = "qlab"
UNLEARNING: Final = "qlab-unlearning"
"""Keys of the prepared views: of trials, and of unlearning runs."""

_SECTION: Final = "qlab"
_BARS = 100
_MOST_CHARTS = 24
_LONGEST_TAG = 5000
"""Characters of an experiment's tag that every MLflow server of version 3 takes."""


@dataclasses.dataclass(frozen=True)
class View:
    """A prepared view.

    Args:
        key: of the view, see :data:`MAIN`.
        name: in the menu of views.
        kinds: which runs it shows, of :mod:`qlab.tracking.names`, beside the experiment's own run.
        group_by: params; runs that agree in them are one row, with means.
        columns: metrics and params beside the rows: ``metrics.validation_accuracy``.
        bars: metrics that are drawn as a bar for each row.
        curves: that are drawn as lines.
        axis: what their steps are.
    """

    key: str
    name: str
    kind: str
    group_by: Sequence[str]
    columns: Sequence[str]
    bars: Sequence[str]
    curves: Sequence[Curve]
    axis: str


def address(experiment_id: str, key: str = MAIN) -> str:
    """Where the UI shows a prepared view, relative to the UI's own address."""
    query = urlencode({"viewStateShareKey": key, "compareRunsMode": "CHART", **_WORKSPACE})
    return f"#/experiments/{experiment_id}/runs?{query}"


def run_address(experiment_id: str, run_id: str) -> str:
    """Where the UI shows a run (or the group that keeps it), relative to its own address, as a run, no evaluation."""
    return f"#/experiments/{experiment_id}/runs/{group_of(run_id)}?{urlencode(_WORKSPACE)}"


_WORKSPACE = {"workflowType": "machine_learning"}
"""MLflow's UI otherwise takes every run for an evaluation of a language model."""


def view_state(view: View) -> dict[str, Any]:
    """A view as MLflow's UI says it to itself."""
    every = {names.SELECTION, names.TRIAL, names.ORACLE, names.SHADOW, names.UNLEARNING, names.PROBE} - {view.kind}
    others = every | {names.CLAIMS} | {f"{kind}{names.GROUPED}" for kind in every}
    charts = [*_line_charts(view), *(_chart("BAR", metric, [metric]) for metric in view.bars)]
    return {
        "searchFilter": " AND ".join(f"tags.`{names.KIND}` != '{kind}'" for kind in sorted(others)),
        "orderByKey": "attributes.start_time",
        "orderByAsc": True,  # the experiment's own run is the first: a page has a hundred
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": [_quoted(column) for column in view.columns],
        "runsHiddenMode": "SHOW_ALL",
        "compareRunCharts": charts,
        "compareRunSections": [
            {
                "uuid": _SECTION,
                "name": f"Means over seeds; steps of lines: {view.axis}",
                "display": True,
                "isReordered": False,
                "deleted": False,
                "isGenerated": False,
                "columns": 2,
                "cardHeight": 360,
            }
        ],
        "groupBy": {
            "aggregateFunction": "average",
            "groupByKeys": [{"mode": "param", "groupByData": param} for param in view.group_by],
        },
        "groupsExpanded": {},
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
    }


def show(store: Store, experiment_id: str, note: str, views: Iterable[View]) -> None:
    """Writes the tags of an experiment that say what the UI shows, those that are not there yet as they should be.

    Args:
        store: where to.
        experiment_id: of the MLflow experiment.
        note: its description, in Markdown.
        views: the prepared views.
    """
    found = store.experiment_tags(experiment_id)
    written: dict[str, str] = _parsed(found.get(names.SHOWN, ""))
    wanted = {names.EXPERIMENT_KIND: names.MODEL_DEVELOPMENT, names.NOTE: note}
    if found.get(names.EXPERIMENT_KIND, "").endswith("_inferred"):  # by the UI, when somebody looked
        found = {key: value for key, value in found.items() if key != names.EXPERIMENT_KIND}
    for view in views:
        key = f"{names.SHARED_VIEW}{view.key}"
        if (value := _saved(view, found.get(key, ""))) is not None:
            wanted[key] = value
    new = {
        key: value
        for key, value in wanted.items()
        if found.get(key) != value and (not found.get(key) or written.get(key) == _digest(found[key]))
    }
    if new:
        written |= {key: _digest(value) for key, value in new.items()}
        store.set_experiment_tags(experiment_id, {**new, names.SHOWN: json.dumps(written, sort_keys=True)})


def _saved(view: View, before: str) -> str | None:
    """A view as the value of a tag; the one before if it says the same. None if it is too long for a tag."""
    charts = view.curves
    while True:
        state = json.dumps(view_state(dataclasses.replace(view, curves=charts)), sort_keys=True)
        packed = f"deflate;{base64.b64encode(zlib.compress(state.encode(), 9)).decode()}"
        old = _parsed(before)
        if old.get("state") == packed and old.get("name") == view.name:
            return before
        now = now_ms()
        value = json.dumps(
            {"name": view.name, "createdAt": old.get("createdAt", now), "updatedAt": now, "state": packed}
        )
        if len(value) <= _LONGEST_TAG:
            return value
        if not charts:
            return None
        charts = charts[: len(charts) // 2]


def _line_charts(view: View) -> list[dict[str, Any]]:
    """A chart for each quantity and panel: means of all groups, that of validation first."""
    panels: dict[tuple[str, str], list[str]] = {}
    for curve, (mean, _) in zip(view.curves, metric_names(view.curves), strict=True):
        panels.setdefault((curve.quantity, curve.panel), []).append(mean)
    order = sorted(panels, key=lambda key: not key[0].endswith("validation_accuracy"))
    titles = {key: f"{key[0].replace('_', ' ')}: {key[1]}" for key in order}
    return [_chart("LINE", titles[key], panels[key]) for key in order[:_MOST_CHARTS]]


def _chart(kind: str, title: str, metrics: Sequence[str]) -> dict[str, Any]:
    """A chart; the fields are those of MLflow's UI."""
    found = {
        "uuid": f"qlab-{_digest(json.dumps([kind, *metrics]))}",
        "type": kind,
        "runsCountToCompare": _BARS,
        "metricSectionId": _SECTION,
        "deleted": False,
        "isGenerated": False,
        "displayName": title,
        "metricKey": metrics[0],
    }
    if kind == "BAR":
        return found
    return found | {
        "selectedMetricKeys": list(metrics),
        "lineSmoothness": 0,
        "xAxisScaleType": "linear",
        "scaleType": "linear",
        "range": {},
        "xAxisKey": "step",
        "selectedXAxisMetricKey": "",
        "displayPoints": True,
        "yAxisKey": "metric",
        "yAxisExpressions": [],
        "ignoreOutliers": False,
        "useGlobalXaxisKey": True,
        "useGlobalLineSmoothing": True,
    }


def _quoted(column: str) -> str:
    kind, _, name = column.partition(".")
    return f"{kind}.`{name}`"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _parsed(text: str) -> dict[str, Any]:
    """A JSON object that a tag holds; empty if it holds something else."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return dict(found) if isinstance(found, Mapping) else {}
