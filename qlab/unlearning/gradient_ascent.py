"""Ascent on the forget set: the paper's, the pure one, and a bounded one."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

from qlab.fields import PositiveFloat
from qlab.unlearning.base import LogitFunction, Unlearner, UnlearningData
from qlab.unlearning.divergences import cross_entropy


class GradientAscent(Unlearner):
    """Descends on the retain set while ascending on the polluted forget set.

    The literature calls this NegGrad+ (or gradient difference); what it calls gradient ascent is :class:`PureAscent`.
    Eq. 7 writes sums; here, as in the released code, both terms are means, so ``beta`` does not depend on the sizes of
    the sets.

    Args:
        beta: weight of the ascent.
    """

    formula: ClassVar[str] = "L = CE(retain) - beta CE(forget, polluted labels)"
    source: ClassVar[str] = "arXiv:2508.02422, Eq. 7 and supplement IV.C; NegGrad+ of Kurmanji et al., arXiv:2302.09880"

    beta: PositiveFloat = 0.2

    def loss(self, student: LogitFunction, teacher: LogitFunction, data: UnlearningData) -> Tensor:
        """The weighted difference of two cross-entropies."""
        forget = cross_entropy(student(data.forget_polluted.x), data.forget_polluted.y)
        return cross_entropy(student(data.retain.x), data.retain.y) - self.beta * forget


class PureAscent(Unlearner):
    """Ascends on the polluted forget set and ignores the retain set. Unbounded: it may destroy the model."""

    formula: ClassVar[str] = "L = -CE(forget, polluted labels)"
    source: ClassVar[str] = "gradient ascent of Golatkar et al., arXiv:1911.04933, and Graves et al., arXiv:2010.10981"

    def loss(self, student: LogitFunction, teacher: LogitFunction, data: UnlearningData) -> Tensor:
        """Minus the cross-entropy on the forget set."""
        return -cross_entropy(student(data.forget_polluted.x), data.forget_polluted.y)


class NPO(Unlearner):
    """Negative preference optimisation: ascent that saturates once a label is much less likely than under the teacher.

    With r = p_student(y|x) / p_teacher(y|x) the forget term is (2 / beta) log(1 + r^beta), at least 0; its gradient is
    that of plain ascent times a weight between 0 and 2 that vanishes as r does. As beta goes to 0 it becomes plain
    ascent.

    Args:
        beta: how soon the ascent saturates.
        retain_weight: weight of the cross-entropy on the retain set.
    """

    formula: ClassVar[str] = (
        "L = retain_weight CE(retain) + (2 / beta) mean log(1 + (p_student / p_teacher)^beta) on forget"
    )
    source: ClassVar[str] = "Zhang et al., arXiv:2404.05868"

    beta: PositiveFloat = 1.0
    retain_weight: PositiveFloat = 1.0

    def loss(self, student: LogitFunction, teacher: LogitFunction, data: UnlearningData) -> Tensor:
        """Cross-entropy on the retain set and the bounded forget term."""
        forget = data.forget_polluted
        log_ratio = binary_cross_entropy_with_logits(teacher(forget.x), forget.y, reduction="none")
        log_ratio = log_ratio - binary_cross_entropy_with_logits(student(forget.x), forget.y, reduction="none")
        bounded = -(2.0 / self.beta) * logsigmoid(-self.beta * log_ratio).mean()
        return self.retain_weight * cross_entropy(student(data.retain.x), data.retain.y) + bounded
