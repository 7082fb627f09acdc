"""Generalized cross-entropy."""

from __future__ import annotations

from typing import Annotated, ClassVar

import annotated_types as at
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from qlab.losses.base import Loss, label_logit


class GeneralizedCrossEntropy(Loss):
    """Between cross-entropy (q towards 0) and the mean absolute error (q = 1, half of it).

    The larger q, the less a row counts that the model finds unlikely, as mislabelled ones are. Not convex in the logit.

    Args:
        q: how robust: the weight of a row is p_y^q times that in cross-entropy, p_y the probability of its label.
    """

    formula: ClassVar[str] = "l = (1 - p_y^q) / q"
    source: ClassVar[str] = "Zhang and Sabuncu, 2018, arXiv:1805.07836, Eq. 6"

    q: Annotated[float, at.Interval(gt=0.0, le=1.0)] = 0.7

    def __call__(self, logits: Tensor, y: Tensor) -> Tensor:
        """See the base class."""
        return torch.expm1(self.q * logsigmoid(label_logit(logits, y))) / -self.q
