"""What unlearning costs, in gradient evaluations."""

from __future__ import annotations

import dataclasses

PASSES = 3
"""Forward passes that the gradient of a row costs: one, and a backward pass that is counted as two."""


@dataclasses.dataclass(eq=False)
class Cost:
    """Counts gradient evaluations of one model; all members cost the same.

    One gradient evaluation is the gradient of the loss of one row: a forward and a backward pass. By rows n:

    - the student's logits in a loss, which are differentiated: n;
    - logits of the teacher, of an untrained model, and the student's in an update: n / 3 (a forward pass only);
    - a gradient, per-row gradients, Fisher information: n;
    - a Hessian product: 2 n; a Hessian: as many products as it has nonzero columns;
    - rewinding: n / 3 for the forget set in each step, and for the rows on which the last student is compared.

    The count is the same whichever way qlab computes these. Evaluating metrics is not counted, as it is not part of a
    method. ``evaluations`` are in this unit. ``spent`` counts in an older one, which stored runs have as
    ``loss_evaluations``: a step's loss counts as one, however many rows it covers, derivatives count by rows, n of N,
    and logits are free.

    Args:
        rows: N, of the training split.
        spent: so far, in the older unit.
        passes: forward passes of one row so far, of which a gradient is three.
        counts: whether it counts; not for members that are evaluated after others, which cost the same.
    """

    rows: int
    spent: float = 0.0
    passes: int = 0
    counts: bool = True

    @property
    def evaluations(self) -> float:
        """Gradient evaluations so far."""
        return self.passes / PASSES

    def add(self, rows: int, gradients: int = 1) -> None:
        """Adds gradients on so many rows."""
        if self.counts:
            self.spent += gradients * rows / self.rows
            self.passes += PASSES * gradients * rows

    def add_evaluation(self) -> None:
        """Adds a loss, whose logits are counted by themselves."""
        if self.counts:
            self.spent += 1.0

    def add_logits(self, rows: int, *, differentiated: bool) -> None:
        """Adds logits of so many rows."""
        if self.counts:
            self.passes += PASSES * rows if differentiated else rows
