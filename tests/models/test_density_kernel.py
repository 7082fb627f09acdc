"""Support vectors on reduced density matrices, against the kernel written down."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.svm import SVC

from qlab import DensityKernelSVC
from qlab.errors import ConfigError, DataError
from qlab.inputs import input_map

X = torch.randn(30, 16, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0].real > X[:, 5].imag).long().numpy()


def density(k):
    matrix = X.reshape(30, 2 ** (4 - k), 2**k).mT
    return (matrix @ matrix.mH).numpy()


def kernel(name, rho, sigma, gamma):
    if name == "trace":
        return np.array([[np.trace(a @ b).real for b in sigma] for a in rho])
    return np.array([[np.exp(-gamma * np.linalg.norm(a - b) ** 2) for b in sigma] for a in rho])


@pytest.mark.parametrize(("name", "gamma"), [("trace", 1.0), ("rbf", 0.01)])
def test_it_decides_as_support_vectors_with_that_kernel(name, gamma):
    model = DensityKernelSVC(sites=2, kernel=name, gamma=gamma, C=0.7)
    x = input_map("M", "density", 2)(X).numpy()
    model.fit(x[:20], Y[:20], np.random.default_rng(0))
    rho = density(2)
    plain = SVC(C=0.7, kernel="precomputed").fit(kernel(name, rho[:20], rho[:20], gamma), Y[:20])
    expected = plain.decision_function(kernel(name, rho, rho[:20], gamma))
    found = model.decision(x)
    np.testing.assert_allclose(found, expected, atol=2e-3 * np.abs(expected).max())  # the solver's tolerance
    assert model.log_odds(x, found) is None


def test_what_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match='inputs: got "pauli", accepts density matrices alone'):
        DensityKernelSVC(inputs="pauli")
    with pytest.raises(ConfigError, match='gamma: got 2 for kernel = "trace"'):
        DensityKernelSVC(gamma=2.0)
    with pytest.raises(DataError, match="not fitted yet"):
        DensityKernelSVC().decision(np.ones((1, 256)))
