"""Ground states from orbits of basis states, against the whole sector and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qlab.tasks.symmetric_sector import SymmetricSector, symmetric_sector
from qlab.tasks.xxz_ground_states import ZeroMagnetizationSector

DELTAS = [-0.999, -0.96, -0.3, 0.0, 0.99, 1.0, 1.02, 3.0]


def state_of(sector, delta):
    energy, coefficients = sector.ground_state(delta)
    return energy, sector.weight * coefficients[sector.orbit]


@pytest.mark.parametrize("length", [4, 6, 8, 10, 12, 14, 16])
def test_ground_states_are_those_of_the_whole_sector(length):
    """Lengths that 4 divides and others: translation by a site has eigenvalue +1 or -1."""
    symmetric, whole = SymmetricSector(length), ZeroMagnetizationSector(length)
    np.testing.assert_array_equal(symmetric.basis, whole.basis)
    for delta in DELTAS:
        energy, state = state_of(symmetric, delta)
        expected_energy, expected = whole.ground_state(delta)
        assert energy == pytest.approx(expected_energy, abs=1e-10)
        np.testing.assert_allclose(state, expected, atol=1e-10)


@pytest.mark.parametrize("length", [4, 10, 16, 18, 20])
def test_energy_at_delta_zero_is_that_of_free_fermions(length):
    energy, _ = symmetric_sector(length).ground_state(0.0)
    assert energy == pytest.approx(-4.0 / math.sin(math.pi / length), abs=1e-10)


@pytest.mark.parametrize(("length", "energy"), [(4, -8.0), (6, -2.0 * (2.0 + math.sqrt(13.0)))])
def test_energy_of_small_heisenberg_rings(length, energy):
    assert SymmetricSector(length).ground_state(1.0)[0] == pytest.approx(energy, abs=1e-12)


@pytest.mark.parametrize("length", [18, 20])
@pytest.mark.parametrize("delta", [-0.96, 0.5, 3.0, 60.0])
def test_states_of_long_chains_solve_the_schroedinger_equation(length, delta):
    """With the Hamiltonian of the whole sector, applied bond by bond."""
    energy, state = state_of(symmetric_sector(length), delta)
    basis = symmetric_sector(length).basis
    applied = np.zeros_like(state)
    for site in range(length):
        bits = (1 << site) | (1 << (site + 1) % length)
        differ = np.bitwise_count(basis & bits) == 1
        applied += delta * np.where(differ, -1.0, 1.0) * state
        applied[differ] += 2.0 * state[np.searchsorted(basis, basis[differ] ^ bits)]
    assert np.linalg.norm(applied - energy * state) < 1e-10 * abs(energy)
    assert np.linalg.norm(state) == pytest.approx(1.0, abs=1e-12)
    assert state[np.abs(state).argmax()] > 0


def test_a_chain_of_twenty_spins_has_so_many_orbits():
    assert symmetric_sector(20).n_orbits == 2518


@pytest.mark.parametrize("delta", [-1.0, -2.0])
def test_it_refuses_deltas_without_a_unique_ground_state(delta):
    with pytest.raises(ValueError, match="above -1"):
        SymmetricSector(4).ground_state(delta)
