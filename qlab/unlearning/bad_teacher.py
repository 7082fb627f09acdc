"""Bad teaching: an incompetent teacher of the forget set."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from qlab.fields import PositiveFloat
from qlab.unlearning.base import Unlearner, UnlearningData
from qlab.unlearning.divergences import kl_divergence
from qlab.unlearning.learner import Learner


class BadTeacher(Unlearner):
    """Learns the retain set of its teacher, and the forget set of an untrained model: no labels are used.

    Each trial has an untrained model of its own, the same in all steps. Rows of both sets count alike. The source
    takes a part of the retain set; here it is all of it.

    Args:
        temperature: T, by which the logits of all are divided.
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
