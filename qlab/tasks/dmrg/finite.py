"""DMRG for finite XXZ chains, by TeNPy."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any, Final

from tenpy.algorithms.dmrg import TwoSiteDMRGEngine
from tenpy.models.spins import SpinModel
from tenpy.networks.mps import MPS

from qlab.tasks.dmrg.models import block_at, model_of, quiet
from qlab.tasks.dmrg.states import Found, Wanted
from qlab.tasks.dmrg.symmetries import Matrix, average, distance, mirrored, pauli_of, reordered

_MIXED_SWEEPS: Final = 4
"""So many sweeps of a state that starts cold are perturbed, so that it gets out of what is local."""

_MOST_SWEEPS: Final = 40

_FROM_BELOW: Final = 1.5
"""States at larger delta start with the one of this: singlets are far from the Neel phase, and take many sweeps."""

_SETTLED: Final = 1e-8
"""A finite chain is swept until its block changes no more than this, or than what truncation makes it change."""

_ENERGY: Final = 1e-9
"""And until the energy changes no more than this."""

_MIXER: Final = {"amplitude": 1e-4, "decay": 2.0, "disable_after": _MIXED_SWEEPS}

_OPTIONS: Final = {
    "lanczos_params": {"N_min": 2, "N_max": 6},
    "combine": True,
    "max_sweeps": _MOST_SWEEPS,
    "N_sweeps_check": 1,
}


class _Engine(TwoSiteDMRGEngine):  # type: ignore[misc]  # of a package without types
    """Sweeps until the density matrix of the first sites has settled: it is what is wanted, and shows more than energy.

    Deep in the Neel phase of a long chain a symmetric state drifts towards a broken one, as low up to rounding. Its
    average over the spin flip does not, and settles first.

    Attributes:
        change: trace norm of what the last sweep changed in it.
    """

    def __init__(self, psi: MPS, model: SpinModel, wanted: Wanted, options: dict[str, Any]) -> None:
        self._wanted = wanted
        self._block: Matrix | None = None
        self.change = float("inf")
        super().__init__(psi, model, options)

    def is_converged(self) -> bool:
        """Whether the last sweep changed neither the block nor the energy."""
        block = block_at(self.psi, 0, self._wanted.sites)
        if not self._wanted.broken:
            block = average([block])
        if self._block is not None:
            self.change = distance(block, self._block)
        self._block = block
        cut = self.sweep_stats["max_trunc_err"][-1]
        noise = max(_ENERGY, cut * self.psi.L)
        return bool(self.change <= max(_SETTLED, cut) and abs(self.sweep_stats["Delta_E"][-1]) <= noise)


def ground_state(wanted: Wanted, start: MPS | None = None) -> tuple[Found, MPS]:
    """The ground state of a finite chain, with as many up as down spins.

    Without a start it begins with singlets on neighbours, which have every symmetry of the true ground state and its
    parity under the spin flip: DMRG, whose steps respect them, then goes to the lowest state that has them, also where
    in the Neel phase a broken one would be as low up to rounding. With ``broken`` it begins with the Neel state whose
    last spin is down.

    An open chain is swept from its last site, a ring folded (0, L - 1, 1, L - 2, ...), so that the block lies at the
    first positions either way.

    Args:
        wanted: which.
        start: the state of another delta, all else being the same; changed in place. Not for ``broken``: it would bring
            the symmetry along.
    """
    if start is None and not wanted.broken and wanted.delta > _FROM_BELOW:
        start = ground_state(dataclasses.replace(wanted, delta=_FROM_BELOW))[1]
    with quiet():
        model = model_of(wanted)
        cold = start is None
        psi = _first_state(wanted, model) if start is None else start
        options = {
            **copy.deepcopy(_OPTIONS),
            "trunc_params": {"chi_max": wanted.bond_dimension, "svd_min": 1e-10, "degeneracy_tol": 1e-4},
            "min_sweeps": _MIXED_SWEEPS + 1 if cold else 1,
            **({"mixer": True, "mixer_params": dict(_MIXER)} if cold else {}),
        }
        engine = _Engine(psi, model, wanted, options)
        engine.lanczos_params.touch("N_min", "N_max", "P_tol")  # else it warns where matrices are too small for Lanczos
        energy, psi = engine.run()
        block, asymmetry = _symmetrised(wanted, model, psi)
        found = Found(
            pauli=pauli_of(block),
            energy=float(energy),
            truncation_error=float(engine.sweep_stats["max_trunc_err"][-1]),
            bond_dimension=int(max(psi.chi)),
            change=engine.change,
            asymmetry=asymmetry,
            sweeps=len(engine.sweep_stats["E"]),
        )
    return found, psi


def _places(model: SpinModel) -> list[int]:
    """The site of the lattice at each position of the matrix product state."""
    return [int(place[0]) for place in model.lat.order]


def _first_state(wanted: Wanted, model: SpinModel) -> MPS:
    assert wanted.length is not None
    places = _places(model)
    if wanted.broken:  # position 0 of an open chain is its last site
        spins = ["down" if site % 2 == 0 else "up" for site in places]
        return MPS.from_product_state(model.lat.mps_sites(), spins, bc="finite", unit_cell_width=wanted.length)
    at = {site: position for position, site in enumerate(places)}
    pairs = [tuple(sorted((at[site], at[site + 1]))) for site in range(0, wanted.length, 2)]
    site = model.lat.mps_sites()[0]
    return MPS.from_singlets(site, wanted.length, pairs, lonely=[], bc="finite", unit_cell_width=wanted.length)


def _symmetrised(wanted: Wanted, model: SpinModel, psi: MPS) -> tuple[Matrix, float]:
    """The block's density matrix in the order of sites, averaged, and how much that changed it."""
    k = wanted.sites
    start, end = block_at(psi, 0, k), block_at(psi, psi.L - k, k)
    if not wanted.periodic:  # position p is site L - 1 - p; a mirror image of the chain has its other end there
        own, images = mirrored(start), [mirrored(start), end]
    else:  # both folds of the ring, each either way around
        places = _places(model)
        own, other = _around(start, places[:k], psi.L), _around(end, places[-k:], psi.L)
        images = [own, other, mirrored(own), mirrored(other)]
    if wanted.broken:
        return own, 0.0
    mean = average(images)
    return mean, distance(mean, own)


def _around(rho: Matrix, sites: list[int], length: int) -> Matrix:
    """A density matrix of neighbours on a ring, in their order around it."""
    first = next(site for site in sites if (site - 1) % length not in sites) if len(sites) < length else 0
    return reordered(rho, sorted(range(len(sites)), key=lambda number: (sites[number] - first) % length))
