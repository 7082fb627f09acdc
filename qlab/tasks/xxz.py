"""Ground states of the XXZ chain: is the phase gapless or gapped?"""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal, cast

import annotated_types as at
import torch
from torch import Tensor

from qlab import seeding
from qlab.circuits.blocks import Block
from qlab.errors import ConfigError
from qlab.fields import AbsentMeans, NonNegativeInt, fields_of, show
from qlab.tasks import xxz_blocks
from qlab.tasks.base import Dataset, Split, Task
from qlab.tasks.chain_blocks import BlockSites, Where
from qlab.tasks.features import FeatureRows, TiedFeatures
from qlab.tasks.grids import Grid, checked_grid, grid
from qlab.tasks.random_densities import random_densities
from qlab.tasks.symmetric_sector import symmetric_sector
from qlab.tasks.xxz_ground_states import ground_states

MOST_SPINS_HELD = 14
"""Longer chains are diagonalised by symmetry and their states made when they are needed: 396 of 16 spins would take
0.4 GB, of 20 spins 6.6 GB."""

LONGEST_EXACT = 20

Gauge = Literal["fixed", "random-sign", "random-phase"]

Layout = Literal["complex", "real-imaginary"]

Length = Annotated[int, at.Interval(ge=4, le=xxz_blocks.LONGEST), at.MultipleOf(2)]


class XXZ(Task):
    """Ground states of the XXZ chain, labelled by phase: 0 for delta < 1 (gapless), 1 for delta > 1 (gapped).

    Features are the 2^L amplitudes in the computational basis, complex128, with site 0 as the most significant bit. The
    overall phase of a state has no physical meaning: a QNN cannot see it, an MLP on amplitudes can. ``gauge`` chooses
    it. With the default grids there are 97 + 100 training and 99 + 100 validation states. A state takes about 2 ms at
    12 spins and 4 ms at 20. From 16 spins on, states are not held in memory but made a few rows at a time from the
    values that their symmetries leave free.

    As real vectors (``layout = "real-imaginary"``) the features are x' = (Re x, Im x), 2^(L+1) of them, float64: the
    real parts of all amplitudes, then the imaginary parts. An MLP gets the same inputs either way. A circuit gets
    another state, of L + 1 qubits: |0> Re x + |1> Im x, with a new most significant qubit 0, and site i on wire i + 1.
    Ground states are real up to their phase phi, so this qubit holds cos(phi) |0> + sin(phi) |1>: the gauge, which no
    measurement of the spins shows, becomes visible to the circuit. The paper's released script for unlearning does
    this.

    With ``solver = "dmrg"`` the chain may have up to 512 spins, a ring or open, or be infinite. Features are then not
    amplitudes but reduced density matrices of a block of k sites: tr(rho P) of the 4^k Pauli strings P, float64, base-4
    digits I, X, Y, Z, the first site first. They can be used by circuits whose light cone lies in the block, by
    ``PauliLinear`` and ``DensityKernelSVC``, and by all models with ``inputs = "pauli"`` or "density"; anything that
    needs amplitudes refuses them. States are found by TeNPy (``pip install "qlab-unlearning[mps]"``) with Sz conserved,
    and stored in the user's cache (or ``QLAB_DATA``), so that each is found only once; ``--jobs N`` finds them with N
    processes. Within each dozen of neighbours along delta, each state is the starting point for the next. A state that
    did not converge is refused, and its delta named. ``dataset.train.about`` holds what is known of each state: energy
    (per site for an infinite chain), truncation_error, bond_dimension.

    Symmetries are kept, as they are in exact diagonalisation: a finite chain starts from singlets, which have the
    symmetries of the true ground state, and density matrices are averaged over the spin flip and the mirror image; for
    a ring also over the two ends of its fold, L / 2 sites apart; for an infinite chain over the shift by one site. The
    average is a mixture of what DMRG found and its images. It equals that of the true state where DMRG has converged to
    that state, as for short chains. Deep in the gapped phase of long chains, where symmetry-breaking states are as low
    up to rounding, it lacks the terms between the two Neel states, which vanish with the overlap of their parts outside
    the block. An infinite chain of finite bond dimension has some Neel order in the gapless phase, too, which the
    average removes from <Z> but not from correlations.

    Args:
        length: number of spins L, even (odd chains have no zero-magnetisation sector): up to 20, or with "dmrg" up to
            512, or "infinite".
        gapless: training grid of class 0: first delta, last delta, step. Above -1 and below 1.
        gapped: training grid of class 1: first delta, last delta, step. Above 1.
        validation: validation grid across both phases: first delta, last delta, step; or two such grids.
        gauge: "fixed" makes the largest component real and positive; "random-sign" multiplies each state
            by +1 or -1; "random-phase" by exp(i phi), phi uniform: what a complex eigensolver returns.
        gauge_seed: seed of the random signs or phases.
        layout: "complex" amplitudes, or "real-imaginary": real parts, then imaginary parts.
        solver: "exact" diagonalisation, or "dmrg". The fields below are for "dmrg".
        periodic: whether the chain is a ring, else it is open. Open chains need much smaller bond dimensions. An
            infinite chain has no ends either way.
        block_sites: number of sites k of the density matrices: at least the depth of a chain circuit, at least 2 depth
            - 1 for a ring circuit.
        where: the "last" k sites; or, for rings and infinite chains, "around" the last one, with as many to its right
            (0, 1, ...) as to its left, which is where the light cone of a ring circuit lies; k is then odd.
        bond_dimension: the largest bond dimension that DMRG may use; "auto" is 64, for rings 256, for an infinite chain
            32.
        symmetry: "kept", or "broken": DMRG starts from the Neel state whose last spin is down, and nothing is averaged.
            In the gapped phase of long chains, <Z> of one site then reveals the class.
    """

    formula: ClassVar[str] = "H = sum_i (X_i X_{i+1} + Y_i Y_{i+1} + delta Z_i Z_{i+1}), periodic"
    source: ClassVar[str] = "arXiv:2508.02422, Eq. 2 and Methods"

    length: Length | Literal["infinite"] = 12
    gapless: Grid = (-0.96, 0.96, 0.02)
    gapped: Grid = (1.02, 3.0, 0.02)
    validation: Grid | tuple[Grid, Grid] = (-0.97, 2.99, 0.02)
    gauge: Gauge = "random-phase"
    gauge_seed: NonNegativeInt = 0
    layout: Annotated[Layout, AbsentMeans("complex")] = "complex"
    solver: Annotated[Literal["exact", "dmrg"], AbsentMeans("exact")] = "exact"
    periodic: Annotated[bool, AbsentMeans(True)] = True
    block_sites: Annotated[BlockSites, AbsentMeans(4)] = 4
    where: Annotated[Where, AbsentMeans("last")] = "last"
    bond_dimension: Annotated[xxz_blocks.BondDimension | Literal["auto"], AbsentMeans("auto")] = "auto"
    symmetry: Annotated[Literal["kept", "broken"], AbsentMeans("kept")] = "kept"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.solver == "exact":
            _check_exact(self.length)
        for name, points, low, high in (
            ("gapless", self.gapless, -1.0, 1.0),
            ("gapped", self.gapped, 1.0, math.inf),
            *(("validation", points, -1.0, math.inf) for points in self._validation_grids),
        ):
            deltas = checked_grid("XXZ", name, points)
            if min(deltas) <= low or max(deltas) >= high:
                reason = (
                    "at and below -1 the ground state is the degenerate ferromagnet"
                    if min(deltas) <= -1.0
                    else "class 0 lies below 1, class 1 above"
                )
                raise ConfigError(
                    f"XXZ: {name}: got deltas from {min(deltas):g} to {max(deltas):g}, accepts deltas strictly "
                    f"between {low:g} and {high:g} ({reason})."
                )
            if any(abs(delta - 1.0) < 1e-9 for delta in deltas):
                raise ConfigError(f"XXZ: {name}: the grid hits delta = 1, the transition itself; shift it.")

        if self.solver == "dmrg":
            for name in ("gauge", "gauge_seed", "layout"):
                self._refuse(name, 'solver = "exact": density matrices have no phase and no amplitudes')
            self._blocks.check([delta for points in self._grids for delta in grid(points)])
            return
        for name in ("periodic", "block_sites", "where", "bond_dimension", "symmetry"):
            self._refuse(name, 'solver = "dmrg"')

    @property
    def block(self) -> Block | None:
        """The sites whose reduced density matrices are features, of states by DMRG."""
        return self._blocks.block if self.solver == "dmrg" else None

    def load(self) -> Dataset:
        """The ground states on both training grids and on the validation grid."""
        generator = seeding.generator(self.gauge_seed, "xxz-gauge")
        train = [*grid(self.gapless), *grid(self.gapped)]
        validation = [delta for points in self._validation_grids for delta in grid(points)]
        if self.solver == "dmrg":
            x, about = self._blocks.states([*train, *validation])
            splits = [
                self._labelled(x[rows], {name: values[rows] for name, values in about.items()})
                for rows in (slice(len(train)), slice(len(train), None))
            ]
            return Dataset(*splits, block=self.block)
        return Dataset(self._split(train, generator), self._split(validation, generator))

    def _refuse(self, name: str, belongs: str) -> None:
        """Refuses a field of the other solver, unless it has its default."""
        value = getattr(self, name)
        if value != fields_of(XXZ)[name].default:
            raise ConfigError(
                f'XXZ: {name}: got {show(value)} with solver = "{self.solver}", accepts it with {belongs}; leave it '
                "out."
            )

    @property
    def _blocks(self) -> xxz_blocks.Blocks:
        return xxz_blocks.Blocks(
            length=None if isinstance(self.length, str) else self.length,
            periodic=self.periodic,
            sites=self.block_sites,
            where=self.where,
            bond_dimension=None if isinstance(self.bond_dimension, str) else self.bond_dimension,
            broken=self.symmetry == "broken",
        )

    @property
    def _spins(self) -> int:
        """The length of a chain that is diagonalised exactly."""
        return cast(int, self.length)

    @property
    def _grids(self) -> tuple[Grid, ...]:
        return self.gapless, self.gapped, *self._validation_grids

    @property
    def _validation_grids(self) -> tuple[Grid, ...]:
        first = self.validation[0]
        return self.validation if isinstance(first, tuple) else (self.validation,)  # type: ignore[return-value]

    def random_features(self, n: int, generator: torch.Generator) -> Tensor:
        """Complex Gaussian vectors, normalised (Eqs. 4 and 5), in the layout of the task; or their density matrices."""
        if (block := self.block) is not None:
            return random_densities(n, len(block.sites), block.length, generator)
        parts = torch.randn(n, 2**self._spins, 2, generator=generator, dtype=torch.float64)
        vectors = torch.view_as_complex(parts)
        return self._laid_out(vectors / torch.linalg.vector_norm(vectors, dim=1, keepdim=True))

    @property
    def expected_features(self) -> tuple[int, bool]:
        """2^L complex amplitudes, or twice as many real numbers; of density matrices 4^k real numbers."""
        if (block := self.block) is not None:
            return block.dimension, False
        is_complex = self.layout == "complex"
        return 2 ** (self._spins if is_complex else self._spins + 1), is_complex

    @property
    def expected_labels(self) -> Tensor:
        """By delta of the training grids."""
        return (torch.tensor([*grid(self.gapless), *grid(self.gapped)], dtype=torch.float64) > 1.0).long()

    def boundary_distance(self, split: Split) -> Tensor:
        """How far a state is from the transition: |delta - 1|."""
        return (split.about["delta"] - 1.0).abs()

    def _split(self, deltas: list[float], generator: torch.Generator) -> Split:
        x, energies = (self._held if self._spins <= MOST_SPINS_HELD else self._tied)(deltas, generator)
        return self._labelled(x, {"delta": torch.tensor(deltas, dtype=torch.float64), "energy": energies})

    def _labelled(self, x: FeatureRows, about: dict[str, Tensor]) -> Split:
        return Split(x, (about["delta"] > 1.0).long(), about)

    def _held(self, deltas: list[float], generator: torch.Generator) -> tuple[FeatureRows, Tensor]:
        """States and their energies, as a tensor."""
        states, energies = ground_states(self._spins, deltas)
        x = torch.from_numpy(states).to(torch.complex128) * self._phases(len(deltas), generator)[:, None]
        return self._laid_out(x), torch.from_numpy(energies)

    def _laid_out(self, x: Tensor) -> Tensor:
        """Complex rows ``[N, 2^L]`` as the features are."""
        return x if self.layout == "complex" else torch.cat([x.real, x.imag], dim=1)

    def _tied(self, deltas: list[float], generator: torch.Generator) -> tuple[FeatureRows, Tensor]:
        """States by their coefficients on orbits of basis states."""
        sector = symmetric_sector(self._spins)
        found = [sector.ground_state(delta) for delta in deltas]
        x = TiedFeatures(
            2**self._spins,
            basis=torch.from_numpy(sector.basis),
            source=torch.from_numpy(sector.orbit),
            weights=torch.from_numpy(sector.weight),
            coefficients=torch.stack([torch.from_numpy(coefficients) for _, coefficients in found]),
            factors=self._phases(len(deltas), generator),
        )
        if self.layout == "real-imaginary":
            x = x.real_and_imaginary()
        return x, torch.tensor([energy for energy, _ in found], dtype=torch.float64)

    def _phases(self, n: int, generator: torch.Generator) -> Tensor:
        if self.gauge == "fixed":
            return torch.ones(n, dtype=torch.complex128)
        if self.gauge == "random-sign":
            return (2.0 * torch.randint(0, 2, (n,), generator=generator) - 1.0).to(torch.complex128)
        angles = 2.0 * math.pi * torch.rand(n, generator=generator, dtype=torch.float64)
        return torch.polar(torch.ones_like(angles), angles)


def _check_exact(length: int | str) -> None:
    """Refuses lengths of chains that another solver takes, if any does.

    Raises:
        ConfigError: exact diagonalisation does not.
    """
    if isinstance(length, str) or length > LONGEST_EXACT:
        raise ConfigError(
            f"XXZ: length: got {show(length)}, accepts an integer in [4, {LONGEST_EXACT}] divisible by 2 for "
            f'amplitudes by exact diagonalisation. With solver = "dmrg" it hands over density matrices of up to '
            f'{xxz_blocks.LONGEST} spins, or of an "infinite" chain.'
        )
