"""The rows of trials that metrics are computed on."""

from __future__ import annotations

from qlab import seeding
from qlab.corruptions.base import Corrupted
from qlab.experiment.asking.measurement import Measurement
from qlab.experiment.asking.trial import Trial
from qlab.experiment.jobs.materials import Materials
from qlab.metrics.base import Rows
from qlab.metrics.evaluation import Evaluated


def evaluated(materials: Materials, trial: Trial, *, validation: Corrupted | None = None) -> Evaluated:
    """The rows of a trial that metrics can be computed on.

    Args:
        materials: its data.
        trial: the trial.
        validation: the validation rows as they are corrupted, if they are.
    """
    splits = {name: Rows.clean(split) for name, split in materials.dataset(trial.task).splits.items()}
    if validation is not None:
        splits["validation"] = Rows.corrupted(validation)
    return Evaluated(materials.member(trial).corrupted, splits)


def corrupted_validation(materials: Materials, trial: Trial, item: Measurement) -> Corrupted | None:
    """The validation rows of a metric if they are corrupted; None if they are as the task has them."""
    if item.metric.of_unseen:
        return unseen_validation(materials, trial)
    return polluted_validation(materials, trial) if item.polluted else None


def unseen_validation(materials: Materials, trial: Trial) -> Corrupted:
    """The validation rows that are like the corrupted rows of training."""
    dataset = materials.dataset(trial.task)
    known, generator = trial.task.with_data(dataset), seeding.generator(trial.seed, "unseen")
    return trial.corruption.apply_to_unseen(dataset.validation, known, generator)


def polluted_validation(materials: Materials, trial: Trial) -> Corrupted:
    """The validation split after a trial's corruption."""
    dataset = materials.dataset(trial.task)
    known, generator = trial.task.with_data(dataset), seeding.generator(trial.seed, "selection")
    return trial.corruption.apply(dataset.validation, known, generator)
