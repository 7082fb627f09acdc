"""What inputs are: real numbers that a classical model is given of each row of features."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Self

import torch
from torch import Tensor

from qlab.circuits.blocks import Block
from qlab.errors import DataError


class InputMap(ABC):
    """A pure function from features to a model's real inputs, row by row.

    Args:
        owner: the name of the model's class, for messages.
    """

    name: ClassVar[str]
    """What experiment files call them."""

    sited: ClassVar[bool] = False
    """Whether the field ``sites`` says of which spins they are."""

    def __init__(self, owner: str) -> None:
        self.owner = owner

    def on(self, block: Block | None) -> Self:
        """The same inputs of features that are reduced density matrices of a block, or, if None, states or others.

        Raises:
            DataError: there are none.
        """
        if block is None:
            return self
        raise DataError(
            f'{self.owner}: inputs: got "{self.name}", which needs the features of states, and these are reduced '
            f'density matrices of {block.words}; accepts "pauli" or "density", on sites among these.'
        )

    @abstractmethod
    def check(self, dimension: int, is_complex: bool) -> None:
        """Refuses features that have no such inputs.

        Args:
            dimension: the length of a row.
            is_complex: whether features are complex.

        Raises:
            DataError: they have none.
        """

    @abstractmethod
    def kept(self, active: Tensor, is_complex: bool) -> Tensor:
        """Which inputs can be nonzero, ``[m]``, bool, where these features are: the others are left out.

        Args:
            active: which features are, ``[d]``, bool.
            is_complex: whether features are complex.
        """

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """Inputs ``[N, m]``, float64, of features ``[N, d]``, float64 or complex128."""


def every(count: int, like: Tensor) -> Tensor:
    """That none of so many inputs is left out."""
    return torch.ones(count, dtype=torch.bool, device=like.device)
