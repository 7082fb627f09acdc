"""Methods that know from Fisher information which parameters matter for which rows."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor

from qlab.fields import NonNegativeFloat, PositiveFloat
from qlab.unlearning.base import UnlearningData
from qlab.unlearning.closed_form import ClosedForm
from qlab.unlearning.learner import Learner


class SSD(ClosedForm):
    """Selective synaptic dampening: shrinks parameters that matter much more for the forget set than otherwise.

    Importance is the diagonal Fisher information F of the student. With n_f of N rows to forget, a parameter's
    importance for them can be at most N / n_f times that for all rows: with ``alpha`` above that, no parameter is ever
    chosen and the student stays equal to the teacher. With ``alpha = 10`` this is so where a tenth of the rows or more
    is forgotten.

    Args:
        alpha: a parameter is chosen if its importance for the forget set is more than this many times the other.
        dampening: lambda; how much of a chosen parameter remains, in units of the ratio of importances.
        against: what the importance is compared with: that for "all" rows, as in the source, or for the "retain" set.
    """

    formula: ClassVar[str] = "theta_i min(lambda F_i / F_forget,i, 1) where F_forget,i > alpha F_i, F of all rows"
    source: ClassVar[str] = "Foster et al., arXiv:2308.07707"

    alpha: PositiveFloat = 10.0
    dampening: PositiveFloat = 1.0
    against: Literal["all", "retain"] = "all"

    def update(self, student: Learner, teacher: Learner, data: UnlearningData) -> Tensor:
        """The dampened student."""
        forget, others = student.fisher(data.forget_polluted), student.fisher(data.retain)
        if self.against == "all":
            n_f, n_r = len(data.forget_polluted), len(data.retain)
            others = (n_f * forget + n_r * others) / (n_f + n_r)
        chosen = forget > self.alpha * others
        share = (self.dampening * others / torch.where(chosen, forget, 1.0)).clamp(max=1.0)
        return torch.where(chosen, share, 1.0) * student.theta


class FisherForgetting(ClosedForm):
    """Adds noise to parameters; the less a parameter matters for the retain set, the more.

    F is the diagonal Fisher information of the retain set. Its inverse is bounded, as in the source's code: parameters
    on which the retain set does not depend get noise of standard deviation noise / floor^(1/4), 100 times ``noise``.

    Args:
        noise: the scale of the noise, (lambda sigma^2)^(1/4) in the source, which chooses it for each data set.
        floor: added to F.
    """

    formula: ClassVar[str] = "theta + noise (F + floor)^(-1/4) xi, xi ~ N(0, 1), F of the retain set"
    source: ClassVar[str] = "Golatkar et al., arXiv:1911.04933"

    noise: NonNegativeFloat = 0.01
    floor: PositiveFloat = 1e-8

    def update(self, student: Learner, teacher: Learner, data: UnlearningData) -> Tensor:
        """The student with noise."""
        theta, fisher = student.theta, student.fisher(data.retain)
        return theta + self.noise * (fisher + self.floor).pow(-0.25) * data.randn(theta.shape)
