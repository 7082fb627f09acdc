"""Models, data and landscapes of stored runs, made again from their configuration."""

from __future__ import annotations

import collections
import dataclasses
import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

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
from qlab.tasks import Dataset, Split, Task
from qlab.tasks.features import FeatureRows
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

KEPT_LOGITS = 32 * MEBIBYTE
"""Bytes of what models say of whole splits that stay in memory."""

KEPT_DATASETS = 256 * MEBIBYTE
"""Bytes of data sets that stay in memory."""

_OF_RUN: Final = ["run_id", "name", "kind", "trial", "parent_id"]

Samples = Literal["train", "validation"]
"""Training rows, or validation rows."""

_AT_ONCE = 512
"""So many rows are evaluated together."""

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


def split_of(config: Mapping[str, Any], samples: Samples) -> Split:
    """The training rows of a trial's configuration, as its model met them, or its validation rows."""
    return corrupted_of(config).split if samples == "train" else data_of(config)[1].validation


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A stored model, and what it was trained on.

    Args:
        run_id: its run.
        label: for people.
        kind: a kind of :mod:`qlab.tracking.names`.
        trial: identity of the trial whose data it belongs to.
        parent: the run of that trial's experiment, if known.
        fitted: whether it is an estimator, which has no checkpoint and is fitted again.
    """

    run_id: str
    label: str
    kind: str
    trial: str
    parent: str | None
    fitted: bool = False


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
            str(row["run_id"]), str(row["name"]), names.TRIAL, str(row["trial"]), str(row["parent_id"]), fitted=True
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
        self._logits: Kept[tuple[str, str], NDArray[np.float64]] = Kept(KEPT_LOGITS)

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

    def predictions(
        self, experiment: str, items: Sequence[Checkpoint], row: int, samples: Samples = "train"
    ) -> list[tuple[str, float]]:
        """Each model's probability of class 1 for a training row of its own corrupted data, or for a validation row.

        Of estimators, which are fitted again, without probabilities it is the class they decide for.

        Raises:
            DataError: there is no such row, or an estimator is another one than it was.
        """
        found = []
        for item in items:
            config = self.config(experiment, item)
            x = split_of(config, samples).x
            if not 0 <= row < len(x):
                kind = "training" if samples == "train" else samples
                raise DataError(f"There is no {kind} row {row}; there are {len(x)}.")
            found.append(said(item.label, *self._asked(item, config, x[row : row + 1])))
        return found

    def logits(self, experiment: str, item: Checkpoint, samples: Samples) -> NDArray[np.float64]:
        """The logits of a model for all samples, ``[N]``, float64; kept, up to :data:`KEPT_LOGITS` bytes.

        Args:
            experiment: the experiment's name.
            item: the model.
            samples: training rows as its own corrupted data have them, or validation rows.
        """

        def make() -> NDArray[np.float64]:
            config = self.config(experiment, item)
            x = split_of(config, samples).x
            parts = [self._asked(item, config, x[start : start + _AT_ONCE])[0] for start in range(0, len(x), _AT_ONCE)]
            return np.concatenate(parts)

        return self._logits.get((item.run_id, samples), make)

    def _asked(
        self, item: Checkpoint, config: Mapping[str, Any], x: FeatureRows
    ) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        """A model's logits for some rows, and its probabilities of class 1; None for one without."""
        if item.fitted:
            fitted = self._fitted.get(item.run_id, functools.partial(self._refit, item, config))
            inputs = rows_for(fitted.estimator, x)
            return decide(fitted.estimator, inputs), probabilities(fitted.estimator, inputs)
        model = self._reader.model(item.run_id)
        with torch.no_grad():
            logits = model(prepare_features(model, x)).double()
        return logits.numpy(), torch.sigmoid(logits).numpy()

    def _refit(self, item: Checkpoint, config: Mapping[str, Any]) -> Fitted:
        metrics = self._reader.store.get_run(item.run_id).data.metrics
        return refit(config, metrics, f"run {item.run_id} ({item.label})", data_of(config))

    def _trajectory(self, item: Checkpoint, model: Model) -> torch.Tensor | None:
        if item.kind != names.TRIAL:
            return None
        path = self._reader.trajectory(item.run_id)
        return None if path is None else flat_trajectory(model, path)


def said(label: str, logits: NDArray[np.float64], probabilities: NDArray[np.float64] | None) -> tuple[str, float]:
    """A model's name and its probability of class 1 for one row; for those without, what they decide."""
    if probabilities is not None:
        return label, float(probabilities[0])
    z = float(logits[0])
    return f"{label} (decides, {z:+.3g}; no probability)", float(z > 0)


def _alike(one: Model, other: Model) -> bool:
    shapes = {name: parameter.shape for name, parameter in one.named_parameters()}
    return shapes == {name: parameter.shape for name, parameter in other.named_parameters()}
