"""Metrics over epochs and steps, one value to a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from qlab.errors import ConfigError, unknown
from qlab.reading.tidy import LABELS, Kind, measured
from qlab.tracking.store import Store

LEARNING = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy")
"""Metrics of every evaluated epoch."""


def curves(store: Store, frame: pd.DataFrame, kind: Kind, metrics: Sequence[str] | None) -> pd.DataFrame:
    """Every value of some metrics, see :meth:`qlab.reading.Results.curves`.

    Args:
        store: where the runs are.
        frame: tidy, one row for each run.
        kind: of the runs.
        metrics: which; by default :data:`LEARNING`, as far as runs have them.

    Raises:
        ConfigError: no run has such a metric.
    """
    choices = measured(frame)
    for name in metrics or ():
        if name not in choices:
            raise ConfigError(f"metrics: {unknown('metric', name, choices)}")
    about = ["experiment", "run_id", *LABELS[kind], "seed", "kept"]
    place = "epoch" if kind == "trials" else "step"
    run_ids = [str(run) for run in frame["run_id"]]
    parts = []
    for metric in metrics if metrics is not None else [name for name in LEARNING if name in choices]:
        found = store.metric_histories(run_ids, metric)
        lengths = np.array([len(found.get(run, ())) for run in run_ids], dtype=int)
        values = np.array([pair for run in run_ids for pair in found.get(run, ())], dtype=float).reshape(-1, 2)
        part = frame[about].iloc[np.repeat(np.arange(len(frame)), lengths)].reset_index(drop=True)
        parts.append(_with(part, place, values[:, 0].astype(int), metric, values[:, 1]))
    empty = _with(frame[about].iloc[:0], place, np.empty(0, dtype=int), "", np.empty(0))
    return pd.concat(parts, ignore_index=True) if parts else empty


def _with(part: pd.DataFrame, place: str, places: Any, metric: str, values: Any) -> pd.DataFrame:
    own = pd.DataFrame({place: places, "metric": pd.Series([metric] * len(part), dtype="string"), "value": values})
    return pd.concat([part, own], axis=1)
