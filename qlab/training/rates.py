"""How the learning rate changes over a training."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

RateName = Literal["constant", "cosine", "step"]


@dataclasses.dataclass(frozen=True)
class Rate:
    """The learning rate of every epoch; the same for all steps of one.

    - ``constant``: eta.
    - ``cosine``: eta (1 + cos(pi e / E)) / 2 with e = 0 in the first of E epochs (Loshchilov and Hutter,
      arXiv:1608.03983, without restarts): half of eta in the middle, near 0 in the last.
    - ``step``: eta f^floor(e / s), with a factor f every s epochs.

    As PyTorch's ``CosineAnnealingLR(T_max=E)`` and ``StepLR(step_size=s, gamma=f)``, stepped after every epoch.

    Args:
        initial: eta, the learning rate of the first epoch.
        epochs: E, of the whole training.
        name: of the schedule.
        step_epochs: s, of ``step``.
        step_factor: f, of ``step``.
    """

    initial: float
    epochs: int
    name: RateName = "constant"
    step_epochs: int = 1
    step_factor: float = 1.0

    def of(self, epoch: int) -> float:
        """The learning rate of an epoch, counted from 1."""
        before = epoch - 1
        if self.name == "cosine":
            return self.initial * (1.0 + math.cos(math.pi * before / self.epochs)) / 2.0
        if self.name == "step":
            return self.initial * self.step_factor ** (before // self.step_epochs)
        return self.initial
