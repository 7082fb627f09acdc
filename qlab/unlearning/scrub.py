"""Scrub: a student that stays with its teacher on the retain set and leaves it on the forget set."""

from __future__ import annotations

from typing import Annotated, ClassVar

import annotated_types as at
from torch import Tensor

from qlab.fields import NonNegativeInt
from qlab.unlearning.base import LogitFunction, Unlearner, UnlearningData
from qlab.unlearning.divergences import cross_entropy, kl_divergence

Weight = Annotated[float, at.Ge(0.0)]


class Scrub(Unlearner):
    """The paper's Scrub: cross-entropy and distillation on the retain set, minus divergence on the forget set, jointly.

    With the paper's ``lambda_kl = 0`` nothing is distilled on the retain set: what remains is fine-tuning that pushes
    away from the teacher. The original method alternates instead, see :class:`AlternatingScrub`. Divergences are
    KL(teacher || student) of the two-class distributions.

    Args:
        lambda_ce: weight of the cross-entropy on the retain set.
        lambda_kl: weight of the divergence from the teacher on the retain set.
        lambda_fo: weight of the divergence from the teacher on the forget set, which is maximised.
    """

    formula: ClassVar[str] = "L = lambda_ce CE(retain) + lambda_kl KL(retain) - lambda_fo KL(forget)"
    source: ClassVar[str] = "arXiv:2508.02422, Eq. 8 and supplement IV.C"

    lambda_ce: Weight = 1.0
    lambda_kl: Weight = 0.0
    lambda_fo: Weight = 0.2

    def loss(self, student: LogitFunction, teacher: LogitFunction, data: UnlearningData) -> Tensor:
        """The weighted sum of Eq. 8."""
        retain = student(data.retain.x)
        forget = kl_divergence(student(data.forget_polluted.x), teacher(data.forget_polluted.x))
        near = kl_divergence(retain, teacher(data.retain.x))
        return self.lambda_ce * cross_entropy(retain, data.retain.y) + self.lambda_kl * near - self.lambda_fo * forget


class AlternatingScrub(Unlearner):
    """SCRUB as published: steps away from the teacher on the forget set alternate with steps on the retain set.

    The first ``max_steps`` steps alternate: odd ones maximise the divergence on the forget set, even ones minimise the
    retain objective; all later steps minimise. A student starts as its teacher, where the divergence has zero gradient,
    so the first step changes nothing and the second one does.

    Args:
        alpha: weight of the divergence from the teacher on the retain set.
        gamma: weight of the cross-entropy on the retain set.
        max_steps: the number of steps, of both kinds together, that alternate.
    """

    formula: ClassVar[str] = "odd steps L = -KL(forget), even steps L = alpha KL(retain) + gamma CE(retain)"
    source: ClassVar[str] = "Kurmanji et al., arXiv:2302.09880"

    alpha: Weight = 0.5
    gamma: Weight = 1.0
    max_steps: NonNegativeInt = 10

    def loss(self, student: LogitFunction, teacher: LogitFunction, data: UnlearningData) -> Tensor:
        """The objective whose turn it is."""
        if data.step <= self.max_steps and data.step % 2 == 1:
            return -kl_divergence(student(data.forget_polluted.x), teacher(data.forget_polluted.x))
        retain = student(data.retain.x)
        near = kl_divergence(retain, teacher(data.retain.x))
        return self.alpha * near + self.gamma * cross_entropy(retain, data.retain.y)


class RewindScrub(AlternatingScrub):
    """SCRUB with rewind, SCRUB+R: keeps the step that has forgotten as much as a model that never knew the rows.

    The last step is the rewinding: the error on the forget set with its polluted labels at each earlier step is
    compared with a reference, the error of the last student on rows that were corrupted in the same way and that no
    model was trained on. The nearest step is kept, the first of several. Forgetting more than that would tell an
    attacker which rows were forgotten. The rows are validation rows, which other methods do not see.

    Args:
        steps: unlearning steps, of which the last one rewinds.
    """

    formula: ClassVar[str] = "AlternatingScrub; then the step t with least |error_t(forget) - error_T(unseen)|"
    source: ClassVar[str] = "SCRUB+R of Kurmanji et al., arXiv:2302.09880"

    rewinds: ClassVar[bool] = True
