"""Exact unlearning of estimators: fitting them again without the corrupted rows is all that Retrain means there."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping

import numpy as np

from qlab.errors import JobStopped, StoreError
from qlab.experiment.asking.trial import Unlearning
from qlab.experiment.jobs.base import Inputs, Report
from qlab.experiment.jobs.materials import Materials
from qlab.experiment.jobs.unlearn import STEPS_TO_ORACLE, Ended, Forgotten, Unlearn
from qlab.models import Features
from qlab.own_code import described
from qlab.training.fitting import Fitted, fit
from qlab.training.threads import limited_threads
from qlab.unlearning.oracle import seed_of


@dataclasses.dataclass(frozen=True, eq=False)
class Refitted(Forgotten):
    """Estimators that were fitted again; there is no ``history``, since one may have losses where another has none.

    Args:
        fitted: metrics of the teacher, then of what became of it, by key.
        failed: why others were not, by key.
    """

    fitted: Mapping[str, tuple[Mapping[str, float], ...]] = dataclasses.field(default_factory=dict)
    failed: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, eq=False)
class Refit(Unlearn):
    """Fits estimators again to their teachers' retain sets, in one step, and their oracles with other seeds.

    A teacher is fitted once more for what it says before that, since nothing that it has learned is stored. An
    estimator that draws nothing is its own oracle.
    """

    @property
    def steps(self) -> int:
        """See the base class: there are none to be trained."""
        return 0

    def is_needed(self, inputs: Inputs) -> bool:
        """Always: an estimator that cannot be fitted fails here as well."""
        return True

    def run(self, materials: Materials, inputs: Inputs, report: Report) -> Refitted:
        """See the base class."""
        start = time.perf_counter()
        fitted: dict[str, tuple[Mapping[str, float], ...]] = {}
        ended: dict[str, Ended] = {}
        failed: dict[str, str] = {}
        with limited_threads():
            for item in self.unlearnings:
                try:
                    before, after, oracles = self._fitted(materials, item)
                except (StoreError, JobStopped):
                    raise
                except (Exception, SystemExit) as error:  # a user's code may raise anything
                    failed[item.key] = described(error)
                    continue
                fitted[item.key] = before.metrics, after.metrics
                ended[item.key] = Ended(after.health, None, _compared(after, oracles))
                report.epoch(len(ended), {name: np.array([value]) for name, value in after.metrics.items()})
        return Refitted(seconds=time.perf_counter() - start, fitted=fitted, ended=ended, failed=failed)

    def _fitted(self, materials: Materials, item: Unlearning) -> tuple[Fitted, Fitted, list[Fitted]]:
        """A teacher, what becomes of it, and its oracles."""
        trial, dataset = item.teacher, materials.dataset(self.task)
        features, member = Features.of(dataset, trial.corruption), materials.member(trial)
        seeds = [item.seed, *(seed_of(trial.seed, number) for number in range(item.oracles))]
        before = fit(trial.estimator, member, dataset.validation, features, test=dataset.test)
        after, *oracles = (
            fit(
                trial.estimator,
                dataclasses.replace(member, seed=seed),
                dataset.validation,
                features,
                test=dataset.test,
                retain_only=True,
            )
            for seed in seeds
        )
        return before, after, oracles


def _compared(after: Fitted, oracles: list[Fitted]) -> dict[str, float]:
    """See :func:`qlab.unlearning.oracle.oracle_distance`."""
    own = after.metrics["validation_accuracy"]
    accuracies = np.array([found.metrics["validation_accuracy"] for found in oracles])
    final = {"oracle_accuracy": float(accuracies.mean()), "oracle_gap": float((own - accuracies).mean())}
    if len(accuracies) > 1:
        final["oracle_accuracy_std"] = float(accuracies.std(ddof=1))
    if own >= STEPS_TO_ORACLE * final["oracle_accuracy"]:
        final["steps_to_oracle"] = 1.0
    return final | {"unlearning_seconds": after.seconds}
