"""Measuring metrics of models that are trained, from their parameters."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from qlab import interrupts
from qlab.errors import DataError
from qlab.experiment.asking.measurement import Measurement
from qlab.experiment.asking.trial import Trial, Unlearning
from qlab.experiment.jobs.base import Inputs, Job, Report, Result
from qlab.experiment.jobs.materials import Materials
from qlab.experiment.jobs.measured_rows import corrupted_validation, evaluated
from qlab.metrics.evaluation import Evaluated, tried
from qlab.models.base import Features, Model, prepare_features
from qlab.models.estimator import inputs_of
from qlab.own_code import described
from qlab.tasks import Task
from qlab.training import ensemble
from qlab.training.data import prepare
from qlab.training.fitting import decide, fit, log_odds
from qlab.training.metrics import evaluate, logits_of
from qlab.training.threads import limited_threads, suited_threads

Logits = Callable[[Measurement], Tensor]
"""Gives the logits of one model that a metric is computed from: on test rows, or on training, then validation rows."""


@dataclasses.dataclass(frozen=True, eq=False)
class Measured(Result):
    """What was measured.

    Args:
        values: by key of the measurement.
        failed: why the others have no value, by key.
    """

    values: Mapping[str, float] = dataclasses.field(default_factory=dict)
    failed: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, eq=False)
class Measure(Job):
    """Computes metrics of models that are made; an estimator is fitted again, since nothing of it is kept.

    Args:
        wanted: the metrics, of models that differ in seed, corruption or how they were unlearned.
    """

    wanted: tuple[Measurement, ...]

    @property
    def label(self) -> str:
        """See the base class."""
        return f"metrics of {self.wanted[0].trial.setting}"

    @property
    def task(self) -> Task:
        """See the base class."""
        return self.wanted[0].trial.task

    @property
    def models(self) -> dict[str, Trial | Unlearning]:
        """What is measured, by key."""
        return {item.of.key: item.of for item in self.wanted}

    def is_needed(self, inputs: Inputs) -> bool:
        """Whether a model was made."""
        return not self.wanted[0].trial.has_gradients or any(key in inputs.states for key in self.models)

    def run(self, materials: Materials, inputs: Inputs, report: Report) -> Measured:
        """See the base class."""
        if not self.wanted[0].trial.has_gradients:
            return self._of_estimators(materials)
        models = {key: item for key, item in self.models.items() if key in inputs.states}
        trials = [item if isinstance(item, Trial) else item.teacher for item in models.values()]
        dataset, device = materials.dataset(self.task), materials.device
        model = materials.build(trials[0])
        data = prepare(model, [materials.member(trial) for trial in trials], dataset.validation, device)
        test_x = None
        if dataset.test is not None and any(item.metric.on == "test" for item in self.wanted):
            test_x = prepare_features(model, dataset.test.x).to(device)
        stacked = ensemble.stack([dict(inputs.states[key]) for key in models], model)
        parameters = {name: value.to(device) for name, value in stacked.items()}
        model.to(device)
        with suited_threads(model, len(models)):
            z = evaluate(model, parameters, data)[1].cpu()
            tested = z if test_x is None else logits_of(model, parameters, test_x).cpu()
        model.to("cpu")
        found = _Found()
        for row, (key, trial) in enumerate(zip(models, trials, strict=True)):
            own = {name: value[row : row + 1] for name, value in stacked.items()}
            found.take(self._of(key), materials, trial, _Given(materials, trial, model, own, z[row], tested[row]))
        return Measured(values=found.values, failed=found.failed)

    def _of_estimators(self, materials: Materials) -> Measured:
        found = _Found()
        with limited_threads():
            for key in self.models:
                own = self._of(key)
                try:
                    logits = _fitted(materials, own[0].trial)
                except Exception as error:
                    interrupts.check()
                    found.failed |= {item.key: described(error) for item in own}
                    continue
                found.take(own, materials, own[0].trial, logits)
        return Measured(values=found.values, failed=found.failed)

    def _of(self, key: str) -> list[Measurement]:
        """What is wanted of one model."""
        return [item for item in self.wanted if item.of.key == key]


class _Given:
    """Gives what a trained model has said, and what it says of polluted validation rows where features are corrupted.

    Args:
        materials: the data.
        trial: the model's.
        model: the model, built.
        parameters: its own, stacked.
        z: its logits on training rows, then validation rows.
        tested: on test rows.
    """

    def __init__(
        self,
        materials: Materials,
        trial: Trial,
        model: Model,
        parameters: ensemble.Parameters,
        z: Tensor,
        tested: Tensor,
    ) -> None:
        self._materials, self._trial, self._z, self._tested = materials, trial, z, tested
        self._model, self._parameters = model, parameters

    def __call__(self, item: Measurement) -> Tensor:
        """See :data:`Logits`."""
        if item.metric.on == "test":
            return self._tested
        other = corrupted_validation(self._materials, self._trial, item)
        if other is not None and self._trial.corruption.changes_features:
            x = other.split.x
            z = logits_of(self._model, self._parameters, prepare_features(self._model, x))[0]
            return torch.cat([self._z[: -len(z)], z])
        return self._z


def _fitted(materials: Materials, trial: Trial) -> Logits:
    """What an estimator, fitted once more, gives for a metric."""
    member, dataset = materials.member(trial), materials.dataset(trial.task)
    features = Features.of(dataset, trial.corruption)
    fitted = fit(trial.estimator, member, dataset.validation, features).estimator
    inputs = trial.estimator.input_map
    train = inputs_of(member.corrupted.split.x, features, inputs)

    def logits(item: Measurement) -> Tensor:
        if item.metric.on == "test":
            x = inputs_of(materials.test(trial.task).x, features, inputs)
        else:
            other = corrupted_validation(materials, trial, item)
            rows = dataset.validation if other is None else other.split
            x = np.concatenate([train, inputs_of(rows.x, features, inputs)])
        values = log_odds(fitted, x) if item.metric.of_probabilities else decide(fitted, x)
        if values is None:
            raise DataError(
                f"{trial.names['model']} gives no probabilities, which {item.type_name} is computed from; leave the "
                "metric out, or take an estimator that has some"
            )
        return torch.from_numpy(values)

    return logits


class _Found:
    """Values, and why there are none, by key of the measurement."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}
        self.failed: dict[str, str] = {}

    def take(self, wanted: list[Measurement], materials: Materials, trial: Trial, logits: Logits) -> None:
        """Measures one model."""
        rows: dict[tuple[bool, bool], Evaluated] = {}
        for item in wanted:
            kind = item.polluted, item.metric.of_unseen
            try:
                if kind not in rows:
                    validation = corrupted_validation(materials, trial, item)
                    rows[kind] = evaluated(materials, trial, validation=validation)
                z = logits(item)
            except Exception as error:
                interrupts.check()
                self.failed[item.key] = described(error)
                continue
            value = tried(item.metric, rows[kind], z)
            if isinstance(value, str):
                self.failed[item.key] = value
            else:
                self.values[item.key] = value
