"""A member of a group: what is known of one run, and how it looks to who reads runs of MLflow."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from qlab.tracking import params
from qlab.tracking.writes import DatasetRecord, MetricRow

DELETED: Final = "DELETED"
"""The status of a member that is to be found no more."""

ENDED: Final = ("FINISHED", "FAILED", DELETED)
"""How members end that are kept. What was killed is begun anew, and leaves nothing."""


@dataclasses.dataclass(frozen=True, eq=False)
class Series:
    """Values of a metric, in the order in which they were logged.

    Args:
        steps: of each.
        values: what was measured.
        times: in milliseconds since the epoch.
    """

    steps: NDArray[np.int64]
    values: NDArray[np.float64]
    times: NDArray[np.int64]

    @classmethod
    def joined(cls, parts: Sequence[Series]) -> Series:
        """One after the other."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            np.concatenate([part.steps for part in parts]),
            np.concatenate([part.values for part in parts]),
            np.concatenate([part.times for part in parts]),
        )

    @property
    def last(self) -> float:
        """The value of the last step; of several the one that was logged last."""
        return float(self.values[len(self.steps) - 1 - int(np.argmax(self.steps[::-1]))])

    def pairs(self) -> list[tuple[int, float]]:
        """Step and value in order of steps; of a step that was logged twice the later value."""
        found = dict(zip(self.steps.tolist(), self.values.tolist(), strict=True))
        return [(step, params.metric(found[step])) for step in sorted(found)]

    def rows(self, name: str) -> list[MetricRow]:
        """The same as the store takes metrics."""
        return [
            (name, value, step, time)
            for step, value, time in zip(self.steps.tolist(), self.values.tolist(), self.times.tolist(), strict=True)
        ]


def series_of(rows: Iterable[MetricRow]) -> dict[str, Series]:
    """Metrics by name, of values as the store takes them."""
    found: dict[str, list[MetricRow]] = {}
    for row in rows:
        found.setdefault(row[0], []).append(row)
    return {
        name: Series(
            np.array([row[2] for row in own], dtype=np.int64),
            np.array([row[1] for row in own], dtype=np.float64),
            np.array([row[3] for row in own], dtype=np.int64),
        )
        for name, own in found.items()
    }


@dataclasses.dataclass(eq=False)
class Change:
    """What was written to a member since it was last put into a part; all of it if it is new.

    Args:
        key: of the member.
        name: for people.
        status: of MLflow, or :data:`DELETED`; None if it stays as it is.
        start: in milliseconds since the epoch.
        end: in milliseconds since the epoch.
        params: that were logged.
        tags: that were set; those that were taken off are empty.
        metrics: that were logged, in pieces.
        contents: of files, by their paths.
        datasets: what it says of its data, JSON.
    """

    key: str
    name: str | None = None
    status: str | None = None
    start: int | None = None
    end: int | None = None
    params: dict[str, str] = dataclasses.field(default_factory=dict)
    tags: dict[str, str] = dataclasses.field(default_factory=dict)
    metrics: dict[str, list[Series]] = dataclasses.field(default_factory=dict)
    contents: dict[str, bytes] = dataclasses.field(default_factory=dict)
    datasets: str | None = None

    def log(self, metrics: Mapping[str, Series]) -> None:
        """Adds values of metrics."""
        for name, series in metrics.items():
            self.metrics.setdefault(name, []).append(series)


@dataclasses.dataclass(eq=False)
class Info:
    """The part of a run that MLflow calls its info."""

    run_id: str
    experiment_id: str
    run_name: str
    status: str
    start_time: int
    end_time: int | None
    lifecycle_stage: str = "active"
    artifact_uri: str = ""
    user_id: str = ""


@dataclasses.dataclass(eq=False)
class Data:
    """Params, tags and last metrics of a run."""

    params: dict[str, str]
    tags: dict[str, str]
    metrics: dict[str, float]


@dataclasses.dataclass(eq=False)
class Member:
    """A member as a run of MLflow looks, as far as qlab looks at one.

    Args:
        info: what it is.
        data: what it holds.
        datasets: what it says of its data, JSON.
    """

    info: Info
    data: Data
    datasets: str | None = None

    @functools.cached_property
    def inputs(self) -> Inputs:
        """Its data sets."""
        return Inputs([DatasetRecord(**fields).to_mlflow() for fields in json.loads(self.datasets or "[]")])


@dataclasses.dataclass(frozen=True, eq=False)
class Inputs:
    """The data sets of a run."""

    dataset_inputs: list[Any]
