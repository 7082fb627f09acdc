"""Free fermions against exact diagonalisation, and the task that hands over their reduced density matrices."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.integrate
import torch

from qlab.circuits.pauli import pauli_expectations
from qlab.errors import ConfigError
from qlab.tasks import TransverseIsing
from qlab.tasks.base import load_data
from qlab.tasks.free_fermions import _decomposed, open_chain, ring
from qlab.tasks.gaussian_strings import pauli_strings_of
from qlab.tasks.random_densities import random_densities

FIELDS = np.array([0.05, 0.5, 0.83, 0.97, 1.03, 1.7, 3.0])
LETTERS = {"I": np.eye(2), "X": np.array([[0, 1], [1, 0]]), "Y": np.array([[0, -1j], [1j, 0]]), "Z": np.diag([1, -1])}


def flipped(length):
    return np.arange(2**length) ^ (2**length - 1)


def even_ground_states(length, gamma, periodic):
    """Lowest states with prod_i X_i = 1, of the Hamiltonian as the task states it, on (|s> + |not s>) / sqrt 2."""
    size = 2**length
    states = np.arange(size)
    spins = 1 - 2 * (states[:, None] >> np.arange(length - 1, -1, -1) & 1)
    coupling, field = np.zeros((size, size)), np.zeros((size, size))
    for site in range(length if periodic else length - 1):
        other = (site + 1) % length
        product = spins[:, site] * spins[:, other]
        coupling[states, states] -= (1.0 + gamma) / 2.0 * product
        both = (1 << (length - 1 - site)) | (1 << (length - 1 - other))
        coupling[states ^ both, states] += (1.0 - gamma) / 2.0 * product  # Y Y |s t> = -s t |-s -t>
    for site in range(length):
        field[states ^ (1 << site), states] -= 1.0
    even = np.zeros((size, size // 2))
    even[states[: size // 2], states[: size // 2]] = even[flipped(length)[: size // 2], states[: size // 2]] = 0.5**0.5
    coupling, field = even.T @ coupling @ even, even.T @ field @ even
    found = [np.linalg.eigh(coupling + h * field) for h in FIELDS]
    return np.array([values[0] for values, _ in found]), np.stack([even @ vectors[:, 0] for _, vectors in found])


@pytest.mark.parametrize(("length", "gamma", "periodic"), [
    (8, 1.0, False), (8, 0.6, False), (9, 0.3, False), (8, 1.0, True), (9, 0.6, True), (10, 0.3, True),
])  # fmt: skip
def test_all_strings_of_a_block_are_those_of_exact_diagonalisation(length, gamma, periodic):
    energies, states = even_ground_states(length, gamma, periodic)
    found = (ring if periodic else open_chain)(length, FIELDS, gamma, 4)
    expected = pauli_expectations(torch.from_numpy(states), range(length - 4, length), length)
    np.testing.assert_allclose(pauli_strings_of(found.block), expected.numpy(), atol=1e-10)
    np.testing.assert_allclose(found.energy, energies, atol=1e-10)


def test_a_string_is_what_its_letters_say():
    _, states = even_ground_states(8, 1.0, periodic=False)
    x = pauli_strings_of(open_chain(8, FIELDS, 1.0, 3).block)
    matrix = np.eye(1)
    for letter in "IIIIIYXY":
        matrix = np.kron(matrix, LETTERS[letter])
    expected = [float((state @ matrix @ state).real) for state in states]
    np.testing.assert_allclose(x[:, 2 * 16 + 1 * 4 + 2], expected, atol=1e-12)


@pytest.mark.parametrize("length", [65, 100, 200])
def test_modes_of_long_open_chains_are_those_of_the_decomposition(length):
    """Also next to the transition, where a mode becomes bound to the ends at h = L / (L + 1)."""
    h = np.array([0.02, 0.7, 0.98, 0.99, 0.9949, 0.9951, 0.999, 1.0001, 1.02, 3.0])
    found, expected = open_chain(length, h, 1.0, 6), _decomposed(length, h, 1.0, 6)
    np.testing.assert_allclose(found.block, expected.block, atol=1e-11)
    np.testing.assert_allclose(found.energy, expected.energy, rtol=1e-12)


@pytest.mark.parametrize("h", [0.3, 0.97, 1.05, 2.0])
def test_long_rings_have_the_magnetisation_of_the_infinite_chain(h):
    def density(q):
        return (h - math.cos(q)) / math.sqrt(h * h + 1.0 - 2.0 * h * math.cos(q)) / math.pi

    expected = scipy.integrate.quad(density, 0.0, math.pi, limit=200, epsabs=1e-13)[0]
    assert ring(1000, np.array([h]), 1.0, 1).block[0, 0, 0] == pytest.approx(expected, abs=1e-10)


def test_blocks_of_long_chains_are_density_matrices_and_settle():
    grids = {"ordered": (0.05, 0.95, 0.1), "disordered": (1.05, 3.0, 0.15), "validation": (0.1, 1.9, 0.2)}
    long, longer = (load_data(TransverseIsing(length=length, **grids)) for length in (500, 1000))
    assert long.train.x.shape == (24, 256)
    assert long.validation.y.tolist() == (long.validation.about["h"] > 1.0).long().tolist()
    torch.testing.assert_close(long.train.x, longer.train.x, atol=1e-9, rtol=0)


def test_no_single_z_tells_the_class():
    x = TransverseIsing(length=12).load().train.x.reshape(-1, 4, 4, 4, 4)
    assert float(x[:, 0, 0, 0, 3].abs().max()) == 0.0
    assert float(x[:, 0, 0, 0, 1].min()) > 0.0


def test_around_the_last_site_of_a_ring():
    task = TransverseIsing(length=9, periodic=True, block_sites=5, where="around", gamma=0.6)
    assert task.block.sites == (0, 1, 6, 7, 8)
    h = task.load().train.about["h"]
    _, states = even_ground_states(9, 0.6, True)
    place = int((h - 0.5).abs().argmin())
    expected = pauli_expectations(torch.from_numpy(states[1:2]), task.block.sites, 9)
    torch.testing.assert_close(task.load().train.x[place : place + 1], expected, atol=1e-10, rtol=0)


@pytest.mark.parametrize(("length", "block"), [(3, 2), (6, 2), (9, 3)])
def test_random_densities_are_distributed_as_those_of_random_states(length, block):
    """E tr rho^2 = (d + m) / (d m + 1), of random states of d m amplitudes, and what sampling them gives."""
    found = random_densities(4000, block, length, torch.Generator().manual_seed(0))
    purity = found.square().sum(1) / 2**block
    d, m = 2**block, 2 ** (length - block)
    assert float(purity.mean()) == pytest.approx((d + m) / (d * m + 1), rel=0.02)
    states = torch.randn(4000, 2**length, dtype=torch.complex128, generator=torch.Generator().manual_seed(1))
    states /= torch.linalg.vector_norm(states, dim=1, keepdim=True)
    sampled = pauli_expectations(states, range(length - block, length), length).square().sum(1) / 2**block
    assert float(purity.std()) == pytest.approx(float(sampled.std()), rel=0.1)
    assert float(found[:, 1:].mean(0).abs().max()) < 0.03


def test_random_states_of_long_chains_are_maximally_mixed():
    drawn = TransverseIsing(length=10_000).random_features(3, torch.Generator().manual_seed(0))
    assert torch.equal(drawn[:, 0], torch.ones(3, dtype=torch.float64))
    assert float(drawn[:, 1:].abs().max()) < 1e-15


@pytest.mark.parametrize(("fields", "said"), [
    ({"block_sites": 5, "length": 4}, r"block_sites: got 5 of 4 spins, accepts 1 to 4"),
    ({"gamma": 0.5}, r"length: got 1000 for an open chain with gamma = 0.5, accepts at most 64; take periodic = true"),
    ({"where": "around"}, r'where: got "around" for block_sites = 4 of an open chain'),
    ({"where": "around", "periodic": True}, r'where: got "around" for block_sites = 4 of a ring.*odd number'),
    ({"ordered": (0.5, 1.5, 0.1)}, r"ordered: got h from 0.5 to 1.5, accepts h strictly between 0 and 1"),
    ({"validation": (0.5, 1.5, 0.1)}, r"validation: the grid hits h = 1"),
    ({"gamma": 0.0}, r"gamma: got 0.0"),
    ({"length": 10_001}, r"length: got 10001"),
])  # fmt: skip
def test_refusals(fields, said):
    with pytest.raises(ConfigError, match=said):
        TransverseIsing(**fields)
