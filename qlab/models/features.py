"""What a model is told of its inputs."""

from __future__ import annotations

import dataclasses
from typing import Self

import torch
from torch import Tensor

from qlab.circuits.blocks import Block
from qlab.corruptions.base import Corruption
from qlab.tasks.base import Dataset
from qlab.tasks.features import nonzero_columns
from qlab.tasks.preprocessing import Preprocessing


@dataclasses.dataclass(frozen=True, eq=False)
class Features:
    """What a model must know of its inputs before it has weights.

    Args:
        dimension: the length d of a feature vector.
        is_complex: whether features are complex.
        active: which of the d features are nonzero in any sample, shape ``[d]``, bool.
        core: if the corruption changes features: which of them are nonzero in any clean sample. The others are zero in
            all rows but the corrupted ones.
        preprocessing: how they come from the columns of a table, if they do.
        block: of which sites of a chain they are reduced density matrices, if they are.
    """

    dimension: int
    is_complex: bool
    active: Tensor
    core: Tensor | None = None
    preprocessing: Preprocessing | None = None
    block: Block | None = None

    @classmethod
    def of(cls, dataset: Dataset, corruption: Corruption | None = None) -> Self:
        """The features of a data set, as it is or as ``corruption`` may leave it."""
        x = dataset.train.x
        clean = torch.stack([nonzero_columns(split.x) for split in dataset.splits.values()]).any(0)
        made, block = dataset.preprocessing, dataset.block
        if corruption is None or not corruption.changes_features:
            return cls(x.shape[1], x.is_complex(), clean, preprocessing=made, block=block)
        every = torch.ones(x.shape[1], dtype=torch.bool)
        return cls(x.shape[1], x.is_complex(), every, None if bool(clean.all()) else clean, made, block)
