"""Label noise that is not symmetric: which rows each kind flips, and how many."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from qlab.corruptions import BoundaryFlip, ClassFlip, InstanceFlip, LabelFlip, OutlierFlip, PairDuplicate
from qlab.corruptions.geometry import kernel, margins, mean_distances, projections
from qlab.errors import ConfigError, DataError
from qlab.tasks import XXZ, Digits, Split
from qlab.tasks.features import TiedFeatures
from qlab.tasks.replaced_features import ReplacedFeatures

LABELS = st.lists(st.integers(0, 1), min_size=1, max_size=40)
RATIOS = st.floats(0.0, 1.0)
SEEDS = st.integers(0, 2**31)
TASK = XXZ(length=4)
LIKE_LABEL_FLIP = [BoundaryFlip, InstanceFlip, OutlierFlip, PairDuplicate]


def generator(seed):
    return torch.Generator().manual_seed(seed)


def split_of(labels, dtype=torch.complex128, seed=0):
    n = len(labels)
    x = torch.randn(n, 16, generator=generator(seed), dtype=dtype)
    delta = torch.randn(n, generator=generator(seed + 1), dtype=torch.float64)
    return Split(x, torch.tensor(labels), {"delta": delta, "row": torch.arange(n)})


def flipped(cls, split, seed=0, **fields):
    return cls(**fields).apply(split, TASK, generator(seed))


def per_class(split, mask):
    return [int((mask & (split.y == label)).sum()) for label in (0, 1)]


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("cls", LIKE_LABEL_FLIP)
@settings(deadline=None, max_examples=25)
@given(labels=LABELS, ratios=st.tuples(RATIOS, RATIOS), seed=SEEDS)
def test_as_many_rows_as_label_flip_takes_and_a_smaller_ratio_takes_some_of_them(cls, dtype, labels, ratios, seed):
    split = split_of(labels, dtype)
    small, large = (flipped(cls, split, seed, ratio=ratio) for ratio in sorted(ratios))
    for found, ratio in zip((small, large), sorted(ratios), strict=True):
        assert per_class(split, found.mask) == per_class(split, flipped(LabelFlip, split, ratio=ratio).mask)
        assert torch.equal(found.split.y, torch.where(found.mask, 1 - split.y, split.y))
        assert torch.equal(found.clean_y, split.y)
    assert bool((small.mask <= large.mask).all())


@pytest.mark.parametrize("cls", LIKE_LABEL_FLIP)
def test_ratio_one_flips_every_row_and_ratio_zero_none(cls):
    split = split_of([0, 1, 1, 0, 1])
    assert bool(flipped(cls, split, ratio=1.0).mask.all())
    assert flipped(cls, split, ratio=0.0).split.y.tolist() == split.y.tolist()
    assert flipped(cls, split, ratio=0.0).split.x is split.x


@settings(deadline=None)
@given(labels=LABELS, ratio=RATIOS, balance=st.floats(-1.0, 1.0), seed=SEEDS)
def test_each_class_is_flipped_at_its_own_rate(labels, ratio, balance, seed):
    ratio = min(ratio, 1.0 / (1.0 + abs(balance)))
    split = split_of(labels)
    found = flipped(ClassFlip, split, seed, ratio=ratio, balance=balance)
    sizes = [labels.count(0), labels.count(1)]
    rates = [ratio * (1 - balance), ratio * (1 + balance)]
    assert per_class(split, found.mask) == [math.floor(r * n + 0.5) for r, n in zip(rates, sizes, strict=True)]
    assert torch.equal(found.split.y, torch.where(found.mask, 1 - split.y, split.y))
    assert found.split.x is split.x


@pytest.mark.parametrize(
    ("ratio", "balance", "expected"),
    [(0.4, 0.5, [20, 60]), (0.25, -1.0, [50, 0]), (0.5, 1.0, [0, 100]), (0.3, 0.0, [30, 30])],
)
def test_rates_in_numbers(ratio, balance, expected):
    split = split_of([0, 1] * 100)
    found = flipped(ClassFlip, split, ratio=ratio, balance=balance)
    assert per_class(split, found.mask) == expected
    assert int(found.mask.sum()) == ratio * 200


def test_one_class_may_be_missing_after_class_flips():
    found = flipped(ClassFlip, split_of([0, 1] * 10), ratio=0.5, balance=1.0)
    assert found.split.y.unique().tolist() == [0]


def test_a_rate_above_one_is_refused():
    with pytest.raises(
        ConfigError, match=r"ratio: got 0\.6, which with balance 1 makes 1\.2 the rate of class 1.*0\.5"
    ):
        ClassFlip(ratio=0.6, balance=1.0)
    with pytest.raises(ConfigError, match=r"makes 1\.35 the rate of class 0; accepts at most 0\.6667"):
        ClassFlip(ratio=0.9, balance=-0.5)


def test_the_states_nearest_to_the_transition_are_flipped():
    task = XXZ(length=4)
    split = task.load().train
    found = BoundaryFlip(ratio=0.1).apply(split, task, generator(0))
    assert sorted(split.about["delta"][found.mask].tolist()) == pytest.approx(
        [*np.arange(0.78, 0.97, 0.02), *np.arange(1.02, 1.21, 0.02)]
    )
    again = BoundaryFlip(ratio=0.1).apply(split, task, generator(1))
    assert torch.equal(again.mask, found.mask)


def test_rows_that_are_equally_near_are_taken_at_random():
    split = split_of([0, 1] * 10)
    split.about["delta"][:] = 0.5
    masks = {tuple(flipped(BoundaryFlip, split, seed, ratio=0.5).mask.tolist()) for seed in range(5)}
    assert len(masks) > 1


def test_margins_are_those_of_ridge_regression():
    split = split_of([0, 1] * 10, torch.float64)
    x = np.hstack([split.x.numpy(), np.ones((20, 1))])
    fitted = Ridge(alpha=1.0, fit_intercept=False).fit(x, 2 * split.y.numpy() - 1)
    np.testing.assert_allclose(margins(split.x, split.y).numpy(), np.abs(fitted.predict(x)), atol=1e-10)


def test_a_margin_finds_the_boundary_that_a_task_does_not_know():
    x = torch.linspace(-1, 1, 20, dtype=torch.float64)[:, None]
    split = Split(x, (x[:, 0] > 0).long())
    found = BoundaryFlip(ratio=0.3, distance="margin").apply(split, Digits(), generator(0))
    assert found.mask.nonzero().flatten().tolist() == [7, 8, 9, 10, 11, 12]


def test_a_task_without_a_boundary_is_refused_by_name():
    with pytest.raises(ConfigError, match=r'distance: got "task", but Digits knows no distance .*accepts "margin"'):
        BoundaryFlip(ratio=0.1).check_task(Digits())
    BoundaryFlip(ratio=0.1).check_task(TASK)
    BoundaryFlip(ratio=0.1, distance="margin").check_task(Digits())
    with pytest.raises(ConfigError, match="Digits knows no distance"):
        Digits().boundary_distance(split_of([0, 1]))


class Measured(XXZ):
    """Returns whatever a test gives it."""

    def boundary_distance(self, split):
        return self.given


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "got NoneType, accepts a tensor of 2 distances"),
        (torch.ones(3), r"got \[3\], accepts a tensor of 2 distances"),
        (torch.tensor([0.5, -0.5]), r"negative or no numbers; take \.abs\(\)"),
        (torch.tensor([0.5, torch.nan]), "negative or no numbers"),
    ],
)
def test_distances_of_ones_own_are_checked(given, message):
    Measured.given = given
    with pytest.raises(DataError, match=message):
        BoundaryFlip(ratio=0.5).apply(split_of([0, 1]), Measured(length=4), generator(0))


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_distances_from_the_mean_by_their_definition(dtype):
    x = split_of([0] * 7, dtype).x
    points = x if dtype == torch.float64 else x[:, :, None] * x.conj()[:, None, :]
    expected = (points - points.mean(0)).abs().square().flatten(1).sum(1)
    torch.testing.assert_close(mean_distances(x), expected, rtol=1e-10, atol=1e-10)


def test_the_farthest_rows_of_each_class_are_flipped():
    x = torch.tensor([0.0, 1.0, 2.0, 30.0, 100.0, 101.0, 102.0, 140.0], dtype=torch.float64)[:, None]
    found = flipped(OutlierFlip, Split(x, torch.tensor([0] * 4 + [1] * 4)), ratio=0.25)
    assert found.mask.nonzero().flatten().tolist() == [3, 7]


@pytest.mark.parametrize("cls", [InstanceFlip, OutlierFlip, BoundaryFlip])
def test_the_overall_phase_of_a_state_does_not_decide(cls):
    split = split_of([0, 1] * 15)
    phases = torch.polar(torch.ones(30, dtype=torch.float64), torch.arange(30, dtype=torch.float64))
    turned = Split(split.x * phases[:, None], split.y, split.about)
    fields = {"distance": "margin"} if cls is BoundaryFlip else {}
    masks = [flipped(cls, item, ratio=0.4, **fields).mask for item in (split, turned)]
    assert torch.equal(*masks)


def test_a_strong_direction_takes_the_farthest_rows_along_it_and_none_takes_any():
    split = split_of([0, 1] * 20, torch.float64)
    directions = InstanceFlip()._directions(split.x)
    along = (split.x * directions[split.y]).sum(1)
    strong = flipped(InstanceFlip, split, ratio=0.5, strength=1e6).mask
    for label in (0, 1):
        rows = split.y == label
        assert along[rows & strong].min() > along[rows & ~strong].max()
    masks = torch.stack([flipped(InstanceFlip, split, seed, ratio=0.5, strength=0.0).mask for seed in range(500)])
    torch.testing.assert_close(masks.double().mean(0), torch.full((40,), 0.5).double(), atol=0.12, rtol=0)


def test_rows_are_drawn_with_the_documented_weights():
    """One row of two: exp(strength s) over the sum, with s = 1 and -1 after standardising."""
    split = split_of([0, 0, 1, 1], torch.float64)
    found = torch.stack([flipped(InstanceFlip, split, seed, ratio=0.5, strength=0.7).mask for seed in range(3000)])
    along = (split.x * InstanceFlip()._directions(split.x)[split.y]).sum(1)
    further = 1.0 / (1.0 + math.exp(-1.4))
    expected = [further if along[row] > along[row ^ 1] else 1.0 - further for row in range(4)]
    assert found.double().mean(0).tolist() == pytest.approx(expected, abs=0.03)


def test_the_direction_has_a_seed_of_its_own():
    split = split_of([0, 1] * 20)
    first, again = (flipped(InstanceFlip, split, seed, ratio=0.5, strength=1e6).mask for seed in (0, 1))
    other = flipped(InstanceFlip, split, ratio=0.5, strength=1e6, direction_seed=1).mask
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@settings(deadline=None, max_examples=50)
@given(labels=LABELS, ratio=RATIOS, seed=SEEDS)
def test_a_duplicate_is_the_copy_of_a_clean_row_with_the_other_label(labels, ratio, seed):
    split = split_of(labels)
    before = split.x.clone()
    found = flipped(PairDuplicate, split, seed, ratio=ratio)
    source = found.split.about["row"]
    assert torch.equal(split.x, before)
    assert torch.equal(found.split.x, split.x[source])
    assert torch.equal(source[~found.mask], torch.arange(len(labels))[~found.mask])
    for row in found.mask.nonzero().flatten().tolist():
        own = int(source[row])
        assert split.y[own] == split.y[row] == 1 - found.split.y[row]
        alone = bool(found.mask[split.y == split.y[row]].all())
        assert own == row if alone else not found.mask[own]
    for label in (0, 1):
        copied = source[found.mask & (split.y == label)].tolist()
        clean = int((~found.mask & (split.y == label)).sum())
        if clean:
            counts = np.bincount(copied, minlength=1)
            assert counts.max() == math.ceil(len(copied) / clean)


@pytest.mark.parametrize("cls", [InstanceFlip, OutlierFlip, PairDuplicate, BoundaryFlip])
def test_states_that_are_not_held_are_flipped_as_if_they_were(cls, monkeypatch):
    monkeypatch.setattr("qlab.tasks.xxz.MOST_SPINS_HELD", 4)
    task = XXZ(length=6, gapless=(-0.5, 0.5, 0.1), gapped=(1.5, 2.5, 0.1))
    lazy = task.load().train
    assert isinstance(lazy.x, TiedFeatures)
    held = Split(lazy.x.dense(), lazy.y, lazy.about)
    fields = {"distance": "margin"} if cls is BoundaryFlip else {}
    streamed, dense = (cls(ratio=0.4, **fields).apply(split, task, generator(3)) for split in (lazy, held))
    assert torch.equal(streamed.mask, dense.mask)
    if cls is PairDuplicate:
        assert isinstance(streamed.split.x, ReplacedFeatures)
        assert torch.equal(streamed.split.x.dense(), dense.split.x)
    else:
        assert streamed.split.x is lazy.x


def test_kernel_and_projections_in_pieces(monkeypatch):
    monkeypatch.setattr("qlab.tasks.xxz.MOST_SPINS_HELD", 4)
    x = XXZ(length=6, gapless=(-0.5, 0.5, 0.2), gapped=(1.5, 2.5, 0.2)).load().train.x
    dense = x.dense()
    torch.testing.assert_close(kernel(x), (dense.conj() @ dense.mT).abs() ** 2, rtol=0, atol=1e-12)
    w = torch.randn(2, 64, generator=generator(0), dtype=torch.complex128)
    torch.testing.assert_close(projections(x, w), (dense @ w.conj().mT).abs() ** 2, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (LabelFlip(ratio=0.2), [50, 50]),
        (PairDuplicate(ratio=0.2), [50, 50]),
        (BoundaryFlip(ratio=0.2), [10, 10]),
        (OutlierFlip(ratio=0.2), [10, 10]),
        (InstanceFlip(ratio=0.2), [10, 10]),
        (ClassFlip(ratio=0.2, balance=1.0), [0, 50]),
        (ClassFlip(ratio=0.1, balance=-0.5), [50, 17]),
    ],
)
def test_rows_that_no_model_saw_are_corrupted_like_those_of_training(item, expected):
    """For membership inference: where rows are taken by what they are, only such rows are comparable."""
    split = split_of([0, 1] * 50)
    assert per_class(split, item.apply_to_unseen(split, TASK, generator(0)).mask) == expected
