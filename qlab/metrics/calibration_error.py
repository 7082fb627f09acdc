"""The expected calibration error."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from qlab.fields import PositiveInt
from qlab.metrics.base import Metric, Rows


class CalibrationError(Metric):
    """The expected calibration error of the probability of class 1, in equal bins from 0 to 1.

    The mean over rows of how far the mean probability in a row's bin is from the frequency of class 1 there. NaN where
    a logit is NaN.

    Args:
        bins: how many.
    """

    formula: ClassVar[str] = "sum_b (n_b / N) |mean_b y - mean_b p|, p = sigmoid(z)"
    source: ClassVar[str] = "Naeini, Cooper and Hauskrecht, AAAI 2015; arXiv:1706.04599"
    higher_is_better: ClassVar[bool] = False
    of_probabilities: ClassVar[bool] = True

    bins: PositiveInt = 15

    def compute(self, logits: Tensor, split: Rows) -> float:
        """See the base class."""
        if bool(logits.isnan().any()):
            return math.nan
        p = torch.sigmoid(logits)
        # A bin has its upper edge, as in scikit-learn's calibration_curve.
        bin_of = torch.bucketize(p, torch.linspace(0.0, 1.0, self.bins + 1, dtype=p.dtype)[1:-1])
        # n_b |mean_b y - mean_b p| is |sum_b (y - p)|.
        gaps = torch.zeros(self.bins, dtype=p.dtype).index_add_(0, bin_of, split.y.to(p.dtype) - p)
        return float(gaps.abs().sum() / len(p))
