"""What a loss is: a number for each row, from its logit and its label."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from qlab.component import Component


class Loss(Component):
    """What training minimises, averaged over the rows of a batch, and landscapes show.

    Override :meth:`__call__`, and declare fields for its settings. What a user's class returns is checked before
    anything is trained, see :func:`qlab.losses.checks.check_loss`.
    """

    kind: ClassVar[str] = "loss"

    @abstractmethod
    def __call__(self, logits: Tensor, y: Tensor) -> Tensor:
        """The loss of each row: no mean, element by element, twice differentiable in the logits.

        Args:
            logits: z, of any shape: ``[n]``, or ``[members, n]`` for models that train together.
            y: labels 0.0 or 1.0, of the same shape and dtype.

        Returns:
            Of the same shape and dtype.
        """

    def derivatives(self, logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """First and second derivatives of each row's loss in its logit, both of the shape of the logits."""
        with torch.enable_grad():
            z = logits.detach().requires_grad_()
            [first] = torch.autograd.grad(self(z, y).sum(), z, create_graph=True)
            second = torch.zeros_like(z)
            if first.requires_grad:  # else the loss is linear in the logit
                [found] = torch.autograd.grad(first.sum(), z, allow_unused=True)
                second = second if found is None else found
        return first.detach(), second.detach()


def label_logit(logits: Tensor, y: Tensor) -> Tensor:
    """The logit of the label's own probability: z where y is 1, -z where it is 0."""
    return torch.where(y > 0.5, logits, -logits)
