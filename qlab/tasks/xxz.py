"""Ground states of the XXZ chain: is the phase gapless or gapped?"""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

import annotated_types as at
import torch
from torch import Tensor

from qlab import seeding
from qlab.errors import ConfigError
from qlab.fields import AbsentMeans, NonNegativeInt
from qlab.tasks.base import Dataset, Split, Task
from qlab.tasks.features import FeatureRows, TiedFeatures
from qlab.tasks.grids import Grid, checked_grid, grid
from qlab.tasks.symmetric_sector import symmetric_sector
from qlab.tasks.xxz_ground_states import ground_states

MOST_SPINS_HELD = 14
"""Longer chains are diagonalised by symmetry and their states made when they are needed: 396 of 16 spins would take
0.4 GB, of 20 spins 6.6 GB."""

Gauge = Literal["fixed", "random-sign", "random-phase"]

Layout = Literal["complex", "real-imaginary"]


class XXZ(Task):
    """Ground states of the XXZ chain, labelled by phase: 0 for delta < 1 (gapless), 1 for delta > 1 (gapped).

    Features are the 2^L amplitudes in the computational basis, complex128, site 0 the most significant bit.
    The overall phase of a state is not physics: a QNN cannot see it, an MLP on amplitudes can. ``gauge``
    chooses it. With the default grids there are 97 + 100 training and 99 + 100 validation states. A state costs about 2
    ms at 12 spins and 4 ms at 20. From 16 spins on, states are not held in memory but made a few rows
    at a time from what their symmetries leave free.

    As real vectors (``layout = "real-imaginary"``) the features are x' = (Re x, Im x), 2^(L+1) of them, float64: the
    real parts of all amplitudes, then the imaginary parts. An MLP gets the same inputs either way. A circuit gets
    another state, of L + 1 qubits: |0> Re x + |1> Im x, with a new most significant qubit 0, and site i on wire i + 1.
    Ground states are real up to their phase phi, so that this qubit holds cos(phi) |0> + sin(phi) |1>: the gauge, which
    no measurement of the spins shows, becomes visible to the circuit. The paper's released script for unlearning does
    so.

    Args:
        length: number of spins L, even (odd chains have no zero-magnetisation sector).
        gapless: training grid of class 0: first delta, last delta, step. Above -1 and below 1.
        gapped: training grid of class 1: first delta, last delta, step. Above 1.
        validation: validation grid across both phases: first delta, last delta, step; or two such grids.
        gauge: "fixed" makes the largest component real and positive; "random-sign" multiplies each state
            by +1 or -1; "random-phase" by exp(i phi), phi uniform: what a complex eigensolver returns.
        gauge_seed: seed of the random signs or phases.
        layout: "complex" amplitudes, or real and imaginary parts side by side, "real-imaginary".
    """

    formula: ClassVar[str] = "H = sum_i (X_i X_{i+1} + Y_i Y_{i+1} + delta Z_i Z_{i+1}), periodic"
    source: ClassVar[str] = "arXiv:2508.02422, Eq. 2 and Methods"

    length: Annotated[int, at.Interval(ge=4, le=20), at.MultipleOf(2)] = 12
    gapless: Grid = (-0.96, 0.96, 0.02)
    gapped: Grid = (1.02, 3.0, 0.02)
    validation: Grid | tuple[Grid, Grid] = (-0.97, 2.99, 0.02)
    gauge: Gauge = "random-phase"
    gauge_seed: NonNegativeInt = 0
    layout: Annotated[Layout, AbsentMeans("complex")] = "complex"

    def __post_init__(self) -> None:
        super().__post_init__()
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

    def load(self) -> Dataset:
        """The ground states on both training grids and on the validation grid."""
        generator = seeding.generator(self.gauge_seed, "xxz-gauge")
        train = self._split([*grid(self.gapless), *grid(self.gapped)], generator)
        validation = [delta for points in self._validation_grids for delta in grid(points)]
        return Dataset(train, self._split(validation, generator))

    @property
    def _validation_grids(self) -> tuple[Grid, ...]:
        first = self.validation[0]
        return self.validation if isinstance(first, tuple) else (self.validation,)  # type: ignore[return-value]

    def random_features(self, n: int, generator: torch.Generator) -> Tensor:
        """Complex Gaussian vectors, normalised (Eqs. 4 and 5), in the layout of the task."""
        parts = torch.randn(n, 2**self.length, 2, generator=generator, dtype=torch.float64)
        vectors = torch.view_as_complex(parts)
        return self._laid_out(vectors / torch.linalg.vector_norm(vectors, dim=1, keepdim=True))

    @property
    def expected_features(self) -> tuple[int, bool]:
        """2^L complex amplitudes, or twice as many real numbers."""
        is_complex = self.layout == "complex"
        return 2 ** (self.length if is_complex else self.length + 1), is_complex

    def boundary_distance(self, split: Split) -> Tensor:
        """How far a state is from the transition: |delta - 1|."""
        return (split.about["delta"] - 1.0).abs()

    def _split(self, deltas: list[float], generator: torch.Generator) -> Split:
        x, energies = (self._held if self.length <= MOST_SPINS_HELD else self._tied)(deltas, generator)
        delta = torch.tensor(deltas, dtype=torch.float64)
        return Split(x, (delta > 1.0).long(), {"delta": delta, "energy": energies})

    def _held(self, deltas: list[float], generator: torch.Generator) -> tuple[FeatureRows, Tensor]:
        """States and their energies, as a tensor."""
        states, energies = ground_states(self.length, deltas)
        x = torch.from_numpy(states).to(torch.complex128) * self._phases(len(deltas), generator)[:, None]
        return self._laid_out(x), torch.from_numpy(energies)

    def _laid_out(self, x: Tensor) -> Tensor:
        """Complex rows ``[N, 2^L]`` as the features are."""
        return x if self.layout == "complex" else torch.cat([x.real, x.imag], dim=1)

    def _tied(self, deltas: list[float], generator: torch.Generator) -> tuple[FeatureRows, Tensor]:
        """States by their coefficients on orbits of basis states."""
        sector = symmetric_sector(self.length)
        found = [sector.ground_state(delta) for delta in deltas]
        x = TiedFeatures(
            2**self.length,
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
