"""Exact unlearning of estimators: fitting them again without the corrupted rows is all that Retrain means there."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from qlab.errors import JobStopped, StoreError
from qlab.experiment.asking.trial import Unlearning
from qlab.experiment.jobs.base import Inputs, Report
from qlab.experiment.jobs.corrective import corrective_accuracy, corrective_rows
from qlab.experiment.jobs.materials import Materials
from qlab.experiment.jobs.unlearn import STEPS_TO_ORACLE, Ended, Forgotten, Unlearn
from qlab.models import Features
from qlab.own_code import described
from qlab.training.fitting import Fitted, decide, fit, rows_for
from qlab.training.metrics import of_told
from qlab.training.threads import limited_threads
from qlab.unlearning.oracle import of_reachable, seed_of


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
                    fits = self._fitted(materials, item)
                    metrics = [_measured(found, materials, item) for found in (fits.before, fits.after)]
                    compared = _compared(fits, materials, item)
                except (StoreError, JobStopped):
                    raise
                except (Exception, SystemExit) as error:  # a user's code may raise anything
                    failed[item.key] = described(error)
                    continue
                fitted[item.key] = tuple(metrics)
                ended[item.key] = Ended(fits.after.health, None, compared)
                report.epoch(len(ended), {name: np.array([value]) for name, value in metrics[-1].items()})
        return Refitted(seconds=time.perf_counter() - start, fitted=fitted, ended=ended, failed=failed)

    def _fitted(self, materials: Materials, item: Unlearning) -> _Fits:
        trial, dataset = item.teacher, materials.dataset(self.task)
        features, member = Features.of(dataset, trial.corruption), materials.member(trial)
        told, corrupted = materials.told(trial, item.knowledge), member.corrupted.mask
        seeds = [seed_of(trial.seed, number) for number in range(item.oracles)]

        def fitted(seed: int, without: Tensor | None = None) -> Fitted:
            own = dataclasses.replace(member, seed=seed)
            return fit(trial.estimator, own, dataset.validation, features, test=dataset.test, without=without)

        return _Fits(
            fitted(member.seed),
            fitted(item.seed, told),
            [fitted(seed, corrupted) for seed in seeds],
            [] if item.knowledge.is_complete else [fitted(seed, told) for seed in seeds],
        )


@dataclasses.dataclass(frozen=True, eq=False)
class _Fits:
    """A teacher, what becomes of it, its oracles, and the reachable ones if not all is known."""

    before: Fitted
    after: Fitted
    oracles: Sequence[Fitted]
    reachable: Sequence[Fitted]


def _measured(found: Fitted, materials: Materials, item: Unlearning) -> dict[str, float]:
    """The metrics of a model, of known and hidden rows apart where methods are not told all."""
    if item.knowledge.is_complete:
        return found.metrics
    corrupted, told = materials.member(item.teacher).corrupted, materials.told(item.teacher, item.knowledge)
    rows = corrupted.split.y[None], corrupted.clean_y[None], corrupted.mask[None], told[None]
    apart = of_told(found.logits[None], *rows)
    return found.metrics | {name: float(value[0]) for name, value in apart.items()}


def _compared(fits: _Fits, materials: Materials, item: Unlearning) -> dict[str, float]:
    """See :func:`qlab.unlearning.oracle.oracle_distance`."""
    final = _distance(fits.after, fits.oracles)
    if fits.reachable:
        final |= of_reachable(_distance(fits.after, fits.reachable))
    if fits.after.metrics["validation_accuracy"] >= STEPS_TO_ORACLE * final["oracle_accuracy"]:
        final["steps_to_oracle"] = 1.0
    compared = {"": [fits.after], "_teacher": [fits.before], "_oracle": fits.oracles, "_reachable": fits.reachable}
    x, y = corrective_rows(materials, item.teacher)
    for name, models in compared.items() if len(y) else ():
        right = [
            corrective_accuracy(torch.from_numpy(decide(own, rows_for(own, x))), y)
            for own in (found.estimator for found in models)
        ]
        if right:
            final[f"corrective_accuracy{name}"] = float(torch.stack(right).mean())
    return final | {"unlearning_seconds": fits.after.seconds}


def _distance(after: Fitted, oracles: Sequence[Fitted]) -> dict[str, float]:
    own = after.metrics["validation_accuracy"]
    accuracies = np.array([found.metrics["validation_accuracy"] for found in oracles])
    final = {"oracle_accuracy": float(accuracies.mean()), "oracle_gap": float((own - accuracies).mean())}
    if len(accuracies) > 1:
        final["oracle_accuracy_std"] = float(accuracies.std(ddof=1))
    return final
