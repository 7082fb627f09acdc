"""Noise on features: how much of it there is, and that it comes out the same however features are held."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import kstest

from qlab.corruptions import GaussianPoison, LabelFlip
from qlab.tasks import XXZ, Split
from qlab.tasks.features import dense_rows
from qlab.tasks.replaced_features import ReplacedFeatures

TASK = XXZ(length=4)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def split_of(dtype, n=60, d=50):
    x = 3.0 * torch.randn(n, d, generator=generator(1), dtype=dtype)
    return Split(x, torch.arange(n) % 2)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_the_noise_is_normal_and_as_strong_as_asked_for(dtype):
    split, corruption = split_of(dtype), GaussianPoison(ratio=0.5, strength=0.2)
    found = corruption.apply(split, TASK, generator())
    noise = found.split.x - split.x
    assert bool((noise[~found.mask] == 0).all())
    assert torch.equal(found.split.y, split.y)
    numbers = (torch.view_as_real(noise[found.mask]) if dtype.is_complex else noise[found.mask]).flatten()
    root_mean_square = (torch.view_as_real(split.x) if dtype.is_complex else split.x).square().mean().sqrt()
    assert corruption.std(split.x) == pytest.approx(0.2 * float(root_mean_square))
    assert kstest(numbers.numpy() / corruption.std(split.x), "norm").pvalue > 1e-3
    assert torch.equal(found.mask, LabelFlip(ratio=0.5).apply(split, TASK, generator()).mask)


def test_features_that_are_not_held_get_the_same_noise():
    held = split_of(torch.float64)
    mask = torch.zeros(60, dtype=torch.bool)
    tied = ReplacedFeatures.where(mask, held.x, None)
    for corruption in (GaussianPoison(ratio=0.3), GaussianPoison(ratio=1.0, strength=2.0)):
        expected = corruption.apply(held, TASK, generator()).split.x
        found = corruption.apply(Split(tied, held.y), TASK, generator()).split.x
        assert isinstance(found, ReplacedFeatures)
        torch.testing.assert_close(dense_rows(found), expected)
        torch.testing.assert_close(dense_rows(found[torch.tensor([5, 0])]), expected[[5, 0]])
