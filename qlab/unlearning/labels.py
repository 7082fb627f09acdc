"""Teaching other labels of the forget set."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor

from qlab.fields import NonNegativeFloat
from qlab.unlearning.base import LogitFunction, Unlearner, UnlearningData
from qlab.unlearning.divergences import cross_entropy

OtherLabels = Literal["random", "complement"]
"""Labels that are drawn anew in every step, or the other one of the two."""


class RandomLabels(Unlearner):
    """Learns the retain set, and random labels on the forget set.

    Args:
        labels: "random" draws them anew in every step, 0 or 1 with probability one half, as the code of SalUn does;
            "complement" uses the other of the two labels, the only wrong one, from which arXiv:2010.10981 draws.
        weight: weight of the forget set.
    """

    formula: ClassVar[str] = "L = CE(retain) + weight CE(forget, y'), y' ~ U{0, 1} or 1 - y"
    source: ClassVar[str] = "random labels: Golatkar et al., arXiv:1911.04933, and Graves et al., arXiv:2010.10981"

    labels: OtherLabels = "random"
    weight: NonNegativeFloat = 1.0

    def loss(self, student: LogitFunction, teacher: LogitFunction, data: UnlearningData) -> Tensor:
        """Cross-entropy on the retain set, and with other labels on the forget set."""
        y = other_labels(data, self.labels)
        forget = cross_entropy(student(data.forget_polluted.x), y)
        return cross_entropy(student(data.retain.x), data.retain.y) + self.weight * forget


class Relabel(Unlearner):
    """Learns the retain set, and the true labels of the forget set: what correcting the labels by hand would achieve.

    Only an oracle knows the labels before corruption: compared with methods that are only told which rows to forget,
    this is a bound and not a competitor. Corrupted features stay as they are.

    Args:
        weight: weight of the forget set.
    """

    formula: ClassVar[str] = "L = CE(retain) + weight CE(forget, labels before corruption)"
    source: ClassVar[str] = "fine-tuning on corrected labels, a bound for methods without them"

    weight: NonNegativeFloat = 1.0

    def loss(self, student: LogitFunction, teacher: LogitFunction, data: UnlearningData) -> Tensor:
        """Cross-entropy on both sets."""
        forget = cross_entropy(student(data.forget_clean.x), data.forget_clean.y)
        return cross_entropy(student(data.retain.x), data.retain.y) + self.weight * forget


def other_labels(data: UnlearningData, labels: OtherLabels) -> Tensor:
    """Labels of the forget set that are drawn, or the other ones, ``[n]``."""
    y = data.forget_polluted.y
    return 1.0 - y if labels == "complement" else torch.where(data.rand(y.shape) < 0.5, 1.0, 0.0).to(y)
