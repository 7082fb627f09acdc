"""Curves among an experiment's own metrics: means over seeds against the ratio, or against the unlearning step."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import math
import re
from collections.abc import Iterable, Mapping, Sequence

from mlflow.store.tracking.dbmodels.models import SqlLatestMetric, SqlMetric

from qlab.tracking import ending
from qlab.tracking.store import MetricRow, Store, now_ms

_OTHER = re.compile(r"[^\w.\- ]+")
"""What MLflow's names of metrics cannot hold on every system, and a slash, at which its UI begins a new section."""

_LONGEST = 150

_UNITS = (100, 1000, 10_000, 1_000_000)


@dataclasses.dataclass(frozen=True)
class Curve:
    """A curve with its spread.

    Args:
        quantity: what is drawn, part of the metrics' names: ``validation_accuracy``.
        label: of the group of runs.
        panel: what the curve is drawn together with.
        mean: by step.
        deviation: by step; of a single run there is none.
    """

    quantity: str
    label: str
    panel: str
    mean: Mapping[int, float]
    deviation: Mapping[int, float]


def unit(ratios: Iterable[float]) -> int:
    """By what ratios are multiplied to be steps, which are whole: 100, or more if some are no whole percentages."""
    known = [ratio for ratio in ratios if math.isfinite(ratio)]
    return next((u for u in _UNITS if all(abs(r * u - round(r * u)) < 1e-6 for r in known)), _UNITS[-1])


def letters(labels: Iterable[str]) -> dict[str, str]:
    """Labels in letters that a metric's name may have; different ones stay different."""
    written = {label: _OTHER.sub("_", _plain(label)).strip(" .")[:_LONGEST].strip(" .") or "_" for label in labels}
    often = collections.Counter(text.casefold() for text in written.values())  # some databases fold cases
    return {
        label: text
        if often[text.casefold()] == 1 and len(label) <= _LONGEST
        else f"{text}-{hashlib.sha256(label.encode()).hexdigest()[:6]}"
        for label, text in written.items()
    }


def _plain(label: str) -> str:
    """``depth=2 hidden=[64, 16]`` as ``depth 2 hidden 64-16``."""
    return re.sub(r"[\[\]()'\"]", "", label.replace(", ", "-").replace("=", " "))


def metric_names(curves: Sequence[Curve]) -> list[tuple[str, str]]:
    """The metrics' names of the mean and of the deviation of each curve."""
    written = letters(dict.fromkeys(curve.label for curve in curves))
    return [
        (f"{curve.quantity}_mean/{written[curve.label]}", f"{curve.quantity}_std/{written[curve.label]}")
        for curve in curves
    ]


def write_curves(store: Store, run_id: str, curves: Sequence[Curve]) -> None:
    """Makes curves metrics of a run: what it has already is not written again, and what has changed is replaced.

    A tracking server keeps every value it was ever given; there the newest of a step is the right one.
    """
    wanted = {
        name: {step: value for step, value in values.items() if math.isfinite(value)}
        for curve, both in zip(curves, metric_names(curves), strict=True)
        for name, values in zip(both, (curve.mean, curve.deviation), strict=True)
    }
    known = {name for name in store.get_run(run_id).data.metrics if re.search(r"_(mean|std)/", name)}
    rows: list[MetricRow] = []
    now = now_ms()
    for name in sorted(known | wanted.keys()):
        own = wanted.get(name, {})
        values = store.metric_history(run_id, name) if name in known else []
        if sorted(own.items()) == values:
            continue
        if values and not forget(store, run_id, name):
            last = dict(values)
            own = {step: value for step, value in own.items() if last.get(step) != value}
        rows += [(name, value, step, now) for step, value in sorted(own.items())]
    if rows:
        store.log(run_id, metrics=rows)


def forget(store: Store, run_id: str, name: str) -> bool:
    """Takes a metric's values out of an embedded store; False if the store is a server, which keeps them."""
    sessions = ending.database(store.client)
    if sessions is None:
        return False
    with sessions(read_only=False) as session:
        for table in (SqlMetric, SqlLatestMetric):
            own = session.query(table).filter(table.run_uuid == store.known_as(run_id), table.key == name)
            own.delete(synchronize_session=False)
    return True
