"""Metrics of one's own of models that are there: the values, and why there are none."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from qlab import interrupts
from qlab.errors import DataError
from qlab.experiment.asking.measurement import Measurement
from qlab.experiment.asking.trial import Trial
from qlab.experiment.jobs.materials import Materials
from qlab.experiment.jobs.measured_rows import corrupted_validation, evaluated
from qlab.metrics.evaluation import Evaluated, tried
from qlab.models.estimator import Estimator, inputs_of
from qlab.models.features import Features
from qlab.own_code import described
from qlab.training.fitting import decide, log_odds

Logits = Callable[[Measurement], Tensor]
"""Gives the logits of one model that a metric is computed from: on test rows, or on training, then validation rows."""


def logits_of_estimator(fitted: Estimator, materials: Materials, trial: Trial, features: Features) -> Logits:
    """What an estimator that was fitted to a trial's data gives for each metric."""
    dataset = materials.dataset(trial.task)
    train = inputs_of(materials.member(trial).corrupted.split.x, features, fitted.input_map)

    def logits(item: Measurement) -> Tensor:
        if item.metric.on == "test":
            x = inputs_of(materials.test(trial.task).x, features, fitted.input_map)
        else:
            other = corrupted_validation(materials, trial, item)
            rows = dataset.validation if other is None else other.split
            x = np.concatenate([train, inputs_of(rows.x, features, fitted.input_map)])
        values = log_odds(fitted, x) if item.metric.of_probabilities else decide(fitted, x)
        if values is None:
            raise DataError(
                f"{trial.names['model']} gives no probabilities, which {item.type_name} is computed from; leave the "
                "metric out, or take an estimator that has some"
            )
        return torch.from_numpy(values)

    return logits


class Findings:
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
