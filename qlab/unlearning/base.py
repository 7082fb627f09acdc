"""What an unlearning method is: a loss on retain and forget set, and how it is minimised."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar, Literal

from torch import Tensor

from qlab.component import Component
from qlab.fields import NonNegativeInt, PositiveFloat, PositiveInt

LogitFunction = Callable[[Tensor], Tensor]
"""From prepared features ``[n, ...]`` to logits ``[n]``."""


@dataclasses.dataclass(frozen=True, eq=False)
class Samples:
    """Some rows of one trial.

    Args:
        x: prepared features, shape ``[n, ...]``.
        y: labels 0.0 or 1.0, shape ``[n]``, of the model's dtype.
    """

    x: Tensor
    y: Tensor


@dataclasses.dataclass(frozen=True, eq=False)
class UnlearningData:
    """What a method may use. Validation data is out of its reach.

    Args:
        retain: the rows that the method is not told to forget (of a mini-batch, if it asks for mini-batches): the clean
            ones, and corrupted ones that are hidden, with their polluted labels.
        forget_polluted: the rows that it is told to forget, as the teacher was trained on them: the corrupted ones, or
            what of them is known, and clean ones that were named by mistake.
        forget_clean: the same rows with their labels before corruption (and the same features). An oracle's
            knowledge: the paper's methods do not use it.
        step: the number of the unlearning step, from 1.
    """

    retain: Samples
    forget_polluted: Samples
    forget_clean: Samples
    step: int


class Unlearner(Component):
    """A way to remove the influence of the forget set from a trained model.

    Override :meth:`loss`, and declare fields for its weights. It sees one model at a time; qlab runs it on all seeds
    together (so it must not branch on the values of tensors, nor draw random numbers), steps the optimizer, evaluates
    every step and logs. Models that draw random numbers in training, as with dropout, draw none while they are
    unlearned: the student is then in evaluation mode.

    Args:
        steps: unlearning steps. One step is one pass over the retain set.
        learning_rate: the optimizer's step size.
        optimizer: "Adam", or "SGD" without momentum.
        batch_size: rows of the retain set in a mini-batch; 0 takes the whole set at once, as the paper does. The forget
            set is always used whole.
        start_fresh: start from newly drawn parameters instead of the teacher's.
    """

    kind: ClassVar[str] = "unlearner"

    steps: PositiveInt = 50
    learning_rate: PositiveFloat = 0.01
    optimizer: Literal["Adam", "SGD"] = "Adam"
    batch_size: NonNegativeInt = 0
    start_fresh: bool = False

    @abstractmethod
    def loss(self, student: LogitFunction, teacher: LogitFunction, data: UnlearningData) -> Tensor:
        """What a step minimises: a scalar, differentiable in the student's parameters.

        Args:
            student: the model that is being unlearned.
            teacher: the model trained on polluted data; no gradient flows into it.
            data: the rows to learn and to forget.
        """
