"""Binomial quantiles against SciPy's, one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch

from qlab.circuits.binomial import binomial_quantiles


@pytest.mark.parametrize("trials", [1, 2, 17, 80, 81, 150, 1000, 30_000, 10**6])
@pytest.mark.parametrize("skew", [1.0, 4.0])
def test_quantiles_are_those_of_scipy(trials: int, skew: float) -> None:
    generator = torch.Generator().manual_seed(trials)
    u, p = (torch.rand(6000, generator=generator, dtype=torch.float64) for _ in range(2))
    p = p**skew  # near 0, and by turns near 1
    p[::2] = 1.0 - p[::2]
    found = binomial_quantiles(u, trials, p)
    expected = np.maximum(scipy.stats.binom.ppf(u.numpy(), trials, p.numpy()), 0.0)
    np.testing.assert_array_equal(found.numpy(), expected)


def test_trials_may_differ_and_be_none() -> None:
    generator = torch.Generator().manual_seed(0)
    u, p = (torch.rand(5000, generator=generator, dtype=torch.float64) for _ in range(2))
    n = torch.randint(0, 2000, (5000,), generator=generator).double()
    n[:50] = 0.0
    expected = np.maximum(scipy.stats.binom.ppf(u.numpy(), n.numpy(), p.numpy()), 0.0)
    np.testing.assert_array_equal(binomial_quantiles(u, n, p).numpy(), expected)


@pytest.mark.parametrize("trials", [10, 1000])
@pytest.mark.parametrize(("u", "p", "share"), [(0.3, 0.0, 0), (0.3, 1.0, 1), (0.0, 0.5, 0), (1.0 - 2.0**-24, 1.0, 1)])
def test_ends(trials: int, u: float, p: float, share: Any) -> None:
    one = torch.ones(3, dtype=torch.float64)
    assert binomial_quantiles(u * one, trials, p * one).tolist() == [float(share * trials)] * 3
