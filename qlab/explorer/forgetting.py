"""A model before unlearning and after, asked about each of its training rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pandas as pd
from scipy.special import expit

from qlab.corruptions import Knowledge
from qlab.errors import DataError
from qlab.explorer.loaded import Loader, checkpoints, corrupted_of, data_of
from qlab.explorer.sample import Look
from qlab.explorer.training_map import mapped
from qlab.reading.before_after import judged, row_kinds
from qlab.tasks.features import FeatureRows
from qlab.tracking import names
from qlab.tracking.missing import is_missing


@dataclasses.dataclass(frozen=True, eq=False)
class Forgotten:
    """What both models say.

    Args:
        run: id of the unlearning run.
        rows: see :func:`qlab.reading.before_after.judged`, with ``told`` (the kind of each row), ``corrupted``, and the
            probabilities of class 1 ``before_p`` and ``after_p``.
        features: of the rows.
        look: how a sample is drawn.
    """

    run: str
    rows: pd.DataFrame
    features: FeatureRows
    look: Look


def forgotten(loader: Loader, experiment: str, frame: pd.DataFrame, run: str, projection: str) -> Forgotten:
    """Asks the model of an unlearning run, and the one that it started from.

    Args:
        loader: loads models.
        experiment: the experiment's name.
        frame: all its runs.
        run: id of the unlearning run.
        projection: of the rows: "pca" or "tsne".

    Raises:
        DataError: one of both models is not in the store.
    """
    known = checkpoints(frame)
    after = next((item for item in known if item.run_id == run and item.kind == names.UNLEARNING), None)
    if after is None:
        raise DataError(
            f"Run {run} has no unlearned model to ask: it is not in this experiment, has not finished, or is of an "
            "estimator, which keeps none."
        )
    before = next((item for item in known if item.kind == names.TRIAL and item.trial == after.trial), None)
    if before is None:
        raise DataError(f"The model that {after.label} started from is not in the store.")
    config = loader.config(experiment, after)
    corrupted = corrupted_of(config)
    mask = corrupted.mask.numpy()
    places = mapped(config, projection).drop(columns=list(corrupted.split.about))
    logits = [loader.logits(experiment, item, "train") for item in (before, after)]
    told = _told(config, frame[frame["run_id"] == run].iloc[0])
    before_p, after_p = map(expit, logits)
    rows = judged(places, *logits)
    rows = rows.assign(told=row_kinds(mask, told), corrupted=mask, before_p=before_p, after_p=after_p)
    task, dataset = data_of(config)
    return Forgotten(run, rows, corrupted.split.x, Look.of(task, dataset))


def _told(config: Mapping[str, Any], row: Any) -> Any:
    """Which rows the method was told to forget, ``[N]``, bool."""
    corrupted = corrupted_of(config)
    stated = {name: row.get(f"corruption.{name}") for name in ("known", "known_rows", "false_alarms")}
    knowledge = Knowledge(**{name: value for name, value in stated.items() if not is_missing(value)})
    if knowledge.is_complete:
        return corrupted.mask.numpy()
    task, dataset = data_of(config)
    return knowledge.rows(corrupted.mask, corrupted.split, task.with_data(dataset), int(config["seed"])).numpy()
