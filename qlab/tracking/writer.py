"""Writing the runs of an ensemble while it trains."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from qlab import interrupts
from qlab.tracking.store import MetricRow, Store, now_ms

FLUSH_SECONDS = 15.0
"""Metrics reach the store at least this often while training goes on."""


class MetricWriter:
    """Buffers the metrics of an ensemble's runs and logs them in batches.

    Args:
        store: where to.
        run_ids: the run of each member.
        known: for runs that are taken up again, the last step that the store has of each metric.
    """

    def __init__(self, store: Store, run_ids: Sequence[str], known: Sequence[Mapping[str, int]] = ()) -> None:
        self._store = store
        self._run_ids = list(run_ids)
        self._known = [dict(steps) for steps in known] or [{} for _ in run_ids]
        self._rows: list[list[MetricRow]] = [[] for _ in run_ids]
        self._flushed = time.monotonic()

    def log(
        self, step: int, metrics: Mapping[str, NDArray[np.float64]], only: Mapping[str, Collection[int]] | None = None
    ) -> None:
        """Takes one value per member of every metric; logs what is due, and no step a second time.

        Args:
            step: epoch or step.
            metrics: values by name.
            only: by name of a metric that not all members have, the positions of those that do.
        """
        now, only = now_ms(), only or {}
        for name, values in metrics.items():
            having = only.get(name)
            for place, (rows, known, value) in enumerate(zip(self._rows, self._known, values.tolist(), strict=True)):
                if step > known.get(name, -1) and (having is None or place in having):
                    rows.append((name, value, step, now))
                    known[name] = step
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Logs everything that is buffered; after an interrupt, as much as there is time for."""
        for run_id, rows in zip(self._run_ids, self._rows, strict=True):
            if interrupts.seconds_left() <= 0:
                return
            if rows:
                self._store.log(run_id, metrics=rows)
                rows.clear()
        self._flushed = time.monotonic()

    def take(self, index: int) -> list[MetricRow]:
        """What is buffered of one run, for its last write; it is buffered no more."""
        rows, self._rows[index] = self._rows[index], []
        return rows
