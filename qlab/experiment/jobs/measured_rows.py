"""The rows of trials that metrics are computed on."""

from __future__ import annotations

from qlab import seeding
from qlab.corruptions.base import Corrupted
from qlab.experiment.asking.trial import Trial
from qlab.experiment.jobs.materials import Materials
from qlab.metrics.base import Rows
from qlab.metrics.evaluation import Evaluated


def evaluated(materials: Materials, trial: Trial, *, polluted: bool = False) -> Evaluated:
    """The rows of a trial that metrics can be computed on.

    Args:
        materials: its data.
        trial: the trial.
        polluted: whether validation rows are corrupted as training rows are: at the same ratio, by a draw of their own.
    """
    splits = {name: Rows.clean(split) for name, split in materials.dataset(trial.task).splits.items()}
    if polluted:
        splits["validation"] = Rows.corrupted(polluted_validation(materials, trial))
    return Evaluated(materials.member(trial).corrupted, splits)


def polluted_validation(materials: Materials, trial: Trial) -> Corrupted:
    """The validation split after a trial's corruption."""
    validation = materials.dataset(trial.task).validation
    return trial.corruption.apply(validation, trial.task, seeding.generator(trial.seed, "selection"))
