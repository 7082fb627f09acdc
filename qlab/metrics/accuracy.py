"""Accuracy, as a metric beside others: every trial has it of its own splits anyway."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from qlab.metrics.base import Metric, Rows


class Accuracy(Metric):
    """The fraction of rows that are predicted as they are labelled; rows whose logit is NaN count as wrong."""

    formula: ClassVar[str] = "mean[(z > 0) = y]"
    source: ClassVar[str] = "sklearn.metrics.accuracy_score"

    def compute(self, logits: Tensor, split: Rows) -> float:
        """See the base class."""
        predicted = torch.where(logits.isnan(), 1 - split.y, (logits > 0).long())
        return float((predicted == split.y).double().mean())
