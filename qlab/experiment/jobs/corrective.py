"""The rows that corrective accuracy is measured on: what is wrong with them is to be put right, whoever knew of it."""

from __future__ import annotations

import torch
from torch import Tensor

from qlab.experiment.asking.trial import Trial
from qlab.experiment.jobs.materials import Materials
from qlab.experiment.jobs.measured_rows import unseen_validation
from qlab.tasks.features import FeatureRows


def corrective_rows(materials: Materials, trial: Trial) -> tuple[FeatureRows, Tensor]:
    """Features ``[n, d]`` of rows and their true labels ``[n]``; there may be none.

    Validation rows with the trigger where the corruption has one (see :attr:`Corruption.has_trigger`), else the
    corrupted training rows, known and hidden ones alike.
    """
    found = unseen_validation(materials, trial) if trial.corruption.has_trigger else materials.member(trial).corrupted
    return found.split.x[found.mask], found.clean_y[found.mask]


def corrective_accuracy(z: Tensor, y: Tensor) -> Tensor:
    """The fraction of rows that are given their true label; NaN without rows.

    arXiv:2402.14015: of the manipulated domain, under correct labels.

    Args:
        z: logits, ``[..., n]``; rows whose logit is NaN count as wrong.
        y: true labels, ``[n]``.
    """
    correct = (z > 0).long().eq(y) & ~z.isnan()
    return correct.double().mean(-1) if len(y) else torch.full(z.shape[:-1], torch.nan, dtype=torch.float64)
