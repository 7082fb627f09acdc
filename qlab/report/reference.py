"""Published points, and how far ours are from them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from qlab.errors import DataError

CLOSE = 0.06
"""Differences of accuracy up to this count as agreement, whatever the standard error."""

_RESILIENCE = ("model", "corruption", "ratio", "run", "train_accuracy", "validation_accuracy")
_UNLEARNING = ("model", "unlearner", "run", "step", "validation_accuracy")
_UNLEARNED: dict[str, str | float] = {"corruption": "LabelFlip", "ratio": 0.3}
"""What published unlearning starts from where a file does not say."""


@dataclasses.dataclass(frozen=True, eq=False)
class References:
    """Published points by the task they are of.

    Args:
        resilience: by task, columns ``model``, ``corruption``, ``ratio``, ``metric``, ``mean``, ``std``, ``n``.
        unlearning: by task, the same with ``method`` and ``step``.
    """

    resilience: dict[str, pd.DataFrame]
    unlearning: dict[str, pd.DataFrame]

    def described(self) -> str:
        """What points there are, for people."""
        frames = [*self.resilience.values(), *self.unlearning.values()]
        kinds = {
            what: ", ".join(sorted({f"{value:g}" if what == "ratio" else str(value) for value in column}))
            for what in ("model", "corruption", "ratio")
            for column in [pd.concat([frame[what] for frame in frames])]
        }
        tasks = ", ".join(sorted({*self.resilience, *self.unlearning}))
        return (
            f"its points are of task {tasks} (the end of a file's name), model {kinds['model']}, corruption "
            f"{kinds['corruption']} and ratio {kinds['ratio']}."
        )


def read_references(folder: Path) -> References:
    """Reads every CSV file in a folder whose columns are those of accuracies against ratio or against unlearning step.

    The part of a file's name after the last underscore is the task: ``fig2d_xxz.csv`` is of XXZ; files of one task
    belong together. A row is one run. Points of unlearning that do not say their ``corruption`` and ``ratio`` are of
    label flips at 0.3, as the paper's.

    Raises:
        DataError: there is no such folder, no such file in it, or one that cannot be read.
    """
    if not folder.is_dir():
        raise DataError(f"--reference: there is no folder {folder}.")
    resilience: dict[str, list[pd.DataFrame]] = {}
    unlearning: dict[str, list[pd.DataFrame]] = {}
    for file in sorted(folder.glob("*.csv")):
        task = file.stem.rpartition("_")[2].lower()
        try:
            points = pd.read_csv(file)
            if set(_RESILIENCE) <= set(points.columns):
                resilience.setdefault(task, []).append(resilience_points(points))
            elif set(_UNLEARNING) <= set(points.columns):
                unlearning.setdefault(task, []).append(_unlearning(points))
        except (OSError, ValueError, TypeError, DataError) as error:
            raise DataError(f"--reference: {file} cannot be read: {error}") from error
    if not resilience and not unlearning:
        raise DataError(
            f"--reference: no CSV file in {folder} has the columns {', '.join(_RESILIENCE)} or "
            f"{', '.join(_UNLEARNING)}."
        )
    return References(_joined(resilience), _joined(unlearning))


def same_model(label: str, published: str) -> bool:
    """Whether one of our models' labels means a published model, "MLP" or "QNN"."""
    kind, published = label.split()[0].upper(), published.upper()
    return kind == published or (published == "QNN" and kind.endswith("QNN"))


def matched(labels: Iterable[str], published: pd.DataFrame) -> pd.DataFrame:
    """Published points under the labels of our models: a copy of each for every model of ours it belongs to."""
    pieces = [
        published[published["model"] == name].assign(model=label)
        for label in labels
        for name in published["model"].unique()
        if same_model(label, str(name))
    ]
    return pd.concat(pieces, ignore_index=True) if pieces else published.iloc[:0]


def matched_by_task(tasks: Mapping[str, str], published: Mapping[str, pd.DataFrame]) -> pd.DataFrame | None:
    """The same of several tasks, or None if nothing is published of them.

    Args:
        tasks: the task of each of our models, by its label.
        published: points by task.
    """
    pieces = [
        matched([label for label, own in tasks.items() if own == task], points)
        for task, points in published.items()
        if task in tasks.values()
    ]
    return pd.concat(pieces, ignore_index=True) if pieces else None


def agreement(ours: pd.DataFrame, published: pd.DataFrame, on: list[str]) -> pd.DataFrame:
    """Point by point: both means, their difference, its standard error, and whether they agree.

    The standard error of the difference is sqrt(s_1^2 / n_1 + s_2^2 / n_2). Columns: ``on``, ``ours``, ``published``,
    ``difference``, ``standard_error``, ``within_two`` (standard errors) and ``agrees`` (that, or within
    :data:`CLOSE`).

    Args:
        ours: columns ``on``, ``mean``, ``std``, ``n``.
        published: the same.
        on: what names a point.
    """
    both = ours.merge(published, on=on, suffixes=("_ours", "_published"))
    difference = both["mean_ours"] - both["mean_published"]
    variance = sum(
        both[f"std_{side}"].fillna(0.0) ** 2 / both[f"n_{side}"].clip(lower=1) for side in ("ours", "published")
    )
    error = np.sqrt(variance)
    within = difference.abs() <= 2.0 * error
    found = both[on].copy()
    found["ours"], found["published"] = both["mean_ours"], both["mean_published"]
    found["difference"], found["standard_error"] = difference, error
    found["within_two"], found["agrees"] = within, within | (difference.abs() <= CLOSE)
    return found


def resilience_points(points: pd.DataFrame) -> pd.DataFrame:
    """Published runs of accuracies against ratio as points with mean and deviation, see :class:`References`.

    Raises:
        DataError: columns are missing.
    """
    missing = [name for name in _RESILIENCE if name not in points]
    if missing:
        raise DataError(
            f"columns {', '.join(missing)} are missing; it needs {', '.join(_RESILIENCE)}, a row for each run."
        )
    melted = points.melt(["model", "corruption", "ratio"], ["train_accuracy", "validation_accuracy"], "metric")
    return _spread(melted, ["model", "corruption", "ratio", "metric"])


def _unlearning(points: pd.DataFrame) -> pd.DataFrame:
    points = points.rename(columns={"unlearner": "method"})
    for name, value in _UNLEARNED.items():
        if name not in points:
            points[name] = value
    metrics = ["validation_accuracy"]
    if "forget_accuracy_clean" in points:
        # Where features are replaced the labels stay, and both accuracies are one. Others are not known from one.
        clean, corruption = points["forget_accuracy_clean"], points["corruption"]
        flipped = (1.0 - clean).where(corruption == "LabelFlip")
        points["forget_accuracy_polluted"] = flipped.fillna(clean.where(corruption == "FeatureRandomization"))
        metrics.append("forget_accuracy_polluted")
    on = ["model", "corruption", "ratio", "method", "step"]
    return _spread(points.melt(on, metrics, "metric").dropna(subset="value"), [*on, "metric"])


def _joined(parts: Mapping[str, list[pd.DataFrame]]) -> dict[str, pd.DataFrame]:
    """Points of all files by task.

    Raises:
        DataError: two files of a task have the same point.
    """
    found = {task: pd.concat(frames, ignore_index=True) for task, frames in parts.items()}
    for task, points in found.items():
        names = points.drop(columns=["mean", "std", "n"])
        if names.duplicated().any():
            twice = ", ".join(f"{name} {value}" for name, value in names[names.duplicated()].iloc[0].items())
            raise DataError(f"--reference: two files of {task} have the point {twice}; leave one of them out.")
    return found


def _spread(points: pd.DataFrame, on: list[str]) -> pd.DataFrame:
    empty = points[on].isna().any()
    if empty.any():
        raise DataError(f"there is a row whose {' and '.join(empty.index[empty])} is empty.")
    grouped = points.groupby(on)["value"]
    return grouped.agg(mean="mean", std=lambda values: values.std(ddof=1), n="count").reset_index()
