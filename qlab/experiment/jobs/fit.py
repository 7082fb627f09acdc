"""Fitting estimators to the data of trials, one after the other."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence

import numpy as np

from qlab.errors import JobStopped, StoreError
from qlab.experiment.asking.measurement import Measurement
from qlab.experiment.asking.trial import Trial
from qlab.experiment.jobs.base import Inputs, Job, Report
from qlab.experiment.jobs.materials import Materials
from qlab.experiment.jobs.measuring import Findings, logits_of_estimator
from qlab.experiment.jobs.train import Trained
from qlab.inputs import InputMap
from qlab.models import Features
from qlab.models.estimator import Array, inputs_of
from qlab.own_code import described
from qlab.tasks import Task
from qlab.tasks.features import FeatureRows
from qlab.training.fitting import Fitted, check_seeded, fit
from qlab.training.threads import limited_threads

STEP = 0
"""The step of an estimator's metrics: there are no epochs."""


@dataclasses.dataclass(frozen=True, eq=False)
class Estimated(Trained):
    """Trials whose estimators were fitted: a training of one evaluation.

    ``health`` is of those that were fitted, in their order; there is no ``history``, since one may have losses where
    another has none.

    Args:
        fitted: their metrics, by key.
        failed: why the others were not, by key.
        fitting_seconds: what of the wall time fitting took.
        values: of further metrics, by key of the measurement.
    """

    fitted: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)
    failed: Mapping[str, str] = dataclasses.field(default_factory=dict)
    fitting_seconds: float = 0.0
    values: Mapping[str, float] = dataclasses.field(default_factory=dict)


def without_losses(estimator: str, metrics: Sequence[Mapping[str, float]]) -> str:
    """What to say of estimators of which some have losses and others, whose ``log_odds`` were None, have not.

    Args:
        estimator: the name of the class.
        metrics: of each that was fitted.
    """
    few = sum(not any(name.endswith("_loss") for name in found) for found in metrics)
    if few in (0, len(metrics)):
        return ""
    return f"{few} of {len(metrics)} {estimator} have no losses, since their log_odds gave None; the others have theirs"


@dataclasses.dataclass(frozen=True, eq=False)
class Fit(Job):
    """Fits the estimators of trials that differ in seed or corruption; one that fails leaves the others alone.

    Nothing that was learned is kept: refitting gives it again. So further metrics are taken here, too.

    Args:
        trials: of one ensemble.
        wanted: further metrics of these trials.
    """

    trials: tuple[Trial, ...]
    wanted: tuple[Measurement, ...] = ()

    @property
    def label(self) -> str:
        """See the base class."""
        return self.trials[0].setting

    @property
    def task(self) -> Task:
        """See the base class."""
        return self.trials[0].task

    def run(self, materials: Materials, inputs: Inputs, report: Report) -> Estimated:
        """See the base class."""
        found: dict[str, Fitted] = {}
        failed: dict[str, str] = {}
        dataset = materials.dataset(self.task)
        features = Features.of(dataset, self.trials[0].corruption)
        remembered, measured, start = _Remembered(), Findings(), time.perf_counter()
        with limited_threads():
            for number, trial in enumerate(self.trials, 1):
                try:
                    member = materials.member(trial)
                    made = fit(
                        trial.estimator, member, dataset.validation, features, test=dataset.test, inputs=remembered
                    )
                    if not found:
                        check_seeded(trial.estimator, member, dataset.validation, made)
                except (StoreError, JobStopped):
                    raise
                except (Exception, SystemExit) as error:  # a user's code may raise anything, and call sys.exit()
                    failed[trial.key] = described(error)
                    continue
                found[trial.key] = made
                if own := [item for item in self.wanted if item.of.key == trial.key]:
                    measured.take(
                        own, materials, trial, logits_of_estimator(made.estimator, materials, trial, features)
                    )
                report.epoch(number, {name: np.array([value]) for name, value in made.metrics.items()})
        return Estimated(
            seconds=time.perf_counter() - start,
            epochs=(STEP,),
            health=tuple(item.health for item in found.values()),
            fitted={key: item.metrics for key, item in found.items()},
            failed=failed,
            fitting_seconds=sum(item.seconds for item in found.values()),
            values=measured.values,
            unmeasured=measured.failed,
        )


class _Remembered:
    """Makes what the estimators of one ensemble take of features; of those that trials share once."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[FeatureRows, Array]] = {}

    def __call__(self, x: FeatureRows, features: Features, inputs: InputMap) -> Array:
        """See :func:`qlab.models.estimator.inputs_of`."""
        if id(x) not in self._kept:
            if len(self._kept) > 1:  # a corruption that changes features makes others for each trial
                self._kept.pop(next(reversed(self._kept)))
            self._kept[id(x)] = (x, inputs_of(x, features, inputs))
        return self._kept[id(x)][1].copy()
