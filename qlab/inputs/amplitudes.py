"""Features as they are."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from qlab.inputs.base import InputMap


class AmplitudeParts(InputMap):
    """Real features as they are; of complex ones the real parts, then the imaginary parts."""

    name: ClassVar[str] = "amplitudes"

    def check(self, dimension: int, is_complex: bool) -> None:
        """See the base class: any features will do."""

    def kept(self, active: Tensor, is_complex: bool) -> Tensor:
        """See the base class."""
        return torch.cat([active] * (2 if is_complex else 1))

    def __call__(self, x: Tensor) -> Tensor:
        """See the base class."""
        return torch.cat([x.real, x.imag], dim=1) if x.is_complex() else x
