"""Mean absolute error."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from qlab.losses.base import Loss, label_logit


class MeanAbsoluteError(Loss):
    """The distance |e_y - (1 - p, p)|_1 of the predicted distribution from the label's.

    Symmetric: the losses of both labels add up to 2 whatever the prediction, so that uniform label noise below one half
    leaves the minimiser of the expected loss where it was. All rows of one probability count alike, and training is
    slow where the model is sure of the other label.
    """

    formula: ClassVar[str] = "l = |p - y| + |(1 - p) - (1 - y)| = 2 (1 - p_y)"
    source: ClassVar[str] = "Ghosh et al., 2017, arXiv:1712.09482"

    def __call__(self, logits: Tensor, y: Tensor) -> Tensor:
        """See the base class."""
        return 2.0 * torch.sigmoid(-label_logit(logits, y))
