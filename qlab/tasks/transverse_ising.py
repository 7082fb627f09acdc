"""Ground states of the transverse-field Ising and XY chains: is the field below or above the transition?"""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import annotated_types as at
import numpy as np
import torch
from torch import Tensor

from qlab.circuits.blocks import Block
from qlab.errors import ConfigError
from qlab.tasks.base import Dataset, Split, Task
from qlab.tasks.chain_blocks import BlockSites, Where, block_of, check_block, in_order_of
from qlab.tasks.free_fermions import LARGEST_DECOMPOSED, open_chain, ring
from qlab.tasks.gaussian_strings import pauli_strings_of
from qlab.tasks.grids import Grid, checked_grid, grid
from qlab.tasks.random_densities import random_densities

LONGEST = 10_000


class TransverseIsing(Task):
    """Ground states of the transverse-field Ising chain, labelled by phase: 0 for h < 1 (ordered), 1 for h > 1.

    The chain may have up to 10,000 spins, as the features are not amplitudes but reduced density matrices of a block of
    k sites, exact, by free fermions: tr(rho P) of the 4^k Pauli strings P on the block, float64, base-4 digits I, X, Y,
    Z, the first site first; rho = 2^-k sum_P tr(rho P) P. They can be used by circuits whose light cone lies in the
    block, by ``PauliLinear`` and ``DensityKernelSVC``, and by all models with ``inputs = "pauli"`` or "density".
    Anything that needs amplitudes refuses them.

    The coupling is the unit of energy, and h is the field. With ``gamma`` below 1 this is the XY chain, whose
    transition is at h = 1, too. States have the parity prod_i X_i = +1 of the ground state; for a ring this is the
    sector of antiperiodic fermions. Where h^2 + gamma^2 < 1, the parity of a finite XY chain's lowest state alternates
    with h, and the lowest state of even parity is used. The symmetry is not broken: <Z_i> = 0 in both phases, as for
    every string that is odd under X_i -> X_i, Z_i -> -Z_i, so the Z of a single site does not reveal the class; <X_i>,
    which changes smoothly, and correlations do.

    396 states of 1,000 spins with blocks of 4 take 0.6 s as an open chain, of 10,000 spins 7 s; rings 0.02 and 1 s.

    Args:
        length: number of spins L.
        ordered: training grid of class 0: first h, last h, step. Above 0 and below 1.
        disordered: training grid of class 1: first h, last h, step. Above 1.
        validation: validation grid across both phases: first h, last h, step.
        gamma: anisotropy of the XY chain, 1 for the Ising chain. Open chains of more than 64 spins need 1.
        periodic: whether the chain is a ring. By default it is open, like the paper's circuit, and the block lies at
            its end.
        block_sites: number of sites k of the density matrices: at least the depth of a chain circuit, at least 2 depth
            - 1 for a ring circuit.
        where: the "last" k sites; or, for rings, "around" the last one, with as many to its right (0, 1, ...) as to its
            left, which is where the light cone of a ring circuit lies; k is then odd.
    """

    formula: ClassVar[str] = (
        "H = -sum_i [(1 + gamma)/2 Z_i Z_{i+1} + (1 - gamma)/2 Y_i Y_{i+1}] - h sum_i X_i, x = tr(rho P)"
    )
    source: ClassVar[str] = "Lieb, Schultz and Mattis, Ann. Phys. 16, 407 (1961); Pfeuty, Ann. Phys. 57, 79 (1970)"

    length: Annotated[int, at.Interval(ge=2, le=LONGEST)] = 1000
    ordered: Grid = (0.02, 0.98, 0.01)
    disordered: Grid = (1.02, 3.0, 0.02)
    validation: Grid = (0.015, 1.995, 0.01)
    gamma: Annotated[float, at.Interval(gt=0.0, le=1.0)] = 1.0
    periodic: bool = False
    block_sites: BlockSites = 4
    where: Where = "last"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, low, high in (("ordered", 0.0, 1.0), ("disordered", 1.0, math.inf), ("validation", 0.0, math.inf)):
            fields = checked_grid("TransverseIsing", name, getattr(self, name))
            if min(fields) <= low or max(fields) >= high:
                raise ConfigError(
                    f"TransverseIsing: {name}: got h from {min(fields):g} to {max(fields):g}, accepts h strictly "
                    f"between {low:g} and {high:g} (class 0 lies below 1, class 1 above)."
                )
            if any(abs(h - 1.0) < 1e-9 for h in fields):
                raise ConfigError(f"TransverseIsing: {name}: the grid hits h = 1, the transition itself; shift it.")
        if self.gamma < 1.0 and not self.periodic and self.length > LARGEST_DECOMPOSED:
            raise ConfigError(
                f"TransverseIsing: length: got {self.length} for an open chain with gamma = {self.gamma:g}, accepts at "
                f"most {LARGEST_DECOMPOSED}; take periodic = true, or gamma = 1, which have a closed form up to "
                f"{LONGEST:,}."
            )
        check_block("TransverseIsing", self.length, self.block_sites, self.where, periodic=self.periodic)

    @property
    def block(self) -> Block:
        """The sites whose reduced density matrices are features."""
        return block_of(self.length, self.block_sites, self.where)

    @property
    def expected_features(self) -> tuple[int, bool]:
        """4^k real numbers."""
        return self.block.dimension, False

    @property
    def expected_labels(self) -> Tensor:
        """By h of the training grids."""
        return (torch.tensor([*grid(self.ordered), *grid(self.disordered)], dtype=torch.float64) > 1.0).long()

    def load(self) -> Dataset:
        """The density matrices on both training grids and on the validation grid."""
        train = self._split([*grid(self.ordered), *grid(self.disordered)])
        return Dataset(train, self._split(grid(self.validation)), block=self.block)

    def random_features(self, n: int, generator: torch.Generator) -> Tensor:
        """Reduced density matrices of random states of the chain, normalised complex Gaussian vectors.

        Drawn from their exact distribution, a Wishart matrix over its trace, without the 2^L amplitudes. A random state
        of a long chain is maximally mixed on every few sites: rho = 1 / 2^k up to deviations of order 2^(-(L - k) / 2),
        which are below rounding from about 110 spins on. All such rows are then the same.
        """
        return random_densities(n, self.block_sites, self.length, generator)

    def boundary_distance(self, split: Split) -> Tensor:
        """How far a state is from the transition: |h - 1|."""
        return (split.about["h"] - 1.0).abs()

    def _split(self, fields: list[float]) -> Split:
        h = np.array(fields)
        solve = ring if self.periodic else open_chain
        found = solve(self.length, h, self.gamma, self.block_sites)
        x = in_order_of(self.block, self.where, torch.from_numpy(pauli_strings_of(found.block)))
        about = {"h": torch.from_numpy(h), "energy": torch.from_numpy(found.energy)}
        return Split(x, torch.from_numpy(h > 1.0).long(), about)
