"""No corruption: the clean baseline."""

from __future__ import annotations

from typing import ClassVar

import torch

from qlab.corruptions.base import Corrupted, Corruption
from qlab.errors import ConfigError
from qlab.tasks.base import Split, Task


class NoCorruption(Corruption):
    """Leaves the training split as it is.

    Args:
        ratio: must be 0: nothing is corrupted.
    """

    formula: ClassVar[str] = "x' = x, y' = y"
    source: ClassVar[str] = "the clean baseline"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.ratio != 0.0:
            raise ConfigError(
                f"NoCorruption: ratio: got {self.ratio:g}, accepts 0; name LabelFlip or FeatureRandomization "
                "to corrupt data."
            )

    def apply(self, split: Split, task: Task, generator: torch.Generator) -> Corrupted:
        """The split itself and an empty mask."""
        return Corrupted(split, torch.zeros(len(split), dtype=torch.bool), split.y)
