"""Rows that a method works on."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor


@dataclasses.dataclass(frozen=True, eq=False)
class Samples:
    """Some rows of one trial.

    Args:
        x: prepared features, shape ``[n, ...]``.
        y: labels 0.0 or 1.0, shape ``[n]``, of the model's dtype.
    """

    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        return len(self.y)

    def joined(self, other: Samples) -> Samples:
        """These rows, then those of another set."""
        return Samples(torch.cat([self.x, other.x]), torch.cat([self.y, other.y]))
