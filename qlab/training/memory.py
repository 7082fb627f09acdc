"""How much memory an ensemble takes, and how many members fit into what there is."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import TypeVar

from qlab.errors import DataError
from qlab.models.base import Model

COPIES = 4
"""Of the parameters, while they are trained, beside the optimizer's moments: initial and present ones, gradients, what
is kept in the end."""

ADAM_MOMENTS = 2

EVALUATION_BYTES = 256 * 2**20
"""Metrics are evaluated on so many rows at once that they take about this."""

_LABEL_BYTES = 64
"""For a row of each member: labels as trained on and clean, the mask, logits in two precisions, losses."""

_Item = TypeVar("_Item")


@dataclasses.dataclass(frozen=True)
class Need:
    """Bytes that training an ensemble takes, beyond the data sets themselves.

    Args:
        shared: once, whatever the number of members.
        member: for each member.
        evaluation: for each member while metrics are evaluated, up to :data:`EVALUATION_BYTES` for all.
    """

    shared: int
    member: int
    evaluation: int = 0

    def total(self, members: int) -> int:
        """Of an ensemble of so many."""
        return self.shared + members * self.member + min(members * self.evaluation, EVALUATION_BYTES)

    def fitting(self, budget: int) -> int:
        """The most members whose total is within so many bytes, 0 if none are."""
        rest = budget - self.shared
        # Below and above the number of members at which evaluations are cut into parts.
        return max(0, rest // (self.member + self.evaluation), (rest - EVALUATION_BYTES) // self.member)

    def parts(self, items: Sequence[_Item], budget: int, what: str) -> list[Sequence[_Item]]:
        """Members of an ensemble in as few parts as fit, of nearly the same size.

        Args:
            items: one for each member.
            budget: bytes.
            what: the ensemble is called in messages.

        Raises:
            DataError: not even one member fits.
        """
        fitting = self.fitting(budget)
        if fitting < 1:
            raise DataError(
                f"{what} needs about {size(self.total(1))} of memory to train a single model, and may take "
                f"{size(budget)}; allow more with --memory or [run] memory, or make the model or the data smaller."
            )
        count = -(-len(items) // fitting)
        ends = [len(items) * part // count for part in range(count + 1)]
        return [items[start:end] for start, end in itertools.pairwise(ends)]


def training_need(
    model: Model,
    rows: int,
    validation_rows: int,
    row_elements: int,
    *,
    batch_size: int,
    shared: bool,
    own_bytes: int = 0,
    snapshots: int = 0,
    moments: int = ADAM_MOMENTS,
) -> Need:
    """What training an ensemble takes, in the model's dtype.

    Args:
        model: a built model.
        rows: of the training split, N.
        validation_rows: of the validation split, M.
        row_elements: of one row of prepared features.
        batch_size: rows in a step.
        shared: whether members have the same training features.
        own_bytes: of features that each member holds before they are prepared.
        snapshots: how many points of the training trajectory are kept.
        moments: how many tensors of the parameters' shape the optimizer keeps, and early stopping.
    """
    item = model.dtype.itemsize
    batch = min(batch_size, rows)
    step = model.held_elements(batch, gradient=True) + batch * row_elements
    parameters = (COPIES + moments + 2 * snapshots) * model.n_parameters()
    own_rows = 0 if shared else rows * row_elements
    member = item * (parameters + own_rows + step) + own_bytes + _LABEL_BYTES * (rows + validation_rows)
    every = item * (rows + validation_rows)
    # Both splits, and few of their rows joined for an evaluation.
    both = every * row_elements
    return Need(both + min(both, EVALUATION_BYTES), member, every * held_per_row(model))


def held_per_row(model: Model) -> int:
    """Elements that an evaluation without a gradient holds for each member and row, at least 1."""
    return max(1, model.held_elements(2, gradient=False) - model.held_elements(1, gradient=False))


def unlearning_need(
    model: Model, rows: int, validation_rows: int, row_elements: int, *, shared: bool, own_bytes: int = 0
) -> Need:
    """What unlearning takes, in the model's dtype: teacher and student, the retain and the forget set as they come.

    Args:
        model: a built model.
        rows: of the training split, N.
        validation_rows: of the validation split, M.
        row_elements: of one row of prepared features.
        shared: whether members have the same training features.
        own_bytes: of features that each member holds before they are prepared.
    """
    whole = training_need(
        model, rows, validation_rows, row_elements, batch_size=rows, shared=shared, own_bytes=own_bytes
    )
    # The teacher, and for the comparison with its oracles its forget rows and as many unseen ones.
    more = 2 * model.n_parameters() + (rows + validation_rows) * row_elements
    return dataclasses.replace(whole, member=whole.member + model.dtype.itemsize * more)


def size(count: int) -> str:
    """Bytes in words: 1.5 GB, 20 MB."""
    for unit, scale in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= scale:
            return f"{count / scale:.3g} {unit}"
    return f"{count} bytes"
