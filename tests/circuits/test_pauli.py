"""The Pauli picture against dense traces."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest
import torch

from qlab.circuits.pauli import pauli_expectations, pauli_strings, transfer_matrices

SINGLE = [
    np.eye(2, dtype=complex),
    np.array([[0, 1], [1, 0]], dtype=complex),
    np.array([[0, -1j], [1j, 0]]),
    np.array([[1, 0], [0, -1]], dtype=complex),
]


def strings(k):
    return [functools.reduce(np.kron, factors) for factors in itertools.product(SINGLE, repeat=k)]


def random_states(n, n_wires, seed=0):
    parts = np.random.default_rng(seed).normal(size=(2, n, 2**n_wires))
    return parts[0] + 1j * parts[1]


def random_unitaries(n, k, seed=0):
    parts = np.random.default_rng(seed).normal(size=(2, n, 2**k, 2**k))
    return np.linalg.qr(parts[0] + 1j * parts[1])[0]


@pytest.mark.parametrize("k", [1, 2, 3])
def test_pauli_strings_are_kronecker_products_with_the_first_wire_most_significant(k):
    np.testing.assert_array_equal(pauli_strings(k), np.stack(strings(k)))


@pytest.mark.parametrize(
    ("wires", "n_wires"),
    [((0,), 1), ((2,), 3), ((0, 1), 3), ((0, 2), 4), ((1, 2, 3), 4), ((0, 1, 2), 3)],
    ids=str,
)
def test_expectations_are_dense_traces(wires, n_wires):
    """States of any norm: tr(rho P) with rho = |x><x|, not normalised."""
    x = random_states(5, n_wires)
    expected = np.empty((5, 4 ** len(wires)))
    for column, letters in enumerate(itertools.product(range(4), repeat=len(wires))):
        factors = [SINGLE[0]] * n_wires
        for wire, letter in zip(wires, letters, strict=True):
            factors[wire] = SINGLE[letter]
        dense = functools.reduce(np.kron, factors)
        expected[:, column] = np.einsum("ni,ij,nj->n", x.conj(), dense, x).real
    found = pauli_expectations(torch.from_numpy(x), wires, n_wires)
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-11)


def test_expectations_of_real_states_are_those_of_the_same_complex_states():
    x = torch.from_numpy(random_states(4, 3).real.copy())
    real, cast = pauli_expectations(x, (1, 2), 3), pauli_expectations(x.to(torch.complex128), (1, 2), 3)
    assert torch.equal(real, cast)
    odd_number_of_y = [
        column for column, pair in enumerate(itertools.product("IXYZ", repeat=2)) if pair.count("Y") == 1
    ]
    assert float(real[:, odd_number_of_y].abs().max()) < 1e-14


def test_expectations_do_not_depend_on_the_size_of_a_chunk(monkeypatch):
    x = torch.from_numpy(random_states(7, 3))
    whole = pauli_expectations(x, (0, 2), 3)
    monkeypatch.setattr("qlab.circuits.pauli._CHUNK_BYTES", 16 * 4**2 * 3)
    torch.testing.assert_close(pauli_expectations(x, (0, 2), 3), whole, atol=1e-14, rtol=0)


def test_the_zero_vector_has_zero_expectations():
    assert float(pauli_expectations(torch.zeros(1, 8, dtype=torch.complex128), (0, 1), 3).abs().max()) == 0.0


@pytest.mark.parametrize("k", [1, 2, 3])
def test_transfer_matrices_are_dense_traces_and_orthogonal(k):
    unitaries = random_unitaries(3, k)
    found = transfer_matrices(torch.from_numpy(unitaries))
    paulis = np.stack(strings(k))
    evolved = np.einsum("nji,bjk,nkl->nbil", unitaries.conj(), paulis, unitaries)
    expected = np.einsum("aij,nbji->nab", paulis, evolved) / 2**k
    assert np.abs(expected.imag).max() < 1e-12
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found.numpy(), expected.real, atol=1e-12)
    np.testing.assert_allclose((found @ found.mT).numpy(), np.stack([np.eye(4**k)] * 3), atol=1e-12)


def test_transfer_matrices_evolve_the_coefficients_of_an_observable():
    [unitary] = random_unitaries(1, 2)
    coefficients = np.random.default_rng(1).normal(size=16)
    paulis = np.stack(strings(2))
    observable = np.tensordot(coefficients, paulis, 1)
    evolved = unitary.conj().T @ observable @ unitary
    new = transfer_matrices(torch.from_numpy(unitary[None]))[0].numpy() @ coefficients
    np.testing.assert_allclose(np.tensordot(new, paulis, 1), evolved, atol=1e-12)


def test_transfer_matrices_keep_single_precision():
    unitaries = torch.from_numpy(random_unitaries(2, 2)).to(torch.complex64)
    found = transfer_matrices(unitaries)
    assert found.dtype == torch.float32
    double = transfer_matrices(unitaries.to(torch.complex128))
    torch.testing.assert_close(found.double(), double, atol=1e-6, rtol=0)
