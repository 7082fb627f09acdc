"""Computing metrics, of qlab and of users: what they get, and what they may return."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qlab import interrupts, own_code
from qlab.corruptions.base import Corrupted
from qlab.errors import ConfigError, DataError
from qlab.metrics.base import Metric, On, Rows
from qlab.own_code import described

_COPIED_BYTES = 2**24


class Evaluated:
    """The rows of one trial, and which logits belong to them.

    Args:
        corrupted: the training split.
        splits: the others of the task, by name.
    """

    def __init__(self, corrupted: Corrupted, splits: Mapping[str, Rows]) -> None:
        self._corrupted = corrupted
        self._splits = splits
        self._rows: dict[str, Rows] = {}

    def rows(self, on: On) -> Rows:
        """The rows that are meant.

        Raises:
            DataError: there are none.
        """
        if on not in self._rows:
            self._rows[on] = self._made(on)
        return self._rows[on]

    def _made(self, on: On) -> Rows:
        if on in ("validation", "test"):
            if on not in self._splits:
                raise DataError("there is no test split")
            return self._splits[on]
        train, chosen = Rows.corrupted(self._corrupted), self._chosen(on)
        if chosen is None:
            return train
        if not chosen.any():
            raise DataError("no row is corrupted" if on == "forget" else "every row is corrupted")
        return train.where(chosen)

    def logits(self, on: On, z: Tensor) -> Tensor:
        """The logits of these rows.

        Args:
            on: which rows.
            z: logits on training rows, then validation rows, ``[N + M]``; on test rows if these are meant.
        """
        n = len(self._corrupted.mask)
        if on in ("validation", "test"):
            return z[n:] if on == "validation" else z
        chosen = self._chosen(on)
        return z[:n] if chosen is None else z[:n][chosen]

    def _chosen(self, on: On) -> Tensor | None:
        mask = self._corrupted.mask
        return {"retain": ~mask, "forget": mask}.get(on)


def value_of(metric: Metric, logits: Tensor, rows: Rows) -> float:
    """A metric of one model.

    Args:
        metric: the metric.
        logits: of the rows, ``[N]``.
        rows: the rows.

    Raises:
        ConfigError: it raises something, returns what is no number, or changes the rows; says in which file and line.
    """
    own = own_code.is_own(type(metric))
    where = own_code.method(type(metric), "compute")
    given = _copied(rows) if own else rows
    version = given.x._version if isinstance(given.x, Tensor) else 0
    z = logits.detach().to("cpu", torch.float64).clone()
    value = own_code.calling(where, lambda: metric.compute(z, given))
    if given.x is rows.x and isinstance(given.x, Tensor) and given.x._version != version:
        raise ConfigError(
            f"{where}: changes split.x in place, which other trials share; copy it first: split.x.clone()."
        )
    return _number(value, where)


def _copied(rows: Rows) -> Rows:
    """The rows for code that may change them; of large features it is noticed."""
    small = isinstance(rows.x, Tensor) and rows.x.nbytes <= _COPIED_BYTES
    return dataclasses.replace(
        rows,
        x=rows.x.clone() if small and isinstance(rows.x, Tensor) else rows.x,
        y=rows.y.clone(),
        about={name: values.clone() for name, values in rows.about.items()},
        mask=rows.mask.clone(),
        clean_y=rows.clean_y.clone(),
    )


def _number(value: Any, where: str) -> float:
    array = value.detach().cpu().numpy() if isinstance(value, Tensor) else value
    single = array.item() if isinstance(array, np.ndarray | np.generic) and array.size == 1 else array
    if isinstance(single, bool) or not isinstance(single, int | float):
        shape = getattr(value, "shape", None)
        got = type(value).__name__ + (f" of shape {list(shape)}" if shape is not None else "")
        mean = " For a value of each row: .mean()." if shape is not None and len(shape) else ""
        raise ConfigError(f"{where}: got {got}, accepts a number: return float(...).{mean}")
    return float(single)


class EpochMetrics:
    """Metrics of every member of an ensemble, again and again.

    Args:
        metrics: which ones.
        members: the rows of each member.

    Attributes:
        failed: why a metric of a member has no value, by position of the member and name of the metric. It is not tried
            again.
    """

    def __init__(self, metrics: Sequence[Metric], members: Sequence[Evaluated]) -> None:
        self._metrics = metrics
        self._members = members
        self.failed: dict[tuple[int, str], str] = {}

    def __call__(self, z: Tensor) -> dict[str, NDArray[np.float64]]:
        """Values ``[members]`` by name; NaN where there is none.

        Args:
            z: logits on training rows, then validation rows, ``[members, N + M]``.
        """
        found = {metric.logged_as: np.full(len(self._members), np.nan) for metric in self._metrics}
        for metric in self._metrics:
            for place, member in enumerate(self._members):
                if (place, metric.logged_as) in self.failed:
                    continue
                value = tried(metric, member, z[place])
                if isinstance(value, str):
                    self.failed[place, metric.logged_as] = value
                else:
                    found[metric.logged_as][place] = value
        return found


def tried(metric: Metric, rows: Evaluated, z: Tensor) -> float | str:
    """A metric of one model; or why it has none.

    Args:
        metric: the metric.
        rows: of the trial.
        z: see :meth:`Evaluated.logits`.
    """
    try:
        found = rows.rows(metric.on)
        return value_of(metric, rows.logits(metric.on, z), found)
    except Exception as error:
        interrupts.check()
        return described(error)
