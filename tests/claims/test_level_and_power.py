"""That tests keep their level with few seeds, and find what is there: simulated, and against SciPy's own."""

from __future__ import annotations

import re

import numpy as np
import pytest
from scipy import stats

from qlab.claims import Claim, ClaimTable
from qlab.claims.effects import Effect
from qlab.claims.outlook import foreseen
from qlab.claims.power import detectable, detectable_within, needed, power, power_within
from qlab.claims.tests import least_p, p_greater

TESTS = ("t", "bootstrap", "permutation", "wilcoxon")
LEVEL = 0.05


def supported(rng, trials, n, shift, test):
    """How often a difference of paired normal values is found above a margin, if it is so many deviations beyond."""
    pairs = rng.normal(size=(trials, 2, n)) / np.sqrt(2.0)  # differences of deviation one
    margin = 0.3
    return np.mean([Effect(a + margin + shift, b, test=test).p_above(margin) <= LEVEL for a, b in pairs])


def test_one_standard_deviation_is_found_at_ten_pairs_in_four_of_five_cases():
    assert supported(np.random.default_rng(1), 4000, 10, 1.0, "t") == pytest.approx(0.898, abs=0.02)  # noncentral t


@pytest.mark.parametrize("n", [2, 3, 5, 10])
@pytest.mark.parametrize("test", TESTS)
def test_a_true_null_is_supported_in_one_of_twenty_cases_at_most(test, n):
    trials = 400 if test == "bootstrap" else 2000
    found = supported(np.random.default_rng(2), trials, n, 0.0, test)
    assert found <= LEVEL + 3.0 * np.sqrt(LEVEL * (1 - LEVEL) / trials)


@pytest.mark.parametrize("test", TESTS)
def test_two_groups_of_different_spread_keep_the_level(test):
    trials = 150 if test in ("bootstrap", "permutation") else 1000
    rng = np.random.default_rng(3)
    found = [p_greater(test, rng.normal(size=6), rng.normal(0.0, 1.5, size=6)) <= LEVEL for _ in range(trials)]
    assert np.mean(found) <= LEVEL + 0.01 + 3.0 * np.sqrt(LEVEL * (1 - LEVEL) / trials)


@pytest.mark.parametrize("test", TESTS)
def test_ten_pairs_find_one_standard_deviation_by_every_test(test):
    assert supported(np.random.default_rng(4), 300, 10, 1.0, test) >= 0.8


def test_t_is_scipys():
    rng = np.random.default_rng(5)
    x, y = rng.normal(0.3, 1.0, 7), rng.normal(0.0, 2.0, 4)
    assert p_greater("t", x) == pytest.approx(stats.ttest_1samp(x, 0.0, alternative="greater").pvalue, rel=1e-12)
    welch = stats.ttest_ind(x, y, equal_var=False, alternative="greater").pvalue
    assert p_greater("t", x, y) == pytest.approx(welch, rel=1e-12)


def test_permutation_and_wilcoxon_are_scipys_exact_ones():
    x = np.random.default_rng(6).normal(0.4, 1.0, 8)
    signs = stats.permutation_test((x,), np.mean, permutation_type="samples", alternative="greater", n_resamples=10_000)
    assert p_greater("permutation", x) == pytest.approx(signs.pvalue)
    exact = stats.wilcoxon(x, alternative="greater", method="exact").pvalue
    assert p_greater("wilcoxon", x) == pytest.approx(exact)


def test_more_than_twelve_values_are_permuted_at_random_and_never_have_p_zero():
    x = np.full(20, 1.0) + np.linspace(0.0, 0.1, 20)
    assert p_greater("permutation", x) == pytest.approx(1e-4)
    assert p_greater("wilcoxon", x) == pytest.approx(1e-4)


@pytest.mark.parametrize("test", TESTS)
def test_values_without_spread_have_the_sign_tests_p(test):
    assert p_greater(test, np.full(5, 0.02)) == pytest.approx(1 / 32)
    assert p_greater(test, np.full(5, 0.0)) == 1.0
    assert p_greater(test, np.full(5, -0.02)) == 1.0
    assert p_greater(test, np.full(3, 1.0), np.full(3, 0.5)) == pytest.approx(1 / 20)
    assert p_greater(test, np.full(3, 0.1 + 0.2), np.full(3, 0.3)) == 1.0  # rounding is no difference


def test_least_p_is_reached():
    x = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    for test in ("permutation", "wilcoxon"):
        assert p_greater(test, x) == pytest.approx(least_p(test, 5, paired=True)) == 1 / 32
        assert p_greater(test, x + 10.0, x) == pytest.approx(least_p(test, 5, paired=False)) == pytest.approx(1 / 252)


def test_power_is_that_of_a_simulation():
    rng = np.random.default_rng(7)
    x = rng.normal(0.8, 1.0, (20_000, 6))
    t = x.mean(1) / (x.std(1, ddof=1) / np.sqrt(6))
    assert power(0.8, 6, 0.05) == pytest.approx(np.mean(t > stats.t.isf(0.05, 5)), abs=0.01)
    a, b = rng.normal(1.2, 1.0, (20_000, 6)), rng.normal(0.0, 1.0, (20_000, 6))
    t = (a.mean(1) - b.mean(1)) / np.sqrt((a.var(1, ddof=1) + b.var(1, ddof=1)) / 6)
    effect = 1.2 / np.sqrt(2.0)
    assert power(effect, 6, 0.05, paired=False) == pytest.approx(np.mean(t > stats.t.isf(0.05, 10)), abs=0.01)


def test_needed_is_the_least_number_with_power():
    n = needed(0.5, 0.05)
    assert n == 27  # Cohen's tables for one-sided t at 0.8
    assert power(0.5, n, 0.05) >= 0.8 > power(0.5, n - 1, 0.05)
    assert needed(0.0, 0.05) is None
    assert needed(1e-3, 0.05) is None
    assert needed(5.0, 0.05) <= 3
    assert needed(0.5, 0.05, other=0.5) > n


def test_detectable_is_found_with_power():
    for paired in (True, False):
        assert power(detectable(5, 0.05, paired=paired), 5, 0.05, paired=paired) == pytest.approx(0.8, abs=1e-4)


@pytest.mark.parametrize("n", [3, 8])
@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("statement", ["above", "within"])
def test_announced_power_is_that_of_a_simulation(statement, paired, n):
    table = ClaimTable(text="It holds", metric="train_loss", statement=statement, margin=0.5, paired=paired)
    said = foreseen(Claim(table, {"model.type": "MLP"}, {"model.type": "SVC"}), n, 1)
    effect = float(re.search(r"(\d+\.\d) (s\.d\.|times)", said)[1])
    unit = "s.d. of the paired differences" if paired else "times the root of the sum of both groups' variances"
    assert unit in said
    rng, trials = np.random.default_rng(8), 20_000
    shift, margin = (0.0, effect) if statement == "within" else (0.5 + effect, 0.5)
    a, b = rng.normal(shift, 0.5**0.5, (trials, n)), rng.normal(0.0, 0.5**0.5, (trials, n))  # the unit is 1
    variances = (a - b).var(1, ddof=1) if paired else a.var(1, ddof=1) + b.var(1, ddof=1)
    mean, reach = (a - b).mean(1), stats.t.isf(0.05, n - 1 if paired else 2 * n - 2) * np.sqrt(variances / n)
    found = mean - reach > margin
    if statement == "within":
        found = (mean - reach > -margin) & (mean + reach < margin)
        assert "80 % power for a true difference of 0 if the margin is" in said
    assert np.mean(found) == pytest.approx(0.8, abs=0.05)  # the effect has one digit behind the point


def test_a_margin_within_which_many_seeds_find_nothing_is_small():
    assert power_within(detectable_within(400, 0.05), 400, 0.05) == pytest.approx(0.8, abs=1e-4)
    z = stats.norm.isf(0.05) + stats.norm.isf(0.1)  # of the normal distribution
    assert detectable_within(400, 0.05) == pytest.approx(z / 20.0, rel=0.01)
