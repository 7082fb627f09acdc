"""Retraining: exact unlearning."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from qlab.unlearning.base import LogitFunction, Unlearner, UnlearningData
from qlab.unlearning.divergences import cross_entropy


class Retrain(Unlearner):
    """Discards the teacher and trains a new model on the retain set. The literature calls this exact unlearning.

    Args:
        start_fresh: start from newly drawn parameters; this is what makes it exact.
    """

    formula: ClassVar[str] = "L = CE(retain), from new parameters"
    source: ClassVar[str] = "arXiv:2508.02422, Eq. 6"

    start_fresh: bool = True

    def loss(self, student: LogitFunction, teacher: LogitFunction, data: UnlearningData) -> Tensor:
        """Cross-entropy on the retain set."""
        return cross_entropy(student(data.retain.x), data.retain.y)
