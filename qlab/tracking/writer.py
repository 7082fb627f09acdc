"""Writing the runs of an ensemble while it trains."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qlab import interrupts
from qlab.tracking.grouped.address import is_member
from qlab.tracking.grouped.member import Series
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


class _Logged(NamedTuple):
    """Values of one metric after one step, of all runs."""

    step: int
    time: int
    values: NDArray[np.float64]
    having: frozenset[int] | None


class MemberWriter(MetricWriter):
    """The same for runs that are kept together: arrays stay arrays, and nothing is sent before a run ends.

    Args:
        store: where to.
        run_ids: the run of each member.
        known: see the base class.
    """

    def __init__(self, store: Store, run_ids: Sequence[str], known: Sequence[Mapping[str, int]] = ()) -> None:
        super().__init__(store, run_ids, known)
        self._logged: dict[str, list[_Logged]] = {}
        self._last: dict[str, int] = {}
        self._taken: set[int] = set()

    def log(
        self, step: int, metrics: Mapping[str, NDArray[np.float64]], only: Mapping[str, Collection[int]] | None = None
    ) -> None:
        """See the base class."""
        now = now_ms()
        for name, values in metrics.items():
            if step > self._last.get(name, -1):
                having = None if only is None or name not in only else frozenset(only[name])
                self._logged.setdefault(name, []).append(_Logged(step, now, np.array(values, dtype=float), having))
                self._last[name] = step

    def flush(self) -> None:
        """Hands on what there is of every run that has not been taken."""
        for index in range(len(self._run_ids)):
            self.take(index)

    def take(self, index: int) -> list[MetricRow]:
        """Hands on what there is of one run, for its last write; what is left to write with it is nothing."""
        if index not in self._taken:
            self._taken.add(index)
            self._store.groups.log_series(self._run_ids[index], self._series(index))
        return []

    def _series(self, index: int) -> dict[str, Series]:
        found = {}
        for name, logged in self._logged.items():
            after = self._known[index].get(name, -1)
            own = [one for one in logged if one.step > after and (one.having is None or index in one.having)]
            if own:
                found[name] = Series(
                    np.array([one.step for one in own], dtype=np.int64),
                    np.array([one.values[index] for one in own]),
                    np.array([one.time for one in own], dtype=np.int64),
                )
        return found


def writer_of(store: Store, run_ids: Sequence[str], known: Sequence[Mapping[str, int]] = ()) -> MetricWriter:
    """What writes the metrics of runs, which are all of one form."""
    kind = MemberWriter if run_ids and is_member(run_ids[0]) else MetricWriter
    return kind(store, run_ids, known)
