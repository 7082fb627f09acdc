"""Every loss against its paper's formula for K classes, written down here with K = 2; gradients against differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qlab.errors import ConfigError
from qlab.losses import (
    CrossEntropy,
    ForwardCorrection,
    GeneralizedCrossEntropy,
    MeanAbsoluteError,
    SymmetricCrossEntropy,
)
from qlab.losses.checks import check_loss

LOGITS = np.linspace(-12.0, 12.0, 97)

Array = NDArray[np.float64]


def softmax(z: Array) -> Array:
    """The probabilities of both classes, ``[n, 2]``: a logit is the difference of two scores."""
    scores = np.stack([np.zeros_like(z), z], axis=1)
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def one_hot(y: Array) -> Array:
    return np.eye(2)[y.astype(int)]


def cross_entropy(z, y, smoothing=0.0):
    """Szegedy et al., Sec. 7: H(q', p) with q' = (1 - e) q + e u, u uniform over the classes."""
    q = (1 - smoothing) * one_hot(y) + smoothing / 2
    return -(q * np.log(softmax(z))).sum(1)


def generalized(z, y, q):
    """Zhang and Sabuncu, Eq. 6: (1 - f_j(x)^q) / q, j the label."""
    return (1 - (softmax(z) * one_hot(y)).sum(1) ** q) / q


def symmetric(z, y, alpha, beta, log_zero):
    """Wang et al., Eqs. 5 to 7: alpha H(q, p) + beta H(p, q), with log 0 = A."""
    q, p = one_hot(y), softmax(z)
    log_q = np.where(q > 0, np.log(np.where(q > 0, q, 1.0)), log_zero)
    return -alpha * (q * np.log(p)).sum(1) - beta * (p * log_q).sum(1)


def absolute(z, y):
    """Ghosh et al., Sec. 2: |e_j - u|_1."""
    return np.abs(one_hot(y) - softmax(z)).sum(1)


def forward(z, y, flip_rates):
    """Patrini et al., Theorem 2: l(T^t p(y | x)), l the cross-entropy, T_ij = p(label j | class i)."""
    noise = np.array([[1 - flip_rates[0], flip_rates[0]], [flip_rates[1], 1 - flip_rates[1]]])
    return -np.log(((softmax(z) @ noise) * one_hot(y)).sum(1))


CASES = [
    pytest.param(CrossEntropy(), cross_entropy, id="cross-entropy"),
    pytest.param(CrossEntropy(label_smoothing=0.2), lambda z, y: cross_entropy(z, y, 0.2), id="label smoothing"),
    *(
        pytest.param(GeneralizedCrossEntropy(q=q), lambda z, y, q=q: generalized(z, y, q), id=f"generalized {q}")
        for q in (0.01, 0.7, 1.0)
    ),
    pytest.param(
        SymmetricCrossEntropy(alpha=0.3, beta=0.7, log_zero=-6.0),
        lambda z, y: symmetric(z, y, 0.3, 0.7, -6.0),
        id="symmetric",
    ),
    pytest.param(MeanAbsoluteError(), absolute, id="mean absolute error"),
    *(
        pytest.param(ForwardCorrection(flip_rates=rates), lambda z, y, rates=rates: forward(z, y, rates), id=f"{rates}")
        for rates in ((0.2, 0.3), (0.0, 0.4), (0.0, 0.0), (0.0, 0.99))
    ),
]


@pytest.mark.parametrize(("loss", "formula"), CASES)
def test_values_are_those_of_the_paper(loss, formula):
    z = np.concatenate([LOGITS, LOGITS])
    y = np.repeat([0.0, 1.0], len(LOGITS))
    found = loss(torch.from_numpy(z), torch.from_numpy(y)).numpy()
    np.testing.assert_allclose(found, formula(z, y), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(("loss", "formula"), CASES)
@settings(deadline=None, max_examples=25)
@given(z=st.floats(-8.0, 8.0), label=st.sampled_from([0.0, 1.0]))
def test_gradients_are_those_of_the_formula(loss, formula, z, label):
    """Against central differences of the formula, and against qlab's closed forms, where there are any."""
    step, y = 1e-5, np.array([label])
    expected = (formula(np.array([z + step]), y) - formula(np.array([z - step]), y)) / (2 * step)
    leaf = torch.tensor([z], dtype=torch.float64, requires_grad=True)
    [found] = torch.autograd.grad(loss(leaf, torch.from_numpy(y)).sum(), leaf)
    assert float(found) == pytest.approx(float(expected[0]), abs=2e-8)
    assert float(loss.derivatives(leaf, torch.from_numpy(y))[0]) == pytest.approx(float(found), abs=1e-12)


@pytest.mark.parametrize(("loss", "formula"), CASES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_models_that_are_sure_get_finite_numbers(loss, formula, dtype):
    z = torch.tensor([-1e4, -200.0, 200.0, 1e4, -1e4, -200.0, 200.0, 1e4], dtype=dtype)
    y = torch.tensor([0.0] * 4 + [1.0] * 4, dtype=dtype)
    first, second = loss.derivatives(z, y)
    for values in (loss(z, y), first, second):
        assert bool(torch.isfinite(values).all())


def test_losses_are_between_their_limits():
    z = torch.from_numpy(LOGITS)
    for y in (torch.zeros_like(z), torch.ones_like(z)):
        plain = CrossEntropy()(z, y)
        torch.testing.assert_close(GeneralizedCrossEntropy(q=1e-9)(z, y), plain, rtol=1e-6, atol=1e-7)
        torch.testing.assert_close(2 * GeneralizedCrossEntropy(q=1.0)(z, y), MeanAbsoluteError()(z, y))
        torch.testing.assert_close(ForwardCorrection(flip_rates=(0.0, 0.0))(z, y), plain)


@settings(deadline=None, max_examples=30)
@given(p=st.floats(0.01, 0.99), r0=st.floats(0.0, 0.49), r1=st.floats(0.0, 0.49))
def test_forward_correction_is_least_where_the_model_is_right(p, r0, r1):
    """On noisy labels: of rows whose clean label is 1 with chance p, the expected loss has its minimum at that p."""
    noisy = p * (1 - r1) + (1 - p) * r0
    z = torch.linspace(-6.0, 6.0, 4801, dtype=torch.float64)
    loss = ForwardCorrection(flip_rates=(r0, r1))
    expected = noisy * loss(z, torch.ones_like(z)) + (1 - noisy) * loss(z, torch.zeros_like(z))
    assert float(torch.sigmoid(z[expected.argmin()])) == pytest.approx(p, abs=0.01)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GeneralizedCrossEntropy(q=0.0), r"q: got 0\.0, accepts a number in \(0, 1\]"),
        (lambda: GeneralizedCrossEntropy(q=1.5), r"q: got 1\.5, accepts a number in \(0, 1\]"),
        (lambda: GeneralizedCrossEntropy(q="big"), r'q: got "big", accepts a number'),
        (lambda: CrossEntropy(label_smoothing=1.0), r"label_smoothing: got 1\.0, accepts a number in \[0, 1\)"),
        (lambda: ForwardCorrection(flip_rates=(0.5, 0.5)), r"flip_rates: got \[0\.5, 0\.5\], .* sum is below 1"),
        (lambda: ForwardCorrection(flip_rates=(-0.1, 0.5)), r"flip_rates: got \[-0\.1, 0\.5\], accepts a list"),
        (lambda: ForwardCorrection(flip_rates=0.2), r"flip_rates: got 0\.2, accepts a list \[a number in \[0, 1\]"),
        (lambda: ForwardCorrection(), "flip_rates"),
        (lambda: SymmetricCrossEntropy(alpha=0.0, beta=0.0), "alpha: got 0 for both alpha and beta"),
        (lambda: SymmetricCrossEntropy(log_zero=0.0), r"log_zero: got 0\.0, accepts a number below 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(make, message):
    with pytest.raises((ConfigError, TypeError), match=message):
        make()


class Focal(CrossEntropy):
    """Focal loss.

    Args:
        gamma: focus.
    """

    gamma: float = 2.0

    def __call__(self, logits, y):
        found = super().__call__(logits, y)
        return (1.0 - torch.exp(-found)) ** self.gamma * found


def test_a_subclass_of_cross_entropy_has_the_derivatives_of_its_own_formula():
    z = torch.tensor([-2.0, -0.3, 0.4, 3.0], dtype=torch.float64)
    one = torch.ones_like(z)
    p = torch.sigmoid(z)  # for label 1: l = -(1 - p)^2 log p, whose derivative in z is written out here
    first = (1 - p) ** 2 * (2 * p * p.log() - (1 - p))
    found = Focal().derivatives(z, one)
    torch.testing.assert_close(found[0], first)
    h = 1e-5
    up, down = (Focal().derivatives(z + step, one)[0] for step in (h, -h))
    torch.testing.assert_close(found[1], (up - down) / (2 * h), rtol=1e-6, atol=1e-8)
    check_loss(Focal(), torch.float32)
