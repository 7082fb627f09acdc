"""Fine-tuning on the retain set: plain, with noise, towards few weights."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from qlab.fields import NonNegativeFloat
from qlab.unlearning.base import LogitFunction, Unlearner, UnlearningData
from qlab.unlearning.divergences import cross_entropy
from qlab.unlearning.learner import Learner


class Finetune(Unlearner):
    """Continues training on the retain set only, relying on catastrophic forgetting."""

    formula: ClassVar[str] = "L = CE(retain), from the teacher's parameters"
    source: ClassVar[str] = "arXiv:2508.02422, Methods; catastrophic forgetting, also called CF"

    def loss(self, student: LogitFunction, teacher: LogitFunction, data: UnlearningData) -> Tensor:
        """Cross-entropy on the retain set."""
        return cross_entropy(student(data.retain.x), data.retain.y)


class NoisyFinetune(Unlearner):
    """Fine-tuning with Gaussian noise on the gradient, drawn anew in every step: noisy gradient descent (NGD).

    The source uses gradient descent (``optimizer = "SGD"``), theta - learning_rate (g + noise xi). With Adam, the
    default here as for the paper's methods, the moments are those of the noisy gradient: parameters on which the loss
    does not depend then take full-sized steps.

    Args:
        noise: standard deviation of the noise on each element of the gradient. There is no usual value: the source
            chooses one for each data set.
    """

    formula: ClassVar[str] = "L = CE(retain) + noise xi . theta, xi ~ N(0, 1): gradient g + noise xi"
    source: ClassVar[str] = "NGD of Pawelczyk et al., arXiv:2406.17216"

    noise: NonNegativeFloat = 0.01

    def loss(self, student: Learner, teacher: Learner, data: UnlearningData) -> Tensor:
        """Cross-entropy on the retain set, and a linear term whose gradient is the noise."""
        theta = student.theta
        return cross_entropy(student(data.retain.x), data.retain.y) + self.noise * (data.randn(theta.shape) @ theta)


class L1Sparse(Unlearner):
    """Fine-tuning with an L1 penalty that decays linearly over the steps: sparse models forget more easily.

    In step t of T the penalty's weight is gamma (1 - (t - 1) / T).

    Args:
        gamma: the penalty's weight in the first step.
    """

    formula: ClassVar[str] = "L = CE(retain) + gamma (1 - (t - 1) / T) |theta|_1"
    source: ClassVar[str] = "l1-sparse of Jia et al., arXiv:2304.04934"

    gamma: NonNegativeFloat = 5e-4

    def loss(self, student: Learner, teacher: Learner, data: UnlearningData) -> Tensor:
        """Cross-entropy on the retain set and the penalty."""
        weight = self.gamma * (1.0 - (data.step - 1) / self.steps)
        return cross_entropy(student(data.retain.x), data.retain.y) + weight * student.theta.abs().sum()
