"""The area under the ROC curve."""

from __future__ import annotations

import math
from typing import ClassVar

from torch import Tensor

from qlab.metrics.base import Metric, Rows


class ROCAUC(Metric):
    """The area under the ROC curve: the chance that a row of class 1 has a higher logit than one of class 0.

    NaN where the rows are all of one class, or a logit is NaN.
    """

    formula: ClassVar[str] = "P(z_1 > z_0) + P(z_1 = z_0) / 2"
    source: ClassVar[str] = "Hanley and McNeil, Radiology 143 (1982) 29; sklearn.metrics.roc_auc_score"
    stem: ClassVar[str] = "roc_auc"

    def compute(self, logits: Tensor, split: Rows) -> float:
        """See the base class."""
        if len(split.y.unique()) < 2 or bool(logits.isnan().any()):
            return math.nan
        from scipy.stats import rankdata
        from sklearn.metrics import roc_auc_score

        # Only the order counts, and scikit-learn takes no infinite scores.
        return float(roc_auc_score(split.y.numpy(), rankdata(logits.numpy())))
