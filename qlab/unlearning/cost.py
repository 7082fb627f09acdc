"""What unlearning costs, in gradient evaluations."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(eq=False)
class Cost:
    """Counts gradient evaluations of one model; all members cost the same.

    The unit is a gradient of the loss on as many rows as the training split has. A step's loss counts as one, with its
    gradient, whatever rows it looks at: one for each mini-batch. What a method asks of a
    :class:`~qlab.unlearning.learner.Learner` counts by rows, n of N: a gradient, gradients of each row and Fisher
    information n / N, a Hessian product twice that, a Hessian as many products as it has columns that are not zero.
    Logits without gradient are free.

    Args:
        rows: N.
        spent: so far.
        counts: whether it counts; not for members that are evaluated after others, which cost the same.
    """

    rows: int
    spent: float = 0.0
    counts: bool = True

    def add(self, rows: int, gradients: int = 1) -> None:
        """Adds gradients on so many rows."""
        if self.counts:
            self.spent += gradients * rows / self.rows

    def add_evaluation(self) -> None:
        """Adds a loss and its gradient."""
        if self.counts:
            self.spent += 1.0
