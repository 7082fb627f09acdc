"""Reduced density matrices."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from qlab.errors import ConfigError
from qlab.inputs.base import every
from qlab.inputs.sited import SitedInputs
from qlab.inputs.sites import Sites
from qlab.remembered import REMEMBERED


class ReducedDensity(SitedInputs):
    """Elements of the reduced density matrix of k sites of states, each that is independent once: 4^k numbers.

    The 2^k on the diagonal, then the real parts of those above it, row by row, then their imaginary parts.

    Args:
        owner: the name of the model's class, for messages.
        sites: see :data:`qlab.inputs.Sites`.
    """

    name: ClassVar[str] = "density"

    def __init__(self, owner: str, sites: Sites) -> None:
        super().__init__(owner, sites)
        if sites == "pairs":
            raise ConfigError(
                f'{owner}: sites: got "pairs", which goes with inputs = "pauli"; a density matrix is of one set of '
                "sites: give how many of the last, a list of them, or the cone of a ring."
            )

    def kept(self, active: Tensor, is_complex: bool) -> Tensor:
        """See the base class: all of them."""
        return every(4 ** len(self.wires(len(active))), active)

    def __call__(self, x: Tensor) -> Tensor:
        """See the base class."""
        wires = self.wires(x.shape[1])
        if self.block is not None:
            return independent_elements(self.block.density(x, wires))
        return REMEMBERED.of(x, ("density", wires), lambda: density_elements(x, wires))


def density_elements(x: Tensor, wires: tuple[int, ...]) -> Tensor:
    """Independent elements of reduced density matrices, see :class:`ReducedDensity`.

    Args:
        x: amplitudes, ``[N, 2^L]``, complex128 or float64, site 0 the most significant bit.
        wires: the sites, ascending.

    Returns:
        ``[N, 4^k]``, float64. Costs O(N 2^(L + k)).
    """
    n, length, k = len(x), x.shape[1].bit_length() - 1, len(wires)
    others = [wire for wire in range(length) if wire not in wires]
    order = [0, *(1 + wire for wire in [*wires, *others])]
    matrix = x.to(torch.complex128).reshape(n, *[2] * length).permute(order).reshape(n, 2**k, -1)
    return independent_elements(matrix @ matrix.mH)


def independent_elements(rho: Tensor) -> Tensor:
    """Those of Hermitian matrices ``[N, D, D]``, ``[N, D^2]``, see :class:`ReducedDensity`."""
    above = torch.triu_indices(rho.shape[1], rho.shape[1], 1, device=rho.device)
    upper = rho[:, above[0], above[1]]
    return torch.cat([rho.diagonal(dim1=1, dim2=2).real, upper.real, upper.imag], dim=1)
