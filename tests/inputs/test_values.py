"""What inputs are, against sums over basis states written down here and against NumPy's Kronecker products."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qlab.inputs import PauliExpectations, input_map
from qlab.models import Features
from qlab.models.estimator import inputs_of
from qlab.tasks.features import TiedFeatures

PAULIS = [np.eye(2), np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1.0, -1.0])]


def states(length, n=3, seed=0):
    x = torch.randn(n, 2**length, dtype=torch.complex128, generator=torch.Generator().manual_seed(seed))
    return x / torch.linalg.vector_norm(x, dim=1, keepdim=True)


def expectation(x, letters):
    """<x| P |x> of a string that has a digit for each site."""
    whole = functools.reduce(np.kron, [PAULIS[digit] for digit in letters])
    return np.einsum("ni,ij,nj->n", x.numpy().conj(), whole, x.numpy()).real


def strings_on(sites, length):
    """All strings on some sites but the identity, in the documented order."""
    for digits in itertools.product(range(4), repeat=len(sites)):
        letters = [0] * length
        for site, digit in zip(sites, digits, strict=True):
            letters[site] = digit
        if any(letters):
            yield letters


def density(x, sites, length):
    """Reduced density matrices, by summing over the other sites."""
    k, others = len(sites), [site for site in range(length) if site not in sites]
    rho = np.zeros((len(x), 2**k, 2**k), dtype=complex)
    tensor = x.numpy().reshape(len(x), *[2] * length)
    for rest in itertools.product((0, 1), repeat=len(others)):
        index = [slice(None)] * (length + 1)
        for site, bit in zip(others, rest, strict=True):
            index[site + 1] = bit
        part = tensor[tuple(index)].reshape(len(x), 2**k)
        rho += part[:, :, None] * part[:, None, :].conj()
    return rho


@pytest.mark.parametrize(
    ("sites", "meant"),
    [
        (1, (4,)),
        (2, (3, 4)),
        ((0, 3), (0, 3)),
        ((-1, 1), (1, 4)),
        ("ring-2", (0, 3, 4)),
        ("ring-3", (0, 1, 2, 3, 4)),
    ],
)
def test_pauli_inputs_are_expectation_values_of_all_strings_on_the_sites(sites, meant):
    x = states(5)
    found = input_map("M", "pauli", sites)(x)
    expected = [expectation(x, letters) for letters in strings_on(meant, 5)]
    np.testing.assert_allclose(found.numpy(), np.transpose(expected), atol=1e-14)


@pytest.mark.parametrize("length", [1, 2, 3, 5])
def test_pairs_are_all_strings_on_one_site_and_then_on_two(length):
    x = states(length)
    found = input_map("M", "pauli", "pairs")(x)
    letters = []
    for count in (1, 2):
        for sites in itertools.combinations(range(length), count):
            letters += [own for own in strings_on(sites, length) if sum(map(bool, own)) == count]
    np.testing.assert_allclose(found.numpy(), np.transpose([expectation(x, own) for own in letters]), atol=1e-14)
    assert found.shape[1] == 3 * length + 9 * length * (length - 1) // 2
    with_identity = PauliExpectations("M", "pairs", identity=True)
    np.testing.assert_allclose(with_identity(2.0 * x)[:, 0], 4.0)
    assert with_identity.weights(2**length).tolist() == [0] + [sum(map(bool, own)) for own in letters]


@pytest.mark.parametrize("sites", [(1, 3), 3, (0,)])
def test_density_inputs_are_the_diagonal_and_what_is_above_it(sites):
    x = states(4)
    rho = density(x, range(4 - sites, 4) if isinstance(sites, int) else sites, 4)
    above = np.triu_indices(rho.shape[1], 1)
    upper = rho[:, above[0], above[1]]
    expected = np.concatenate([np.einsum("nii->ni", rho).real, upper.real, upper.imag], axis=1)
    np.testing.assert_allclose(input_map("M", "density", sites)(x).numpy(), expected, atol=1e-14)
    assert expected.shape[1] == rho.shape[1] ** 2


@given(st.integers(0, 10**6), st.floats(-3.1, 3.1), st.sampled_from(["pauli", "density", "modulus"]))
@settings(max_examples=20, deadline=None)
def test_only_amplitudes_know_a_global_phase(seed, phase, name):
    x = states(4, seed=seed)
    turned = x * torch.polar(torch.tensor(1.0, dtype=torch.float64), torch.tensor(phase, dtype=torch.float64))
    made = input_map("M", name, 2 if name != "modulus" else 4)
    torch.testing.assert_close(made(turned), made(x), atol=1e-13, rtol=0)
    assert made(x).dtype == torch.float64


def test_modulus_and_amplitudes():
    x = torch.tensor([[3 + 4j, -2.0]])
    assert input_map("M", "modulus", 4)(x).tolist() == [[5.0, 2.0]]
    assert input_map("M", "amplitudes", 4)(x).tolist() == [[3.0, -2.0, 4.0, 0.0]]
    assert input_map("M", "modulus", 4)(x.real).tolist() == [[3.0, 2.0]]


def test_real_features_are_amplitudes_of_real_states_and_norms_are_factors():
    x = states(3).real.contiguous()
    for name in ("pauli", "density"):
        made = input_map("M", name, 2)
        torch.testing.assert_close(made(2.0 * x), 4.0 * made(x.to(torch.complex128)), atol=1e-14, rtol=0)


def test_estimators_get_the_same_of_rows_that_are_not_held(monkeypatch):
    monkeypatch.setattr("qlab.tasks.features.CHUNK_BYTES", 64)
    drawn = torch.Generator().manual_seed(0)
    coefficients = torch.randn(5, 3, dtype=torch.float64, generator=drawn)
    tied = TiedFeatures(
        8, torch.tensor([1, 2, 4]), torch.arange(3), torch.ones(3, dtype=torch.float64), coefficients,
        torch.ones(5, dtype=torch.complex128),
    )  # fmt: skip
    features = Features(8, True, tied.nonzero_columns())
    assert len(list(tied.chunks(256))) > 1
    for name in ("amplitudes", "modulus", "pauli", "density"):
        made = input_map("M", name, 2 if name in ("pauli", "density") else 4)
        np.testing.assert_array_equal(inputs_of(tied, features, made), inputs_of(tied.dense(), features, made))
