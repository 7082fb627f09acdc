"""Random numbers for methods, member by member."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from qlab import seeding
from qlab.untransformed import untransformed

Shape = int | Sequence[int]


class Draws:
    """Random numbers of members that are unlearned together: each gets those that its own seed gives.

    A method is called once for all members, under ``torch.func.vmap``, which knows no generators. So the numbers of all
    are drawn outside of it, and each picks its own by its index.

    Args:
        generators: of the members.
        index: which of them a call is for: a scalar, of each member its own under ``vmap``.
    """

    def __init__(self, generators: Sequence[torch.Generator], index: Tensor) -> None:
        self._generators = tuple(generators)
        self._index = index

    @classmethod
    def of_seed(cls, seed: int) -> Draws:
        """Those of a single model."""
        return cls([seeding.generator(seed, PURPOSE)], torch.tensor(0))

    def normal(self, shape: Shape, like: Tensor) -> Tensor:
        """From N(0, 1), independent, of the dtype and on the device of ``like``."""
        return self._drawn(torch.randn, shape, like)

    def uniform(self, shape: Shape, like: Tensor) -> Tensor:
        """From [0, 1), in the same way."""
        return self._drawn(torch.rand, shape, like)

    def _drawn(self, draw: Callable[..., Tensor], shape: Shape, like: Tensor) -> Tensor:
        size = (shape,) if isinstance(shape, int) else tuple(shape)
        # On the CPU and in double precision, so that every device and precision gets the same.
        each = untransformed(
            lambda: torch.stack(
                [draw(size, generator=generator, dtype=torch.float64) for generator in self._generators]
            ).to(like.device, like.dtype)
        )
        return each[self._index]


PURPOSE = "unlearning-draws"
"""The random stream of methods, see :mod:`qlab.seeding`."""
