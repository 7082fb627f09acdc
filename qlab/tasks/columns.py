"""Rows with named columns of numbers, and a label: what tables in files and data sets of scikit-learn share."""

from __future__ import annotations

import copy
import dataclasses
import functools
from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

import annotated_types as at
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qlab.errors import ConfigError, DataError, nearest
from qlab.fields import NonNegativeInt, show
from qlab.tasks.base import Dataset, Split, Task
from qlab.tasks.preprocessing import Label, Preprocessing
from qlab.tasks.problems import Problems

Scale = Literal["standard", "minmax", "none"]

Part = Annotated[float, at.Interval(gt=0.0, lt=1.0)]
Fractions = tuple[Part, Part, Annotated[float, at.Interval(ge=0.0, lt=1.0)]]

ROW = "table row"
"""What is known of each sample beside its features: the number of its row, from 1."""

_LARGEST_SEED = 2**32 - 1
"""What NumPy's legacy generator, which scikit-learn draws from, takes as a seed."""


@dataclasses.dataclass(frozen=True, eq=False)
class Columns:
    """Numbers in columns, and the class of each row.

    Args:
        names: of the columns.
        x: finite numbers, shape ``[N, d]``, float64.
        y: whether a row is of class 1, shape ``[N]``, bool.
        classes: what class 0 and class 1 are called.
        label: the column that the classes come from.
    """

    names: tuple[str, ...]
    x: NDArray[np.float64]
    y: NDArray[np.bool_]
    classes: tuple[Label, Label]
    label: str


class ColumnsTask(Task):
    """Rows of numbers with a label, split, scaled and reduced.

    Rows are split at random, keeping the proportions of the two classes; scaling and principal components are fitted on
    the training split only. A checkpoint keeps them, so that predictions on new rows are treated in the same way.

    Override :meth:`rows`.

    Args:
        positive: the value of the label that is class 1.
        columns: the columns that are features; by default all but the label.
        scale: how each column is scaled: "standard" for mean 0 and standard deviation 1, "minmax" for values from 0 to
            1, "none" for the numbers as they are. Fitted on the training split.
        reduce: number of principal components to keep, after scaling; 0 for the columns themselves. Fitted on the
            training split.
        pad: whether zero features are added up to the next power of two: 30 become the amplitudes of 5 qubits. Other
            models do not see them.
        normalize: whether every row is finally divided by its length, as for amplitudes of a state.
        split: fractions of training, validation and test rows; they sum to 1, and 0 means no test split.
        seed: seed of the split.
    """

    quick_to_load: ClassVar[bool] = True

    positive: Label = 1
    columns: tuple[str, ...] = ()
    scale: Scale = "standard"
    reduce: NonNegativeInt = 0
    pad: bool = False
    normalize: bool = False
    split: Fractions = (0.6, 0.2, 0.2)
    seed: NonNegativeInt = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if abs(sum(self.split) - 1.0) > 1e-9:
            raise ConfigError(
                f"{type(self).__name__}: split: got {show(self.split)}, which sum to {sum(self.split):g}; accepts "
                "fractions of training, validation and test rows that sum to 1."
            )
        if self.seed > _LARGEST_SEED:
            raise ConfigError(f"{type(self).__name__}: seed: got {self.seed}, accepts at most {_LARGEST_SEED}.")
        if twice := [name for name in dict.fromkeys(self.columns) if self.columns.count(name) > 1]:
            raise ConfigError(f'{type(self).__name__}: columns: got "{twice[0]}" twice, accepts each column once.')

    @abstractmethod
    def rows(self) -> Columns:
        """All rows, with the columns that are asked for."""

    def load(self) -> Dataset:
        """The rows, split, with features fitted on the training split."""
        found = self.rows()
        parts = self._parts(found)
        made = self._fitted(found.names, found.x[parts["train"]])
        made = dataclasses.replace(made, classes=found.classes, label=found.label)
        y = torch.from_numpy(found.y.astype(np.int64))
        splits = {
            name: Split(made(torch.from_numpy(found.x[rows])), y[rows], {ROW: torch.from_numpy(rows + 1)})
            for name, rows in parts.items()
        }
        return Dataset(splits["train"], splits["validation"], splits.get("test"), preprocessing=made)

    def random_features(self, n: int, generator: torch.Generator) -> Tensor:
        """Each feature from a normal distribution with its mean and deviation in the training split.

        So random rows are as large as the data in every feature, and have none of their structure. With ``normalize``
        they have unit norm, too.
        """
        mean, deviation = self._moments
        drawn = mean + deviation * torch.randn(n, len(mean), generator=generator, dtype=torch.float64)
        return torch.nn.functional.normalize(drawn, dim=1) if self.normalize else drawn

    def with_data(self, dataset: Dataset) -> Self:
        """This task with its data known: random features need them, and the file may be elsewhere."""
        known = copy.copy(self)
        vars(known).pop("_moments", None)
        vars(known)["_known"] = dataset
        return known

    @functools.cached_property
    def _moments(self) -> tuple[Tensor, Tensor]:
        """Mean and deviation of each feature in the training split."""
        x = (vars(self).get("_known") or self.load()).train.x
        return x.mean(0), x.std(0, correction=0)

    def _parts(self, found: Columns) -> dict[str, NDArray[np.int64]]:
        """The rows of each split, in ascending order.

        Raises:
            DataError: a split would lack a class.
        """
        from sklearn.model_selection import train_test_split

        n = len(found.y)
        counts = {"test": round(self.split[2] * n), "validation": round(self.split[1] * n)}
        rest = np.arange(n)
        parts: dict[str, NDArray[np.int64]] = {}
        try:
            for name, count in counts.items():
                if self.split[2] == 0.0 and name == "test":
                    continue
                rest, parts[name] = train_test_split(
                    rest, test_size=count, stratify=found.y[rest], random_state=self.seed
                )
        except ValueError:  # too few rows of a class, or in all
            parts = {}
        parts = {"train": rest, **dict(reversed(parts.items()))}
        if "validation" not in parts or any(found.y[rows].all() or not found.y[rows].any() for rows in parts.values()):
            raise DataError(
                f"{type(self).__name__}: split: {show(self.split)} of {n} rows, {int(found.y.sum())} of them of class "
                f"1 ({found.label} = {show(found.classes[1])}), leaves a split without rows of both classes. Use more "
                "rows, or larger fractions for the small splits."
            )
        return {name: np.sort(rows) for name, rows in parts.items()}

    def _fitted(self, names: Sequence[str], train: NDArray[np.float64]) -> Preprocessing:
        """How features are made of the columns, fitted on rows ``[n, d]`` of the training split."""
        n, d = train.shape
        if self.reduce > min(n, d):
            raise DataError(
                f"{type(self).__name__}: reduce: got {self.reduce}, accepts at most {min(n, d)}: there are {d} columns "
                f"and {n} training rows."
            )
        shift, scale = _scaling(self.scale, train)
        mean: NDArray[np.float64] | None = None
        components: NDArray[np.float64] | None = None
        if self.reduce:
            from sklearn.decomposition import PCA

            # All singular values, and signs by a rule: the same components each time.
            fitted = PCA(n_components=self.reduce, svd_solver="full").fit((train - shift) / scale)
            mean, components = fitted.mean_, fitted.components_
        k = self.reduce or d
        if self.pad and (more := (1 << (k - 1).bit_length()) - k):
            mean = np.zeros(d) if mean is None else mean
            components = np.concatenate([np.eye(d) if components is None else components, np.zeros((more, d))])
        return Preprocessing(
            tuple(names),
            torch.from_numpy(shift),
            torch.from_numpy(scale),
            None if mean is None else torch.from_numpy(mean),
            None if components is None else torch.from_numpy(components),
            normalize=self.normalize,
        )


def _scaling(scale: Scale, train: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What is subtracted from each column, and what it is divided by then."""
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    if scale == "standard":
        fitted = StandardScaler().fit(train)
        return fitted.mean_, fitted.scale_
    if scale == "minmax":
        fitted = MinMaxScaler().fit(train)
        return fitted.data_min_, 1.0 / fitted.scale_
    return np.zeros(train.shape[1]), np.ones(train.shape[1])


def chosen(task: str, wanted: Sequence[str], names: Sequence[str], where: str) -> list[str]:
    """The columns that are asked for, all of them by default.

    Args:
        task: for messages.
        wanted: the names asked for.
        names: those that there are, without the label.
        where: what has them.

    Raises:
        DataError: there is no such column.
    """
    problems = Problems(task)
    for name in wanted:
        if name not in names:
            problems.add(f'columns: {where} has no column "{name}".{nearest(name, names)} There are {listed(names)}.')
    problems.check()
    return list(wanted or names)


def listed(values: Sequence[Any], most: int = 12) -> str:
    """Values for a message, the first of many."""
    shown = ", ".join(show(value) for value in values[:most])
    return f"{shown} and {len(values) - most} more" if len(values) > most else shown
