"""qlab's own metrics against scikit-learn, and against formulas written down here."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import balanced_accuracy_score, log_loss, roc_auc_score

from qlab.metrics import ROCAUC, BalancedAccuracy, CalibrationError, LogLoss, Rows
from qlab.tasks import Split

seeds = st.integers(0, 2**31)


def drawn(seed, n=60):
    generator = np.random.default_rng(seed)
    y = generator.integers(0, 2, n)
    y[:2] = 0, 1
    z = np.round(generator.normal(size=n) * 2 + y, 1)  # with ties
    return y, z


def value(metric, y, z):
    return metric.compute(
        torch.tensor(z, dtype=torch.float64), Rows.clean(Split(torch.zeros(len(y), 1), torch.tensor(y)))
    )


@settings(deadline=None)  # scikit-learn is imported by the first
@given(seeds)
def test_balanced_accuracy_roc_auc_and_log_loss_are_scikit_learns(seed):
    y, z = drawn(seed)
    p = 1.0 / (1.0 + np.exp(-z))
    assert value(BalancedAccuracy(), y, z) == pytest.approx(balanced_accuracy_score(y, z > 0), rel=1e-12)
    assert value(ROCAUC(), y, z) == pytest.approx(roc_auc_score(y, z), rel=1e-12)
    assert value(LogLoss(), y, z) == pytest.approx(log_loss(y, p), rel=1e-12)


@given(seeds, st.integers(1, 20))
def test_calibration_error_is_the_mean_gap_of_scikit_learns_calibration_curve(seed, bins):
    y, z = drawn(seed)
    p = 1.0 / (1.0 + np.exp(-z))
    frequency, mean = calibration_curve(y, p, n_bins=bins)
    counts = np.bincount(np.searchsorted(np.linspace(0.0, 1.0, bins + 1)[1:-1], p), minlength=bins)
    expected = (counts[counts > 0] / len(y) * np.abs(frequency - mean)).sum()
    assert value(CalibrationError(bins=bins), y, z) == pytest.approx(expected, abs=1e-12)


def test_calibration_error_by_hand():
    # Two bins: p = 1/4, 1/4 with labels 0, 1 and p = 3/4 with label 1.
    z = np.log([1 / 3, 1 / 3, 3.0])
    assert value(CalibrationError(bins=2), np.array([0, 1, 1]), z) == pytest.approx((2 * 0.25 + 0.25) / 3)


def test_a_probability_of_one_falls_into_the_last_bin():
    assert value(CalibrationError(), np.array([1, 0]), np.array([800.0, -800.0])) == 0.0


def test_log_loss_of_a_confident_mistake_is_not_clipped():
    assert value(LogLoss(), np.array([0]), np.array([500.0])) == pytest.approx(500.0)


def test_rows_without_a_logit_count_as_wrong():
    assert value(BalancedAccuracy(), np.array([0, 0, 1, 1]), np.array([math.nan, -1.0, math.nan, 1.0])) == 0.5


@pytest.mark.parametrize("metric", [BalancedAccuracy(), ROCAUC()])
def test_one_class_has_no_value(metric):
    assert math.isnan(value(metric, np.array([1, 1]), np.array([0.5, -0.5])))


def test_infinite_logits_are_ranked():
    assert value(ROCAUC(), np.array([0, 1, 0]), np.array([-math.inf, math.inf, 0.0])) == 1.0
