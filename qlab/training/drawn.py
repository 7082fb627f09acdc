"""Random numbers for evaluations of models whose metrics are sampled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

import torch
from torch import Tensor

from qlab import seeding
from qlab.models.base import Model
from qlab.models.chance import Chance
from qlab.models.drawing import random_shapes

Numbers = tuple[Tensor, ...]
"""For each time that ``forward`` asks, ``[members, rows, ...]``; empty where nothing is drawn."""


class Draws:
    """The numbers of each evaluation of an ensemble; a member's depend on its seed, and on which evaluation it is.

    So they are the same in an ensemble of any size, after an interruption, and whichever epochs are evaluated.

    Args:
        seeds: one for each member.
        shapes: of what a call of ``forward`` asks for, without the axis of rows; none draws nothing.
        device: where the numbers are needed.
    """

    def __init__(self, seeds: Sequence[int], shapes: Sequence[torch.Size], device: torch.device) -> None:
        self._seeds, self._shapes, self._device = tuple(seeds), list(shapes), device

    @classmethod
    def of(
        cls, model: Model, seeds: Sequence[int], parameters: Mapping[str, Tensor], row: Tensor, device: torch.device
    ) -> Self:
        """Those that a model asks for.

        Args:
            model: a built model.
            seeds: one for each member.
            parameters: of the members, stacked.
            row: prepared features of a row, ``[1, ...]``.
            device: where the model is.
        """
        one = {name: value[0] for name, value in parameters.items()}
        return cls(seeds, random_shapes(model, one, row, evaluation=True), device)

    def members(self, rows: slice) -> Draws:
        """Those of some members."""
        return Draws(self._seeds[rows], self._shapes, self._device)

    def of_rows(self, rows: int, what: str, numbers: int | Sequence[int]) -> Numbers:
        """The numbers of one evaluation.

        Args:
            rows: how many are evaluated.
            what: names the evaluation.
            numbers: which of that name it is, such as the epoch; for all members or for each.
        """
        if not self._shapes:
            return ()
        each = [numbers] * len(self._seeds) if isinstance(numbers, int) else numbers
        own = [seeding.generator(seed, f"{what} {n}") for seed, n in zip(self._seeds, each, strict=True)]
        return Chance(own, self._shapes, self._device).draw(rows)
