"""Which rows a corruption takes, and what it does to them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qlab.corruptions import Corrupted, FeatureRandomization, LabelFlip, NoCorruption
from qlab.errors import ConfigError, DataError
from qlab.tasks import XXZ, Split
from qlab.training import Member

LABELS = st.lists(st.integers(0, 1), min_size=1, max_size=60)
RATIOS = st.floats(0.0, 1.0)
SEEDS = st.integers(0, 2**31)
TASK = XXZ(length=4)


def split_of(labels):
    n = len(labels)
    x = torch.randn(n, 16, generator=torch.Generator().manual_seed(n), dtype=torch.complex128)
    return Split(x, torch.tensor(labels), {"row": torch.arange(n)})


def generator(seed):
    return torch.Generator().manual_seed(seed)


def per_class(split, mask):
    return [int((mask & (split.y == label)).sum()) for label in (0, 1)]


@settings(deadline=None)
@given(labels=LABELS, ratio=RATIOS, seed=SEEDS)
def test_mask_takes_the_ratio_of_rows_and_both_classes_equally(labels, ratio, seed):
    split = split_of(labels)
    mask = LabelFlip(ratio=ratio).choose_rows(split, generator(seed))
    assert (mask.shape, mask.dtype) == (split.y.shape, torch.bool)
    assert abs(int(mask.sum()) - ratio * len(split)) <= 1.0 + 1e-9
    taken, size = per_class(split, mask), torch.bincount(split.y, minlength=2).tolist()
    smaller = size.index(min(size))
    assert taken[0] == taken[1] or (taken[smaller] == size[smaller] and taken[1 - smaller] > taken[smaller])


@settings(deadline=None)
@given(labels=LABELS, seed=SEEDS)
def test_ratio_zero_takes_no_row_and_ratio_one_every_row(labels, seed):
    split = split_of(labels)
    assert not bool(LabelFlip(ratio=0.0).choose_rows(split, generator(seed)).any())
    assert bool(LabelFlip(ratio=1.0).choose_rows(split, generator(seed)).all())


@settings(deadline=None)
@given(labels=LABELS, ratios=st.tuples(RATIOS, RATIOS), seed=SEEDS)
def test_rows_of_a_smaller_ratio_are_among_those_of_a_larger_one(labels, ratios, seed):
    split = split_of(labels)
    small, large = (LabelFlip(ratio=ratio).choose_rows(split, generator(seed)) for ratio in sorted(ratios))
    assert bool((small <= large).all())


@pytest.mark.parametrize(
    ("zeros", "ones", "ratio", "expected"),
    [
        pytest.param(50, 50, 0.3, [15, 15], id="balanced"),
        pytest.param(97, 100, 0.1, [10, 10], id="default XXZ, 9.85 a class"),
        pytest.param(97, 100, 1.0, [97, 100], id="default XXZ, all"),
        pytest.param(5, 5, 0.5, [3, 3], id="half is rounded up"),
        pytest.param(2, 10, 0.5, [2, 4], id="small class exhausted"),
        pytest.param(0, 8, 0.5, [0, 4], id="one class only"),
        pytest.param(3, 2, 1.0, [3, 2], id="odd size, all"),
        pytest.param(100, 100, 0.001, [0, 0], id="less than half a row"),
    ],
)
def test_number_of_rows_of_each_class(zeros, ones, ratio, expected):
    split = split_of([0] * zeros + [1] * ones)
    assert per_class(split, LabelFlip(ratio=ratio).choose_rows(split, generator(0))) == expected


def test_every_row_of_a_class_is_equally_likely():
    split = split_of([0, 1, 0, 1, 1, 0, 1, 0])
    masks = torch.stack([LabelFlip(ratio=0.5).choose_rows(split, generator(seed)) for seed in range(2000)])
    frequency = masks.double().mean(0)
    torch.testing.assert_close(frequency, torch.full((8,), 0.5, dtype=torch.float64), atol=0.05, rtol=0)


@settings(deadline=None)
@given(labels=LABELS, ratio=RATIOS, seed=SEEDS)
def test_label_flip_inverts_the_labels_of_the_masked_rows_alone(labels, ratio, seed):
    split = split_of(labels)
    corrupted = LabelFlip(ratio=ratio).apply(split, TASK, generator(seed))
    expected = [1 - y if hit else y for y, hit in zip(labels, corrupted.mask.tolist(), strict=True)]
    assert corrupted.split.y.tolist() == expected
    assert corrupted.split.y.dtype == torch.int64
    assert corrupted.split.x is split.x
    assert corrupted.split.about is split.about
    assert corrupted.clean_y.tolist() == split.y.tolist() == labels


@settings(deadline=None, max_examples=50)
@given(labels=LABELS, ratio=RATIOS, seed=SEEDS)
def test_feature_randomization_replaces_the_masked_rows_alone(labels, ratio, seed):
    split = split_of(labels)
    before = split.x.clone()
    corrupted = FeatureRandomization(ratio=ratio).apply(split, TASK, generator(seed))
    x, mask = corrupted.split.x, corrupted.mask
    assert (x.shape, x.dtype) == (split.x.shape, torch.complex128)
    assert torch.equal(split.x, before)
    assert torch.equal(x[~mask], before[~mask])
    norms = torch.linalg.vector_norm(x[mask], dim=1)
    torch.testing.assert_close(norms, torch.ones_like(norms), atol=1e-12, rtol=0)
    assert bool((x[mask] != before[mask]).all())
    assert bool((x[mask].imag != 0).all())
    assert corrupted.split.y.tolist() == corrupted.clean_y.tolist() == labels


def test_both_corruptions_take_the_same_rows_from_the_same_generator():
    split = split_of([0, 1] * 10)
    flip = LabelFlip(ratio=0.4).apply(split, TASK, generator(5))
    randomized = FeatureRandomization(ratio=0.4).apply(split, TASK, generator(5))
    assert torch.equal(flip.mask, randomized.mask)


@pytest.mark.parametrize("cls", [LabelFlip, FeatureRandomization])
def test_the_generator_decides_everything(cls):
    split = split_of([0, 1] * 20)
    torch.manual_seed(0)
    first = cls(ratio=0.5).apply(split, TASK, generator(1))
    torch.manual_seed(1)
    again = cls(ratio=0.5).apply(split, TASK, generator(1))
    other = cls(ratio=0.5).apply(split, TASK, generator(2))
    assert torch.equal(first.mask, again.mask)
    assert torch.equal(first.split.x, again.split.x)
    assert torch.equal(first.split.y, again.split.y)
    assert not torch.equal(first.mask, other.mask)


def test_no_corruption_hands_over_the_split_itself():
    split = split_of([0, 1, 1])
    corrupted = NoCorruption().apply(split, TASK, generator(0))
    assert isinstance(corrupted, Corrupted)
    assert corrupted.split is split
    assert corrupted.mask.tolist() == [False] * 3
    assert corrupted.clean_y is split.y


@pytest.mark.parametrize(
    ("mask", "clean_y"),
    [
        (torch.tensor([0, 1, 1]), torch.tensor([0, 1, 1])),
        (torch.tensor([False, True]), torch.tensor([0, 1, 1])),
        (torch.tensor([False, True, False]), torch.tensor([0, 1])),
    ],
)
def test_a_mask_that_is_none_is_refused(mask, clean_y):
    """Whole numbers, for example, would pick rows by position wherever a mask is meant."""
    with pytest.raises(DataError, match=r"Corrupted: got a mask of .*, accepts a mask of torch\.bool and clean_y of 3"):
        Corrupted(split_of([0, 1, 1]), mask, clean_y)


class InPlace(LabelFlip):
    """Forgets to copy."""

    def apply(self, split, task, generator):
        mask = self.choose_rows(split, generator)
        clean = split.y.clone()
        split.y[mask] = 1 - split.y[mask]
        return Corrupted(split, mask, clean)


class ThroughNumPy(LabelFlip):
    """Forgets to copy, where PyTorch does not see it."""

    def apply(self, split, task, generator):
        mask = self.choose_rows(split, generator)
        split.y.numpy()[mask.numpy()] ^= 1
        return Corrupted(split, mask, split.y)


@pytest.mark.parametrize("cls", [InPlace, ThroughNumPy])
def test_a_corruption_that_writes_into_the_clean_split_is_refused(small_task, cls):
    dataset = small_task.load()
    with pytest.raises(ConfigError, match=rf"{cls.__name__}\.apply changes the clean split in place"):
        Member.of(small_task, dataset, cls(ratio=0.5), 0)


def test_no_corruption_refuses_a_ratio_and_names_the_alternatives():
    with pytest.raises(ConfigError, match=r"got 0\.2, accepts 0; name LabelFlip or FeatureRandomization"):
        NoCorruption(ratio=0.2)


@pytest.mark.parametrize("ratio", [-0.1, 1.0001, float("nan"), "0.3", True, None])
@pytest.mark.parametrize("cls", [LabelFlip, FeatureRandomization, NoCorruption])
def test_ratio_outside_zero_and_one_is_refused(cls, ratio):
    with pytest.raises(ConfigError, match=rf"{cls.__name__}: ratio: got .*, accepts a number in \[0, 1\]"):
        cls(ratio=ratio)


def test_only_feature_randomization_says_that_it_changes_features():
    assert FeatureRandomization.changes_features
    assert not LabelFlip.changes_features
    assert not NoCorruption.changes_features
