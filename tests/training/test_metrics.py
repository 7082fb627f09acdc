"""Metrics against their definitions, written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qlab.corruptions import FeatureRandomization, LabelFlip, NoCorruption
from qlab.models import MLP, Features, PennyLaneQNN
from qlab.training import Member
from qlab.training.data import prepare
from qlab.training.ensemble import initial_parameters
from qlab.training.metrics import CROSS_ENTROPY, accuracy, evaluate, mean_loss

LOGITS = hnp.arrays(np.float64, (3, 5), elements=st.floats(-30, 30))
LABELS = hnp.arrays(np.int64, (3, 5), elements=st.integers(0, 1))


def plain_loss(z, y):
    p = 1.0 / (1.0 + np.exp(-z))
    return -(y * np.log(p) + (1 - y) * np.log1p(-p)).mean(-1)


@settings(deadline=None)
@given(z=LOGITS, y=LABELS)
def test_loss_is_the_mean_binary_cross_entropy(z, y):
    found = mean_loss(CROSS_ENTROPY, torch.from_numpy(z), torch.from_numpy(y).double())
    np.testing.assert_allclose(found.numpy(), plain_loss(z, y), rtol=1e-3, atol=1e-12)


def test_loss_equals_that_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    z = torch.linspace(-4, 4, 9, dtype=torch.float64)
    y = torch.tensor([0, 1, 0, 0, 1, 1, 0, 1, 1])
    assert float(mean_loss(CROSS_ENTROPY, z, y.double())) == pytest.approx(
        metrics.log_loss(y, torch.sigmoid(z)), abs=1e-12
    )
    assert float(accuracy(z, y.double())) == pytest.approx(metrics.accuracy_score(y, torch.sigmoid(z) > 0.5))


def test_loss_is_exact_for_large_logits():
    z = torch.tensor([1000.0, -1000.0], dtype=torch.float64)
    assert float(mean_loss(CROSS_ENTROPY, z, torch.tensor([1.0, 0.0]))) == 0.0
    assert float(mean_loss(CROSS_ENTROPY, z, torch.tensor([0.0, 1.0]))) == 1000.0


@settings(deadline=None)
@given(z=LOGITS, y=LABELS, where=hnp.arrays(np.bool_, (3, 5)))
def test_accuracy_counts_rows_where_the_sign_of_the_logit_is_the_label(z, y, where):
    found = accuracy(torch.from_numpy(z), torch.from_numpy(y).double(), torch.from_numpy(where))
    for row in range(3):
        kept = [(z[row, n] > 0) == (y[row, n] == 1) for n in range(5) if where[row, n]]
        expected = float(np.mean(kept)) if kept else math.nan
        assert float(found[row]) == pytest.approx(expected, nan_ok=True)
    everywhere = accuracy(torch.from_numpy(z), torch.from_numpy(y).double())
    np.testing.assert_allclose(everywhere.numpy(), ((z > 0) == (y == 1)).mean(-1))


def test_a_logit_of_nan_is_wrong_whatever_the_label():
    z = torch.tensor([math.nan, math.nan, 1.0, -1.0])
    assert float(accuracy(z, torch.tensor([0.0, 1.0, 1.0, 0.0]))) == 0.5


@pytest.mark.parametrize("corruption", [LabelFlip, FeatureRandomization], ids=lambda cls: cls.__name__)
@pytest.mark.parametrize(
    "model", [MLP(hidden=(5,), dtype="float64"), PennyLaneQNN(depth=2, initial_scale=1.0)], ids=["MLP", "QNN"]
)
def test_metrics_of_an_ensemble_are_those_of_its_members_by_hand(small_task, small_data, corruption, model):
    """Ratios 0, one half and 1: nothing, some, and everything corrupted."""
    corruptions = [corruption(ratio=ratio) for ratio in (0.0, 0.5, 1.0)]
    members = [Member.of(small_task, small_data, item, seed) for seed, item in enumerate(corruptions)]
    built = model.build(Features.of(small_data, corruptions[0]))
    parameters = initial_parameters(built, [0, 1, 2])
    data = prepare(built, members, small_data.validation, torch.device("cpu"))
    found, z = evaluate(built, parameters, data)
    assert z.shape == (3, 16 + 12)
    for index, member in enumerate(members):
        with torch.no_grad():
            for name, parameter in built.named_parameters():
                parameter.copy_(parameters[name][index])
            train = built(built.prepare(member.corrupted.split.x)).numpy()
            validation = built(built.prepare(small_data.validation.x)).numpy()
        np.testing.assert_allclose(z[index].numpy(), np.concatenate([train, validation]), atol=1e-12)
        polluted, clean = member.corrupted.split.y.numpy(), small_data.train.y.numpy()
        forget, validation_y = member.corrupted.mask.numpy(), small_data.validation.y.numpy()
        right_polluted, right_clean = (train > 0) == (polluted == 1), (train > 0) == (clean == 1)
        expected = {
            "train_loss": plain_loss(train, polluted),
            "train_accuracy": right_polluted.mean(),
            "validation_loss": plain_loss(validation, validation_y),
            "validation_accuracy": ((validation > 0) == (validation_y == 1)).mean(),
            "retain_loss": plain_loss(train[~forget], polluted[~forget]) if not forget.all() else math.nan,
            "retain_accuracy": right_polluted[~forget].mean() if not forget.all() else math.nan,
            "forget_accuracy_polluted": right_polluted[forget].mean() if forget.any() else math.nan,
            "forget_accuracy_clean": right_clean[forget].mean() if forget.any() else math.nan,
        }
        assert {name: float(values[index]) for name, values in found.items()} == pytest.approx(expected, nan_ok=True)
        assert {values.dtype for values in found.values()} == {torch.float64}


def test_forget_accuracies_of_flipped_labels_add_up_to_one(small_task, small_data):
    members = [Member.of(small_task, small_data, LabelFlip(ratio=0.5), seed) for seed in range(3)]
    model = MLP(hidden=(4,)).build(Features.of(small_data))
    data = prepare(model, members, small_data.validation, torch.device("cpu"))
    found, _ = evaluate(model, initial_parameters(model, [0, 1, 2]), data)
    total = found["forget_accuracy_polluted"] + found["forget_accuracy_clean"]
    assert total.tolist() == [1.0] * 3


def test_without_corruption_forget_accuracies_are_nan_and_retain_accuracy_that_of_training(small_task, small_data):
    member = Member.of(small_task, small_data, NoCorruption(), 0)
    model = MLP(hidden=(4,)).build(Features.of(small_data))
    data = prepare(model, [member], small_data.validation, torch.device("cpu"))
    found, _ = evaluate(model, initial_parameters(model, [0]), data)
    assert math.isnan(float(found["forget_accuracy_polluted"]))
    assert math.isnan(float(found["forget_accuracy_clean"]))
    assert torch.equal(found["retain_accuracy"], found["train_accuracy"])
