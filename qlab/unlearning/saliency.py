"""SalUn: random labels, learnt by those parameters alone that matter for the forget set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

import annotated_types as at
import torch
from torch import Tensor

from qlab.fields import NonNegativeFloat
from qlab.unlearning.base import Unlearner, UnlearningData
from qlab.unlearning.divergences import cross_entropy
from qlab.unlearning.labels import OtherLabels, other_labels
from qlab.unlearning.learner import Learner


class SalUn(Unlearner):
    """Learns random labels on the forget set; only the most salient parameters change.

    The most salient parameters are those with the largest elements of the gradient of the forget set's loss at the
    teacher.

    Args:
        share: the fraction of all parameters that changes; the source uses one half.
        labels: "random" draws labels anew in every step, as the source's code does; "complement" uses the other label.
        weight: weight of the forget set.
    """

    formula: ClassVar[str] = (
        "L = CE(retain) + weight CE(forget, y'), in parameters where |dL(forget, polluted labels)/dtheta| is largest"
    )
    source: ClassVar[str] = "SalUn of Fan et al., arXiv:2310.12508"

    share: Annotated[float, at.Gt(0.0), at.Le(1.0)] = 0.5
    labels: OtherLabels = "random"
    weight: NonNegativeFloat = 1.0

    def begin(self, teacher: Learner, data: UnlearningData) -> Mapping[str, Tensor]:
        """The mask, ``[P]``: 1 for salient parameters, else 0."""
        slope = teacher.gradient(data.forget_polluted).abs()
        # Not topk: a dead unit has slopes of exactly 0, and which of equals topk takes differs between devices.
        salient = torch.sort(slope, descending=True, stable=True).indices[: max(1, round(self.share * len(slope)))]
        return {"mask": torch.zeros_like(slope).scatter(0, salient, 1.0)}

    def loss(self, student: Learner, teacher: Learner, data: UnlearningData) -> Tensor:
        """Cross-entropy on both sets, as a function of the salient parameters."""
        theta, salient = student.theta, data.kept["mask"] > 0.5
        held = student.at(torch.where(salient, theta, theta.detach()))
        forget = cross_entropy(held(data.forget_polluted.x), other_labels(data, self.labels))
        return cross_entropy(held(data.retain.x), data.retain.y) + self.weight * forget
