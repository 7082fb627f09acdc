"""Models, data and landscapes of stored runs, made again from their configuration."""

from __future__ import annotations

import collections
import dataclasses
import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from qlab.corruptions import Corrupted
from qlab.errors import DataError
from qlab.explorer.cache import MEBIBYTE, Kept
from qlab.explorer.reader import Reader
from qlab.landscape import Landscape
from qlab.landscape.landscape import flat_trajectory
from qlab.losses import CrossEntropy
from qlab.models import Model
from qlab.models.rows import prepare_features
from qlab.registry import make
from qlab.tasks import Dataset, Task
from qlab.tasks.stored import load_stored
from qlab.tracking import names
from qlab.training import Member
from qlab.training.fitting import Fitted, decide, probabilities, rows_for
from qlab.training.refitting import is_estimator, refit
from qlab.views.distinct import distinct

KEPT_LANDSCAPES = 256 * MEBIBYTE
"""Bytes of landscapes that stay in memory, their models, data and prepared features among them."""

KEPT_FITTED = 64 * MEBIBYTE
"""Bytes of estimators, which were fitted again, that stay in memory."""

KEPT_DATASETS = 256 * MEBIBYTE
"""Bytes of data sets that stay in memory."""

_OF_RUN: Final = ["run_id", "name", "kind", "trial", "parent_id"]

_datasets: Kept[str, tuple[Task, Dataset]] = Kept(KEPT_DATASETS)


def data_of(config: Mapping[str, Any]) -> tuple[Task, Dataset]:
    """The task and the data set of a trial's configuration; the last are kept, up to :data:`KEPT_DATASETS`."""

    def load() -> tuple[Task, Dataset]:
        return load_stored(config["task"], None if folder is None else Path(folder))

    folder = config.get(names.FOLDER)
    return _datasets.get(json.dumps([config["task"], folder], sort_keys=True), load)


def corrupted_of(config: Mapping[str, Any]) -> Corrupted:
    """The training split of a trial's configuration, as its model met it."""
    task, dataset = data_of(config)
    return Member.of(task, dataset, make("corruption", config["corruption"]), int(config["seed"])).corrupted


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A stored model, and what it was trained on.

    Args:
        run_id: its run.
        label: for people.
        kind: a kind of :mod:`qlab.tracking.names`.
        trial: identity of the trial whose data it belongs to.
        parent: the run of that trial's experiment, if known.
    """

    run_id: str
    label: str
    kind: str
    trial: str
    parent: str | None


def checkpoints(frame: pd.DataFrame) -> list[Checkpoint]:
    """The finished runs of an experiment that have a checkpoint, in order of their labels.

    Args:
        frame: all runs of the experiment.
    """
    trials = frame[frame["kind"] == names.TRIAL]
    own = dict(zip(trials["run_id"], trials["trial"], strict=True))
    experiments = dict(zip(trials["trial"], trials["parent_id"], strict=True))
    found = []
    done = frame[(frame["status"] == "FINISHED") & frame["kind"].isin([names.TRIAL, names.UNLEARNING, names.ORACLE])]
    for run, estimator in zip(done[_OF_RUN].to_dict("records"), _estimators(done), strict=True):
        trial = run["trial"] if run["kind"] == names.TRIAL else own.get(run["parent_id"])
        if trial is None or estimator:
            continue  # the run of its teacher is not here: nothing says what data it belongs to; or it keeps no model
        found.append(
            Checkpoint(str(run["run_id"]), str(run["name"]), str(run["kind"]), str(trial), experiments.get(trial))
        )
    return sorted(found, key=lambda item: (item.label, item.run_id))


def _estimators(frame: pd.DataFrame) -> NDArray[np.bool_]:
    """Which runs are of estimators, see :func:`qlab.training.refitting.is_estimator`."""
    told = [name for name in frame.columns if name == "model.type" or name.startswith("training.")]
    first, places = distinct(frame, told)
    known = [is_estimator({str(name): row[name] for name in row}) for row in frame[told].iloc[first].to_dict("records")]
    return np.array(known, dtype=bool)[places]


def fitted_runs(frame: pd.DataFrame) -> dict[str, Checkpoint]:
    """The finished trials of estimators, by run: they have no checkpoint, and are fitted again.

    Args:
        frame: all runs of the experiment.
    """
    trials = frame[(frame["kind"] == names.TRIAL) & (frame["status"] == "FINISHED") & frame["trial"].notna()]
    rows = trials.loc[_estimators(trials), _OF_RUN].to_dict("records")
    return {
        str(row["run_id"]): Checkpoint(
            str(row["run_id"]), str(row["name"]), names.TRIAL, str(row["trial"]), str(row["parent_id"])
        )
        for row in rows
    }


def related(chosen: Checkpoint, every: Sequence[Checkpoint], frame: pd.DataFrame) -> dict[str, Checkpoint]:
    """The checkpoints that share parameters' meaning with one: same trial, and its clean twin, by a short name.

    Args:
        chosen: the checkpoint asked about.
        every: all of the experiment.
        frame: all runs of the experiment.
    """
    rows = frame.set_index("run_id")
    found: dict[str, Checkpoint] = {}
    counts: collections.Counter[str] = collections.Counter()
    for item in every:
        if item.trial != chosen.trial:
            continue
        row = rows.loc[item.run_id]
        # Of oracles only those that were trained without the known rows say which these are.
        partial = any(pd.notna(row.get(f"corruption.{name}")) for name in ("known", "false_alarms"))
        oracle = "reachable oracle" if partial else "oracle"
        name = {names.TRIAL: "trained", names.ORACLE: oracle}.get(item.kind) or str(row.get("unlearner.type"))
        counts[name] += 1
        found[name if counts[name] == 1 else f"{name} {counts[name]}"] = item
    trained = found.get("trained", chosen)
    twin = _clean_twin(trained, every, frame)
    return found | ({"clean": twin} if twin is not None else {})


def _clean_twin(chosen: Checkpoint, every: Sequence[Checkpoint], frame: pd.DataFrame) -> Checkpoint | None:
    """The trial that differs from one in a corruption ratio of zero only."""
    own = frame[frame["run_id"] == chosen.run_id]
    if chosen.kind != names.TRIAL or own.empty or "corruption.ratio" not in frame or "seed" not in frame:
        return None
    if bool((own["corruption.ratio"] == 0.0).all()):
        return None
    clean = frame[(frame["kind"] == names.TRIAL) & (frame["corruption.ratio"] == 0.0) & (frame["status"] == "FINISHED")]
    same = (clean[names.CURVE] == own[names.CURVE].iloc[0]) & (clean["seed"] == own["seed"].iloc[0])
    twins = set(clean.loc[same, "run_id"])
    return next((item for item in every if item.run_id in twins), None)


class Loader:
    """Makes landscapes of stored models; keeps the last for all visitors, up to :data:`KEPT_LANDSCAPES` bytes.

    Args:
        reader: reads the store.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._kept: Kept[tuple[str, ...], Landscape] = Kept(KEPT_LANDSCAPES)
        self._fitted: Kept[str, Fitted] = Kept(KEPT_FITTED)

    def config(self, experiment: str, item: Checkpoint) -> Mapping[str, Any]:
        """The configuration of the trial a checkpoint belongs to."""
        return self._reader.config(experiment, item.trial, item.parent)

    def landscape(self, experiment: str, item: Checkpoint, others: Mapping[str, Checkpoint]) -> Landscape:
        """The landscape around a checkpoint, on the data its model was trained on.

        Args:
            experiment: the experiment's name.
            item: the checkpoint.
            others: further points, by name; those whose parameters do not fit the model are left out.

        Raises:
            DataError: its configuration or its artifacts are missing or do not fit.
        """
        key = (item.run_id, *(f"{name}={other.run_id}" for name, other in sorted(others.items())))
        return self._kept.get(key, lambda: self._make(experiment, item, others))

    def _make(self, experiment: str, item: Checkpoint, others: Mapping[str, Checkpoint]) -> Landscape:
        config = self.config(experiment, item)
        _, dataset = data_of(config)
        model = self._reader.model(item.run_id)
        points = {name: self._reader.model(other.run_id) for name, other in others.items()}
        return Landscape(
            model,
            corrupted_of(config),
            dataset.validation,
            points={name: point for name, point in points.items() if _alike(model, point)},
            trajectory=self._trajectory(item, model),
            seed=int(config["seed"]),
            criterion=make("loss", loss) if (loss := config["training"].get("loss")) else CrossEntropy(),
        )

    def predictions(self, experiment: str, items: Sequence[Checkpoint], row: int) -> list[tuple[str, float]]:
        """Each model's probability of class 1 for a training row of its own corrupted data.

        Raises:
            DataError: there is no such row.
        """
        found = []
        for item in items:
            x = corrupted_of(self.config(experiment, item)).split.x
            if not 0 <= row < len(x):
                raise DataError(f"There is no training row {row}; there are {len(x)}.")
            model = self._reader.model(item.run_id)
            with torch.no_grad():
                logit = model(prepare_features(model, x[row : row + 1]))[0]
            found.append((item.label, float(torch.sigmoid(logit))))
        return found

    def decisions(self, experiment: str, items: Sequence[Checkpoint], row: int) -> list[tuple[str, float]]:
        """The same of estimators, which are fitted again; for those without probabilities, the class they decide for.

        Raises:
            DataError: there is no such row, or an estimator is another one than it was.
        """
        found = []
        for item in items:
            config = self.config(experiment, item)
            x = corrupted_of(config).split.x
            if not 0 <= row < len(x):
                raise DataError(f"There is no training row {row}; there are {len(x)}.")
            fitted = self._fitted.get(item.run_id, functools.partial(self._refit, item, config))
            inputs = rows_for(fitted.estimator, x[row : row + 1])
            p = probabilities(fitted.estimator, inputs)
            if p is not None:
                found.append((item.label, float(p[0])))
            else:
                z = decide(fitted.estimator, inputs)[0]
                found.append((f"{item.label} (decides, {z:+.3g}; no probability)", float(z > 0)))
        return found

    def _refit(self, item: Checkpoint, config: Mapping[str, Any]) -> Fitted:
        metrics = self._reader.store.get_run(item.run_id).data.metrics
        return refit(config, metrics, f"run {item.run_id} ({item.label})", data_of(config))

    def _trajectory(self, item: Checkpoint, model: Model) -> torch.Tensor | None:
        if item.kind != names.TRIAL:
            return None
        path = self._reader.trajectory(item.run_id)
        return None if path is None else flat_trajectory(model, path)


def _alike(one: Model, other: Model) -> bool:
    shapes = {name: parameter.shape for name, parameter in one.named_parameters()}
    return shapes == {name: parameter.shape for name, parameter in other.named_parameters()}
