"""Fine-tuning on the retain set."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from qlab.unlearning.base import LogitFunction, Unlearner, UnlearningData
from qlab.unlearning.divergences import cross_entropy


class Finetune(Unlearner):
    """Continues training on the retain set alone and relies on catastrophic forgetting."""

    formula: ClassVar[str] = "L = CE(retain), from the teacher's parameters"
    source: ClassVar[str] = "arXiv:2508.02422, Methods; catastrophic forgetting, also called CF"

    def loss(self, student: LogitFunction, teacher: LogitFunction, data: UnlearningData) -> Tensor:
        """Cross-entropy on the retain set."""
        return cross_entropy(student(data.retain.x), data.retain.y)
