"""Which samples a landscape is the loss of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

from torch import Tensor

from qlab.corruptions import Corrupted
from qlab.tasks import Split

SampleSet = Literal["train", "retain", "forget_polluted", "forget_clean", "validation"]
"""The training split as trained on; its clean rows; its corrupted rows with either label; the validation split."""

SAMPLE_SETS: tuple[str, ...] = get_args(SampleSet)


def sample_sets(data: Split | Corrupted, validation: Split | None) -> Mapping[str, tuple[Tensor, Tensor]]:
    """Features and labels of the named sets that the data have.

    Args:
        data: a split, which is then the set ``"train"``, or a corrupted one.
        validation: the validation split.
    """
    if isinstance(data, Split):
        found = {"train": (data.x, data.y)}
    else:
        x, y, mask = data.split.x, data.split.y, data.mask
        found = {
            "train": (x, y),
            "retain": (x[~mask], y[~mask]),
            "forget_polluted": (x[mask], y[mask]),
            "forget_clean": (x[mask], data.clean_y[mask]),
        }
    if validation is not None:
        found["validation"] = (validation.x, validation.y)
    return {name: rows for name, rows in found.items() if len(rows[1])}
