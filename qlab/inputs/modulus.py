"""Features without their phases."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from qlab.inputs.base import InputMap


class Modulus(InputMap):
    """|x_j|: the phase of each amplitude, or the sign of each real feature, is removed."""

    name: ClassVar[str] = "modulus"

    def check(self, dimension: int, is_complex: bool) -> None:
        """See the base class: any features will do."""

    def kept(self, active: Tensor, is_complex: bool) -> Tensor:
        """See the base class."""
        return active

    def __call__(self, x: Tensor) -> Tensor:
        """See the base class."""
        return x.abs()
