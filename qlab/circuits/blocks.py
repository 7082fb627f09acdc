"""Features that are reduced density matrices of some sites of a chain: all that is known of states of any size."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import ClassVar, Final

import torch
from torch import Tensor

from qlab.circuits.pauli import operators
from qlab.errors import ConfigError, DataError

MOST_SITES: Final = 7
"""Of a block: 4^7 = 16,384 numbers for each state."""


INFINITE: Final = 2**40
"""The length of a chain without ends: its last site is one of them, its first one is the next to it."""


def neighbours_of_last(length: int, count: int) -> list[int]:
    """The last site of a ring and as many to its left as to its right, in their order around it; ``count`` is odd."""
    half = count // 2
    return [(length - 1 + step) % length for step in range(-half, half + 1)]


def in_site_order(x: Tensor, block: Block) -> Tensor:
    """Strings on neighbours around the last site, in their order around the ring, in that of the block's sites.

    Args:
        x: ``[N, 4^k]``.
        block: made by :meth:`Block.around_last`.
    """
    k = len(block.sites)
    around = neighbours_of_last(block.length, k)
    axes = [1 + around.index(site) for site in block.sites]
    return x.reshape(-1, *[4] * k).permute(0, *axes).reshape(len(x), -1)


@dataclasses.dataclass(frozen=True)
class Block:
    """Sites of a chain whose reduced density matrices rho are features, in the basis of Pauli strings.

    A row of features holds tr(rho P) of the 4^k Pauli strings P on the k sites: base-4 digits I, X, Y, Z, the first
    site first, the identity before all others; rho = 2^-k sum_P tr(rho P) P. Nothing else is known of a state.

    Args:
        length: number L of sites of the chain.
        sites: those of the block, ascending.

    Raises:
        ConfigError: they are none of the chain's, or too many.
    """

    length: int
    sites: tuple[int, ...]

    def __post_init__(self) -> None:
        good = sorted({site for site in self.sites if 0 <= site < self.length})
        if list(self.sites) != good or not 1 <= len(good) <= MOST_SITES:
            raise ConfigError(
                f"Block: sites: got {list(self.sites)} of a chain of {self.length}, accepts 1 to {MOST_SITES} of the "
                f"sites 0 to {self.length - 1}, ascending."
            )

    @classmethod
    def last(cls, length: int, count: int) -> Block:
        """The last sites of a chain."""
        return cls(length, tuple(range(length - count, length)))

    @classmethod
    def around_last(cls, length: int, count: int) -> Block:
        """The last site of a ring and as many to its left as to its right; ``count`` is odd."""
        return cls(length, tuple(sorted(neighbours_of_last(length, count))))

    @classmethod
    def of_infinite(cls, count: int, *, around: bool = False) -> Block:
        """Neighbours on an infinite chain: what is near the last site of a chain that is longer than any circuit."""
        return (cls.around_last if around else cls.last)(INFINITE, count)

    @property
    def dimension(self) -> int:
        """How many features there are: 4^k."""
        return int(4 ** len(self.sites))

    @property
    def register(self) -> tuple[int, ...]:
        """The sites that a circuit on this chain acts on, ascending: all, or of long chains the first k and last 2 k.

        Others are too far away from the last site for a light cone that ends within the block.
        """
        k = len(self.sites)
        return (*range(min(k, self.length - 2 * k)), *range(max(self.length - 2 * k, 0), self.length))

    @property
    def words(self) -> str:
        """For people: "the last 4 of 1,000 sites"."""
        k = len(self.sites)
        if self.length == INFINITE:
            return f"{k} neighbours on an infinite chain"
        if self.sites == tuple(range(self.length - k, self.length)):
            return f"the last {k} of {self.length:,} sites"
        return f"the sites {', '.join(map(str, self.sites))} of {self.length:,}"

    @property
    def strings(self) -> tuple[str, ...]:
        """The Pauli strings in order, by letters: "IIIX"."""
        return tuple("".join(letters) for letters in itertools.product("IXYZ", repeat=len(self.sites)))

    def places(self, sites: Sequence[int]) -> Tensor:
        """Which features are of the Pauli strings on some sites of the block, in the order of those, ``[4^m]``."""
        positions = torch.tensor([self.sites.index(site) for site in sites], dtype=torch.int64)
        values = 4 ** (len(self.sites) - 1 - positions)
        found = torch.zeros(1, dtype=torch.int64)
        for value in values:
            found = (found[:, None] + value * torch.arange(4)).reshape(-1)
        return found

    def pauli(self, x: Tensor, sites: Sequence[int]) -> Tensor:
        """tr(rho P) of all Pauli strings P on m sites of the block, ``[N, 4^m]``: the partial trace over the others."""
        return x if tuple(sites) == self.sites else x[:, self.places(sites).to(x.device)]

    def density(self, x: Tensor, sites: Sequence[int]) -> Tensor:
        """Reduced density matrices of m sites of the block, ``[N, 2^m, 2^m]``, complex128."""
        return operators(self.pauli(x, sites).to(torch.float64)) / 2 ** len(sites)

    def missing(self, sites: Sequence[int]) -> list[int]:
        """Those sites that are not in the block."""
        return [site for site in sites if site not in self.sites]

    def check_width(self, owner: str, width: int) -> None:
        """Refuses rows of another length.

        Raises:
            DataError: they are no density matrices of these sites.
        """
        if width != self.dimension:
            raise DataError(
                f"{owner} was built for density matrices of {self.words}, 4^{len(self.sites)} = {self.dimension} "
                f"numbers each, got {width}; build it for this data set."
            )


class ReducedStates:
    """States of which the reduced density matrices of a block are known; stands where other encodings do.

    Args:
        block: the sites.
    """

    product: ClassVar[bool] = False

    def __init__(self, block: Block) -> None:
        self.block = block
        self.register = block.register
        self.n_wires = len(self.register)

    def sites(self, wires: Sequence[int]) -> list[int]:
        """The sites of the chain that some wires of the register are."""
        return [self.register[wire] for wire in wires]

    def pauli(self, x: Tensor, wires: Sequence[int]) -> Tensor:
        """tr(rho P) of all Pauli strings P on k wires, ``[N, 4^k]``; not to be written to."""
        return self.block.pauli(x, self.sites(wires))

    def check_cone(self, wires: Sequence[int]) -> None:
        """Refuses a light cone that leaves the block.

        Raises:
            ConfigError: it does.
        """
        sites = self.sites(wires)
        outside = self.block.missing(sites)
        if not outside:
            return
        block, k = self.block, len(self.block.sites)
        everywhere = len(sites) == self.n_wires
        size = f"all {block.length:,} sites" if everywhere else f"{len(sites)} sites ({', '.join(map(str, sites))})"
        ring = 0 in outside and block.length - k - 1 not in sites
        way = (
            'A cone that goes around the end of the chain is that of a ring of gates: take entangler = "chain", or a '
            "task whose block lies around the last site."
            if ring
            else "Take a smaller depth or fewer measured qubits, or a larger block."
        )
        raise ConfigError(
            f"The light cone of the readout has {size}, and the task hands over reduced density matrices of {k}, "
            f"{block.words}: site {outside[-1]} is not among them. {way}"
        )
