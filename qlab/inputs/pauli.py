"""Expectation values of Pauli strings."""

from __future__ import annotations

import itertools
from typing import ClassVar

import torch
from torch import Tensor

from qlab.circuits.encodings import Amplitudes
from qlab.circuits.pauli import pauli_expectations
from qlab.inputs.base import every
from qlab.inputs.sited import SitedInputs
from qlab.inputs.sites import Sites
from qlab.remembered import REMEMBERED

CHUNK_BYTES = 2**20
"""So much of the amplitudes is taken at once for all pairs: it stays in cache while each pair is looked at."""


class PauliExpectations(SitedInputs):
    """tr(rho P) of Pauli strings P on some sites of states; the squared norm of features that have another is a factor.

    On k sites all 4^k - 1 strings but the identity, in the order of base-4 numbers with digits I, X, Y, Z, the first
    site first. For "pairs" the 3 L strings on one site, site by site, then the 9 L (L - 1) / 2 on two.

    Args:
        owner: the name of the model's class, for messages.
        sites: see :data:`qlab.inputs.Sites`.
        identity: whether the identity comes before all others.
    """

    name: ClassVar[str] = "pauli"

    def __init__(self, owner: str, sites: Sites, *, identity: bool = False) -> None:
        super().__init__(owner, sites)
        self.first = 0 if identity else 1

    def weights(self, dimension: int) -> Tensor:
        """On how many sites each string acts, ``[m]``, in the order of the inputs."""
        k = len(self.wires(dimension))
        if self.sites == "pairs":
            counts = [0] + [1] * (3 * k) + [2] * (9 * k * (k - 1) // 2)
        else:
            counts = [sum(map(bool, string)) for string in itertools.product(range(4), repeat=k)]
        return torch.tensor(counts[self.first :])

    def kept(self, active: Tensor, is_complex: bool) -> Tensor:
        """See the base class: all of them."""
        return every(len(self.weights(len(active))), active)

    def __call__(self, x: Tensor) -> Tensor:
        """See the base class."""
        wires, length = self.wires(x.shape[1]), x.shape[1].bit_length() - 1
        if self.block is not None:
            found = x[:, pair_places(len(wires)).to(x.device)] if self.sites == "pairs" else self.block.pauli(x, wires)
        elif self.sites == "pairs":
            found = REMEMBERED.of(x, "pauli-pairs", lambda: pair_expectations(x, length))
        else:
            found = Amplitudes(length).pauli(x, wires)
        return found[:, self.first :].contiguous()


def _pair_strings(length: int) -> list[tuple[tuple[int, int], ...]]:
    """The identity and all Pauli strings on one or two sites, as sites and digits."""
    singles = [((site, digit),) for site in range(length) for digit in (1, 2, 3)]
    doubles = [
        ((one, first), (other, second))
        for one, other in itertools.combinations(range(length), 2)
        for first, second in itertools.product((1, 2, 3), repeat=2)
    ]
    return [(), *singles, *doubles]


def pair_places(length: int) -> Tensor:
    """Where these strings are among all 4^L of a chain."""
    return torch.tensor([sum(digit * 4 ** (length - 1 - site) for site, digit in own) for own in _pair_strings(length)])


def pair_expectations(x: Tensor, length: int) -> Tensor:
    """tr(rho P) of the identity and of all Pauli strings P on one or two sites of pure states.

    Args:
        x: amplitudes, ``[N, 2^L]``, complex128 or float64, site 0 the most significant bit.
        length: L.

    Returns:
        ``[N, 1 + 3 L + 9 L (L - 1) / 2]``, float64; see :class:`PauliExpectations`. Costs O(N L^2 2^L).
    """
    column = {string: number for number, string in enumerate(_pair_strings(length))}
    # Two blocks of two sites have 21 of these strings each way: a quarter of the passes that pairs of sites take.
    blocks = [tuple(range(start, min(start + 2, length))) for start in range(0, length, 2)]
    taken: list[tuple[tuple[int, ...], Tensor, Tensor]] = []
    left = dict(column)
    for chosen in itertools.combinations(blocks, 2) if len(blocks) > 1 else [(blocks[0],)]:
        wires = tuple(itertools.chain(*chosen))
        own = {string: left.pop(string) for string in list(left) if {site for site, _ in string} <= set(wires)}
        places = [sum(digit * 4 ** (len(wires) - 1 - wires.index(site)) for site, digit in string) for string in own]
        taken.append((wires, torch.tensor(places), torch.tensor(list(own.values()))))
    found = torch.empty(len(x), len(column), dtype=torch.float64, device=x.device)
    rows = max(1, CHUNK_BYTES // (16 * x.shape[1]))
    for start in range(0, len(x), rows):
        part = x[start : start + rows].to(torch.complex128)
        for wires, inside, columns in taken:
            values = pauli_expectations(part, wires, length)
            found[start : start + rows, columns.to(x.device)] = values[:, inside.to(x.device)]
    return found
