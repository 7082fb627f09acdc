"""The log loss."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from qlab.metrics.base import Metric, Rows


class LogLoss(Metric):
    """The mean binary cross-entropy in nats, whatever loss was trained with.

    Computed from logits: unlike sklearn.metrics.log_loss, which clips probabilities, it is exact for large ones.
    """

    formula: ClassVar[str] = "-mean[y log p + (1 - y) log(1 - p)], p = sigmoid(z)"
    source: ClassVar[str] = "Good, J. R. Stat. Soc. B 14 (1952) 107"
    higher_is_better: ClassVar[bool] = False
    of_probabilities: ClassVar[bool] = True

    def compute(self, logits: Tensor, split: Rows) -> float:
        """See the base class."""
        return float(binary_cross_entropy_with_logits(logits, split.y.to(logits.dtype)))
