"""Symmetric cross-entropy."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import annotated_types as at
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from qlab.errors import ConfigError
from qlab.fields import NonNegativeFloat
from qlab.losses.base import Loss, label_logit


class SymmetricCrossEntropy(Loss):
    """Cross-entropy, and reverse cross-entropy, in which prediction and label change places.

    In the reverse one the logarithm of the other label's zero is A: -sum_k p_k log q_k = -A (1 - p_y), a multiple of
    the mean absolute error.

    Args:
        alpha: weight of cross-entropy, which learns.
        beta: weight of reverse cross-entropy, which does not follow wrong labels.
        log_zero: A, what log 0 is taken to be; below 0.
    """

    formula: ClassVar[str] = "l = -alpha log p_y - beta A (1 - p_y)"
    source: ClassVar[str] = "Wang et al., 2019, arXiv:1908.06112, Eqs. 5 to 7"

    alpha: NonNegativeFloat = 0.1
    beta: NonNegativeFloat = 1.0
    log_zero: Annotated[float, at.Lt(0.0)] = -4.0

    def __post_init__(self, *values: Any) -> None:
        super().__post_init__(*values)
        if self.alpha == 0.0 and self.beta == 0.0:
            raise ConfigError("alpha: got 0 for both alpha and beta, accepts a weight above 0 for one of them.")

    def __call__(self, logits: Tensor, y: Tensor) -> Tensor:
        """See the base class."""
        z = label_logit(logits, y)
        return -self.alpha * logsigmoid(z) - self.beta * self.log_zero * torch.sigmoid(-z)
