"""Cross-entropy, the loss of logistic regression."""

from __future__ import annotations

from typing import Annotated, ClassVar

import annotated_types as at
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from qlab.losses.base import Loss


class CrossEntropy(Loss):
    """Binary cross-entropy of the label under p = sigmoid(z).

    Args:
        label_smoothing: e, moves labels towards one half: y' = (1 - e) y + e / 2, as in PyTorch (arXiv:1512.00567).
    """

    formula: ClassVar[str] = "l = -y' log p - (1 - y') log(1 - p)"
    source: ClassVar[str] = "arXiv:2508.02422, supplement IV.B"

    label_smoothing: Annotated[float, at.Interval(ge=0.0, lt=1.0)] = 0.0

    def __call__(self, logits: Tensor, y: Tensor) -> Tensor:
        """See the base class."""
        return binary_cross_entropy_with_logits(logits, self._smoothed(y), reduction="none")

    def derivatives(self, logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """p - y' and p (1 - p); those of a subclass with a formula of its own by automatic differentiation."""
        if type(self).__call__ is not CrossEntropy.__call__ or type(self)._smoothed is not CrossEntropy._smoothed:
            return super().derivatives(logits, y)
        p = torch.sigmoid(logits.detach())
        return p - self._smoothed(y), p * (1.0 - p)

    def _smoothed(self, y: Tensor) -> Tensor:
        if not self.label_smoothing:
            return y
        return y * (1.0 - self.label_smoothing) + self.label_smoothing / 2.0
