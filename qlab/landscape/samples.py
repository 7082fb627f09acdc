"""Which samples a landscape is the loss of."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from qlab.corruptions import Corrupted
from qlab.tasks import Split

SampleSet = Literal["train", "retain", "forget_polluted", "forget_clean", "validation"]
"""The training split as trained on; its clean rows; its corrupted rows with either label; the validation split."""


@dataclasses.dataclass(frozen=True, eq=False)
class Rows:
    """Some rows of a split.

    Args:
        split: "train" or "validation".
        positions: of the rows in it, ``[n]``.
        clean: whether their labels before corruption are meant.
    """

    split: Literal["train", "validation"]
    positions: Tensor
    clean: bool = False


def sample_sets(data: Split | Corrupted, validation: Split | None) -> Mapping[str, Rows]:
    """The rows of the named sets that the data have.

    Args:
        data: a split, which is then the set ``"train"``, or a corrupted one.
        validation: the validation split.
    """
    train = data if isinstance(data, Split) else data.split
    found = {"train": Rows("train", torch.arange(len(train)))}
    if not isinstance(data, Split):
        forget = torch.nonzero(data.mask).flatten()
        found["retain"] = Rows("train", torch.nonzero(~data.mask).flatten())
        found |= {"forget_polluted": Rows("train", forget), "forget_clean": Rows("train", forget, clean=True)}
    if validation is not None:
        found["validation"] = Rows("validation", torch.arange(len(validation)))
    return {name: rows for name, rows in found.items() if len(rows.positions)}
