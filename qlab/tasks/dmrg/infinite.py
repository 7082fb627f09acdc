"""DMRG for infinite XXZ chains, by TeNPy: a cell of two sites that repeats."""

from __future__ import annotations

from typing import Final

import numpy as np
from tenpy.algorithms.dmrg import TwoSiteDMRGEngine
from tenpy.models.spins import SpinModel
from tenpy.networks.mps import MPS

from qlab.tasks.dmrg.models import block_at, model_of, quiet
from qlab.tasks.dmrg.states import Found, Wanted
from qlab.tasks.dmrg.symmetries import Matrix, average, distance, mirrored, pauli_of

_FIRST_DIMENSION: Final = 16
"""Bond dimension of the first sweeps: larger ones at once go astray."""

_FIRST_SWEEPS: Final = 60

_MORE_SWEEPS: Final = 20
"""Then there are so many more at a time, after which the state is brought to its canonical form."""

_MOST_ROUNDS: Final = 8

_SETTLED: Final = 1e-5
"""There are rounds until the block changes no more than this."""


def ground_state(wanted: Wanted) -> Found:
    """The ground state of an infinite chain with no magnetisation; it begins with the Neel state.

    The density matrix is averaged over the spin flip, the shift by one site and the mirror image. The energy is that of
    a bond of the state found, tr(rho (X X + Y Y + delta Z Z)).

    Args:
        wanted: which. If ``broken``, the last site of the block is one whose spin is down.
    """
    with quiet():
        model = model_of(wanted)
        psi = MPS.from_product_state(model.lat.mps_sites(), ["up", "down"], bc="infinite", unit_cell_width=2)
        psi, cut = _swept(
            psi, model, wanted.bond_dimension, _FIRST_SWEEPS, {0: _FIRST_DIMENSION, 10: wanted.bond_dimension}
        )
        own, mean = _blocks(psi, wanted)
        change, rounds = float("inf"), 0
        while rounds < _MOST_ROUNDS and change > _SETTLED and np.isfinite(mean).all():
            before = own if wanted.broken else mean
            psi, cut = _swept(psi, model, wanted.bond_dimension, _MORE_SWEEPS)
            own, mean = _blocks(psi, wanted)
            change, rounds = distance(own if wanted.broken else mean, before), rounds + 1
        return Found(
            pauli=pauli_of(own if wanted.broken else mean),
            energy=_energy(psi, wanted),
            truncation_error=cut,
            bond_dimension=int(max(psi.chi)),
            change=change,
            asymmetry=0.0 if wanted.broken else distance(mean, own),
            sweeps=_FIRST_SWEEPS + rounds * _MORE_SWEEPS,
        )


def _swept(
    psi: MPS, model: SpinModel, dimension: int, sweeps: int, dimensions: dict[int, int] | None = None
) -> tuple[MPS, float]:
    """The state after more sweeps, and the truncation error of the last."""
    options = {
        "trunc_params": {"chi_max": dimension, "svd_min": 1e-7},
        "chi_list": dimensions,
        "lanczos_params": {"N_min": 2, "N_max": 8},
        "combine": True,
        "min_sweeps": sweeps - 1,
        "max_sweeps": sweeps - 1,
        "N_sweeps_check": 10,
    }
    engine = TwoSiteDMRGEngine(psi, model, options)
    engine.lanczos_params.touch("N_min", "N_max", "P_tol")  # else it warns where they are not needed
    _, psi = engine.run()
    return psi, float(engine.sweep_stats["max_trunc_err"][-1])


def _blocks(psi: MPS, wanted: Wanted) -> tuple[Matrix, Matrix]:
    """A block's density matrix, its last spin down; and its average over the symmetries."""
    one, other = (block_at(psi, first, wanted.sites) for first in (0, 1))
    own = one if wanted.sites % 2 == 0 else other
    return own, average([one, other, mirrored(one), mirrored(other)])


def _energy(psi: MPS, wanted: Wanted) -> float:
    """Of a bond, mean of the two."""
    one, other = (pauli_of(block_at(psi, first, 2)) for first in (0, 1))
    mean = (one + other) / 2.0
    return float(mean[5] + mean[10] + wanted.delta * mean[15])
