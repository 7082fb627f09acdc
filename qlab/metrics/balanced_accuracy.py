"""Balanced accuracy."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from qlab.metrics.base import Metric, Rows


class BalancedAccuracy(Metric):
    """The mean of the accuracies of the two classes: one half for a model that always says the same.

    Rows whose logit is NaN count as wrong. NaN where the rows are all of one class.
    """

    formula: ClassVar[str] = "(TP / P + TN / N) / 2"
    source: ClassVar[str] = "Brodersen et al., ICPR 2010; sklearn.metrics.balanced_accuracy_score"

    def compute(self, logits: Tensor, split: Rows) -> float:
        """See the base class."""
        if len(split.y.unique()) < 2:
            return math.nan
        from sklearn.metrics import balanced_accuracy_score

        predicted = torch.where(logits.isnan(), 1 - split.y, (logits > 0).long())
        return float(balanced_accuracy_score(split.y.numpy(), predicted.numpy()))
