"""Forward correction for label noise of known rates."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from qlab.errors import ConfigError
from qlab.fields import Ratio, show
from qlab.losses.base import Loss


class ForwardCorrection(Loss):
    """Cross-entropy of the noisy label under the model's probabilities, sent through the noise.

    With T_ij the chance that a row of class i has label j, the label's probability is sum_i T_iy p_i; the minimiser of
    the expected loss is that of cross-entropy on clean labels. Corruption ``LabelFlip`` has both rates equal to its
    ratio.

    Args:
        flip_rates: the chances that a row of class 0 has label 1, and one of class 1 label 0; the same for both by
            ``[0.2, 0.2]``. Their sum must be below 1, else labels say nothing of classes.
    """

    formula: ClassVar[str] = "l = -log(sum_i T_iy p_i), T = [[1 - r_0, r_0], [r_1, 1 - r_1]]"
    source: ClassVar[str] = "Patrini et al., 2017, arXiv:1609.03683, Theorem 2"

    flip_rates: tuple[Ratio, Ratio]

    def __post_init__(self, *values: Any) -> None:
        super().__post_init__(*values)
        if sum(self.flip_rates) >= 1.0:
            raise ConfigError(
                f"flip_rates: got {show(self.flip_rates)}, accepts two rates whose sum is below 1: with more the "
                "labels say nothing of the classes, or the opposite."
            )

    def __call__(self, logits: Tensor, y: Tensor) -> Tensor:
        """See the base class."""
        of_class_0, of_class_1 = self.flip_rates
        return torch.where(y > 0.5, self._of_label(logits, of_class_0), self._of_label(-logits, of_class_1))

    def _of_label(self, logits: Tensor, from_other: float) -> Tensor:
        """-log(from_other + (1 - r_0 - r_1) p): the label's probability, p that of its class."""
        kept = 1.0 - sum(self.flip_rates)
        if from_other == 0.0:  # p may be too small to be written, its logarithm is not
            return -logsigmoid(logits) - math.log(kept)
        return -torch.log(from_other + kept * torch.sigmoid(logits))
