"""Where the random numbers of a model's ``forward`` come from while it is trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from qlab.errors import ConfigError


class Source(Protocol):
    """Gives numbers in [0, 1), one for each element of a tensor whose first axis is that of the rows."""

    def like(self, x: Tensor) -> Tensor:
        """The next ones, of the shape, dtype and device of ``x``."""


class Torch:
    """PyTorch's global generator: for whoever calls a model in training mode by themselves."""

    def like(self, x: Tensor) -> Tensor:
        """See the protocol."""
        return torch.rand_like(x)


class Seeded:
    """A generator of one's own, on the CPU: for a single call of a model in training mode.

    Args:
        generator: draws the numbers.
    """

    def __init__(self, generator: torch.Generator) -> None:
        self._generator = generator

    def like(self, x: Tensor) -> Tensor:
        """See the protocol."""
        return torch.rand(x.shape, generator=self._generator, dtype=torch.float64).to(x)


class Noted:
    """Notes what is asked for, and gives the same number each time, with which no dropout drops anything.

    Attributes:
        shapes: of what was asked for, without the axis of rows.
    """

    def __init__(self) -> None:
        self.shapes: list[torch.Size] = []

    def like(self, x: Tensor) -> Tensor:
        """See the protocol."""
        if not x.ndim:
            raise ConfigError("drop_out and rand_like take tensors with an axis of rows first, got a single number.")
        self.shapes.append(x.shape[1:])
        return torch.full_like(x, 1.0 - 2.0**-20)


class Handed:
    """Numbers that were drawn before, in the order in which they are asked for.

    Args:
        numbers: as many tensors as a call of ``forward`` asks for.
    """

    def __init__(self, numbers: Sequence[Tensor]) -> None:
        self._left = list(numbers)

    def like(self, x: Tensor) -> Tensor:
        """See the protocol."""
        if not self._left or self._left[0].shape != x.shape:
            expected = list(self._left[0].shape) if self._left else "no more of them"
            raise ConfigError(
                f"forward asks for random numbers of shape {list(x.shape)} where its first call asked for {expected}; "
                "it must ask for the same in every call, with the axis of rows first."
            )
        return self._left.pop(0).to(x.dtype)


TORCH = Torch()


class Chance:
    """The random numbers of an ensemble's training, each member's from a generator of its own.

    Args:
        generators: one for each member, on the CPU.
        shapes: of what a call of ``forward`` asks for, without the axis of rows.
        device: where the numbers are needed.
    """

    def __init__(
        self, generators: Sequence[torch.Generator], shapes: Sequence[torch.Size], device: torch.device
    ) -> None:
        self._generators, self._shapes, self._device = list(generators), list(shapes), device
        self._sizes = [shape.numel() for shape in shapes]

    def draw(self, rows: int) -> tuple[Tensor, ...]:
        """The numbers of one batch, a tensor ``[members, rows, ...]`` for each shape."""
        numbers = torch.empty(len(self._generators), rows, sum(self._sizes))
        for own, generator in zip(numbers, self._generators, strict=True):
            torch.rand(own.shape, generator=generator, out=own)
        parts = numbers.to(self._device).split(self._sizes, dim=2)
        return tuple(part.reshape(*part.shape[:2], *shape) for part, shape in zip(parts, self._shapes, strict=True))
