"""Label noise with a rate for each class."""

from __future__ import annotations

import dataclasses
from typing import Annotated, ClassVar

import annotated_types as at
import torch
from torch import Tensor

from qlab.corruptions.base import Corrupted, Corruption, flip
from qlab.errors import ConfigError
from qlab.tasks.base import Split, Task


class ClassFlip(Corruption):
    """Flips the labels of a fraction of each class: class-conditional noise.

    Of the N_c rows of class c, rate_c N_c are flipped, rounded half up and drawn at random; rate_0 = ratio (1 -
    balance) and rate_1 = ratio (1 + balance). For example, ratio = 0.4 and balance = 0.5 give rates of 0.2 and 0.6.
    Whatever the balance, the rates add up to 2 ratio: at ratio 1/2, where they add up to one, labels carry no
    information about the classes.

    Args:
        ratio: the mean of the two rates. It equals the fraction of all rows that are flipped if both classes have
            equally many rows or balance is 0; otherwise that fraction is ratio (1 + balance (N_1 - N_0) / N).
        balance: which class is flipped more often: -1 flips only class 0, 0 both at the same rate, 1 only class 1.
    """

    formula: ClassVar[str] = (
        "P(y' = 1 - y | y = c) = rate_c, rate_0 = ratio (1 - balance), rate_1 = ratio (1 + balance)"
    )
    source: ClassVar[str] = "Natarajan et al., NIPS 2013; arXiv:1303.1208"

    balance: Annotated[float, at.Interval(ge=-1.0, le=1.0)] = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if max(self.rates) > 1.0 + 1e-9:
            label = int(self.balance > 0)
            raise ConfigError(
                f"ClassFlip: ratio: got {self.ratio:g}, which with balance {self.balance:g} makes {max(self.rates):g} "
                f"the rate of class {label}; accepts at most {self._most:.4g}, where that rate is 1."
            )

    @property
    def rates(self) -> tuple[float, float]:
        """The fraction of each class that is flipped."""
        return self.ratio * (1.0 - self.balance), self.ratio * (1.0 + self.balance)

    @property
    def _most(self) -> float:
        return 1.0 / (1.0 + abs(self.balance))

    def apply(self, split: Split, task: Task, generator: torch.Generator) -> Corrupted:
        """A copy of ``split`` with flipped labels; the features are the same tensor."""
        return flip(split, self.choose_rows(split, generator))

    def counts_of(self, labels: Tensor) -> tuple[int, int]:
        """See the base class: by the rate of each class."""
        zeros, ones = (int(rate * int((labels == label).sum()) + 0.5) for label, rate in enumerate(self.rates))
        return zeros, ones

    def apply_to_unseen(self, split: Split, task: Task, generator: torch.Generator) -> Corrupted:
        """Flips as many rows as the balance allows."""
        return dataclasses.replace(self, ratio=self._most).apply(split, task, generator)
