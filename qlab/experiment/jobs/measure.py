"""Measuring metrics of models that are trained, from their parameters."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from qlab import interrupts
from qlab.experiment.asking.measurement import Measurement
from qlab.experiment.asking.trial import Trial, Unlearning
from qlab.experiment.jobs.base import Inputs, Job, Report, Result
from qlab.experiment.jobs.materials import Materials
from qlab.experiment.jobs.measured_rows import corrupted_validation
from qlab.experiment.jobs.measuring import Findings, logits_of_estimator
from qlab.models.base import Model
from qlab.models.features import Features
from qlab.models.rows import prepare_features
from qlab.own_code import described
from qlab.tasks import Task
from qlab.training import ensemble
from qlab.training.data import prepare
from qlab.training.drawn import Draws, Numbers
from qlab.training.fitting import fit
from qlab.training.metrics import evaluate, logits_of
from qlab.training.threads import limited_threads, suited_threads


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
        row, rows = data.validation_x[:1], data.train_y.shape[1] + len(data.validation_y)
        with suited_threads(model, len(models)):
            drawn = _as_logged(model, models.values(), parameters, row, rows, "evaluation")
            z = evaluate(model, parameters, data, drawn=drawn)[1].cpu()
            tested = z
            if test_x is not None:
                drawn = _as_logged(model, models.values(), parameters, row, len(test_x), "test")
                tested = logits_of(model, parameters, test_x, drawn).cpu()
        model.to("cpu")
        found = Findings()
        for place, (key, trial) in enumerate(zip(models, trials, strict=True)):
            own = {name: value[place : place + 1] for name, value in stacked.items()}
            found.take(self._of(key), materials, trial, _Given(materials, trial, model, own, z[place], tested[place]))
        return Measured(values=found.values, failed=found.failed)

    def _of_estimators(self, materials: Materials) -> Measured:
        found = Findings()
        with limited_threads():
            for key in self.models:
                own, trial = self._of(key), self._of(key)[0].trial
                dataset = materials.dataset(trial.task)
                features = Features.of(dataset, trial.corruption)
                try:
                    fitted = fit(trial.estimator, materials.member(trial), dataset.validation, features).estimator
                except Exception as error:
                    interrupts.check()
                    found.failed |= {item.key: described(error) for item in own}
                    continue
                found.take(own, materials, trial, logits_of_estimator(fitted, materials, trial, features))
        return Measured(values=found.values, failed=found.failed)

    def _of(self, key: str) -> list[Measurement]:
        """What is wanted of one model."""
        return [item for item in self.wanted if item.of.key == key]


def _as_logged(
    model: Model,
    models: Iterable[Trial | Unlearning],
    parameters: ensemble.Parameters,
    row: Tensor,
    rows: int,
    what: str,
) -> Numbers:
    """The random numbers of the last evaluation of each model, if its metrics are sampled.

    Early stopping logs the draws of its best epoch, which is not known here; these are then others of the same kind.

    Args:
        model: the built model.
        models: what was trained or unlearned.
        parameters: theirs, stacked.
        row: prepared features of a row.
        rows: how many are evaluated.
        what: names the evaluation.
    """
    each = []
    for item in models:
        trained = isinstance(item, Trial)
        draws = Draws.of(model, [item.seed], parameters, row, row.device)
        name = what if trained else f"{what} of unlearning"
        each.append(draws.of_rows(rows, name, item.trainer.epochs if isinstance(item, Trial) else item.unlearner.steps))
    return tuple(torch.cat(parts) for parts in zip(*each, strict=True))


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
        """See :data:`qlab.experiment.jobs.measuring.Logits`."""
        if item.metric.on == "test":
            return self._tested
        other = corrupted_validation(self._materials, self._trial, item)
        if other is not None and self._trial.corruption.changes_features:
            x = other.split.x
            z = logits_of(self._model, self._parameters, prepare_features(self._model, x))[0]
            return torch.cat([self._z[: -len(z)], z])
        return self._z
