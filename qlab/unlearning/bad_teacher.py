"""Bad teaching: an incompetent teacher of the forget set."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from qlab.fields import PositiveFloat
from qlab.unlearning.base import Unlearner, UnlearningData
from qlab.unlearning.divergences import kl_divergence
from qlab.unlearning.learner import Learner


class BadTeacher(Unlearner):
    """Imitates its teacher on the retain set and an untrained model on the forget set; no labels are used.

    Each trial has its own untrained model, the same in all steps. Rows of both sets count equally. The source uses only
    a part of the retain set; here all of it is used.

    Args:
        temperature: T, by which all logits are divided.
    """

    formula: ClassVar[str] = "L = [n_r KL(teacher || student, retain) + n_f KL(untrained || student, forget)] / N"
    source: ClassVar[str] = "Chundawat et al., arXiv:2205.08096"

    temperature: PositiveFloat = 1.0

    def loss(self, student: Learner, teacher: Learner, data: UnlearningData) -> Tensor:
        """The mean divergence from the teacher of each row."""
        n_r, n_f = len(data.retain), len(data.forget_polluted)
        retain = self._divergence(student, teacher, data.retain.x)
        forget = self._divergence(student, data.untrained, data.forget_polluted.x)
        return (n_r * retain + n_f * forget) / (n_r + n_f)

    def _divergence(self, student: Learner, teacher: Learner, x: Tensor) -> Tensor:
        return kl_divergence(student(x) / self.temperature, teacher(x) / self.temperature)
