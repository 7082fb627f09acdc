"""The losses that unlearning methods are made of, against torch.distributions and against exact arithmetic."""

from __future__ import annotations

import math

import mpmath
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Bernoulli
from torch.distributions import kl_divergence as torch_kl

from qlab.unlearning import cross_entropy, kl_divergence

EPSILON = {torch.float32: 2.0**-23, torch.float64: 2.0**-52}

dtypes = pytest.mark.parametrize("dtype", EPSILON, ids=["float32", "float64"])
quick = settings(max_examples=60, deadline=None)
logit = st.floats(-80.0, 80.0)
pairs = st.lists(st.tuples(st.floats(-30.0, 30.0), st.floats(-30.0, 30.0)), min_size=1, max_size=6)


def column(rows, index, dtype=torch.float64):
    return torch.tensor([row[index] for row in rows], dtype=dtype)


def exact_kl(z, reference):
    """KL(q || p) of two logits with fifty digits."""
    with mpmath.workdps(50):
        z, reference = mpmath.mpf(z), mpmath.mpf(reference)
        p, q = 1 / (1 + mpmath.exp(-z)), 1 / (1 + mpmath.exp(-reference))
        not_p, not_q = 1 / (1 + mpmath.exp(z)), 1 / (1 + mpmath.exp(reference))
        return float(q * mpmath.log(q / p) + not_q * mpmath.log(not_q / not_p))


def rounding(dtype, *logits):
    """What four roundings of the largest intermediate amount to."""
    return 4.0 * EPSILON[dtype] * max(1.0, *(abs(value) for value in logits))


@quick
@given(pairs)
def test_kl_divergence_is_that_of_two_bernoulli_distributions(rows):
    z, reference = column(rows, 0), column(rows, 1)
    expected = torch_kl(Bernoulli(logits=reference), Bernoulli(logits=z)).mean()
    # torch.distributions takes softplus(20) for 20, which is off by 2e-9.
    torch.testing.assert_close(kl_divergence(z, reference), expected, atol=1e-8, rtol=0)


@dtypes
@quick
@given(logit, logit)
def test_kl_divergence_is_exact_to_rounding(dtype, z, reference):
    z, reference = torch.tensor([z], dtype=dtype), torch.tensor([reference], dtype=dtype)
    expected = exact_kl(z.item(), reference.item())
    found = kl_divergence(z, reference).item()
    assert found == pytest.approx(expected, rel=0, abs=rounding(dtype, z.item(), reference.item()))


@dtypes
@quick
@given(logit, st.sampled_from([0.0, 1e-6, -1e-3, 1.0, -10.0, 60.0]))
def test_kl_divergence_is_never_negative_beyond_rounding(dtype, reference, shift):
    z = torch.tensor([reference + shift], dtype=dtype)
    found = kl_divergence(z, torch.tensor([reference], dtype=dtype)).item()
    assert found >= -rounding(dtype, reference, reference + shift)


def test_kl_divergence_takes_the_reference_as_the_first_distribution():
    z, reference = torch.tensor([0.0], dtype=torch.float64), torch.tensor([math.log(3.0)], dtype=torch.float64)
    # q = 3/4 and p = 1/2.
    expected = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    assert kl_divergence(z, reference).item() == pytest.approx(expected, abs=1e-15)
    assert kl_divergence(reference, z).item() != pytest.approx(expected, abs=1e-3)


@dtypes
@pytest.mark.parametrize("z", [-1e30, -1e4, 0.0, 1e4, 1e30])
@pytest.mark.parametrize("reference", [-1e30, -1e4, 0.0, 1e4, 1e30])
def test_values_and_gradients_of_large_logits_are_finite(dtype, z, reference):
    student = torch.tensor([z], dtype=dtype, requires_grad=True)
    value = kl_divergence(student, torch.tensor([reference], dtype=dtype))
    value.backward()
    assert math.isfinite(value.item())
    expected = float(z > 0) + 0.5 * (z == 0) - (float(reference > 0) + 0.5 * (reference == 0))
    assert student.grad.item() == pytest.approx(expected, abs=1e-6)


@quick
@given(pairs)
def test_the_gradient_of_kl_divergence_is_the_difference_of_probabilities(rows):
    z, reference = column(rows, 0).requires_grad_(), column(rows, 1)
    kl_divergence(z, reference).backward()
    expected = (z.detach().sigmoid() - reference.sigmoid()) / len(rows)
    torch.testing.assert_close(z.grad, expected, atol=1e-14, rtol=0)


@dtypes
def test_a_student_that_equals_its_teacher_has_no_divergence_and_no_gradient(dtype):
    teacher = torch.linspace(-30, 30, 501, dtype=dtype)
    student = teacher.clone().requires_grad_()
    value = kl_divergence(student, teacher)
    value.backward()
    assert value.item() == 0.0
    assert float(student.grad.abs().max()) == 0.0


@dtypes
def test_it_has_none_on_the_ensemble_axis_either(dtype):
    """Where vmap traces it: derivatives that PyTorch puts together itself leave rounding errors there."""
    teacher = torch.linspace(-30, 30, 600, dtype=dtype).reshape(3, 200)
    student = teacher.clone().requires_grad_()
    values = torch.vmap(kl_divergence)(student, teacher)
    values.sum().backward()
    assert values.tolist() == [0.0, 0.0, 0.0]
    assert float(student.grad.abs().max()) == 0.0


@quick
@given(pairs)
def test_first_and_second_derivatives_are_those_of_central_differences(rows):
    z, reference = column(rows, 0).requires_grad_(), column(rows, 1).requires_grad_()
    assert torch.autograd.gradcheck(kl_divergence, (z, reference), atol=1e-4)
    assert torch.autograd.gradgradcheck(kl_divergence, (z, reference), atol=1e-4)


@quick
@given(pairs)
def test_forward_mode_agrees_with_backward_mode(rows):
    z, reference = column(rows, 0), column(rows, 1)
    backward = torch.func.jacrev(kl_divergence, argnums=(0, 1))(z, reference)
    for argument, expected in enumerate(backward):
        found = torch.func.jacfwd(kl_divergence, argnums=argument)(z, reference)
        torch.testing.assert_close(found, expected, atol=1e-13, rtol=0)


@quick
@given(st.lists(st.tuples(logit, st.sampled_from([0.0, 1.0])), min_size=1, max_size=6))
def test_cross_entropy_is_minus_the_mean_log_probability_of_the_labels(rows):
    z, y = column(rows, 0), column(rows, 1)
    torch.testing.assert_close(cross_entropy(z, y), -Bernoulli(logits=z).log_prob(y).mean(), atol=1e-12, rtol=1e-12)


def test_cross_entropy_by_hand():
    z, y = torch.tensor([math.log(4.0), math.log(4.0)], dtype=torch.float64), torch.tensor([1.0, 0.0]).double()
    found = cross_entropy(z, y)
    assert found.shape == ()
    assert found.item() == pytest.approx(-(math.log(0.8) + math.log(0.2)) / 2, abs=1e-15)


def test_cross_entropy_of_large_logits_is_finite():
    z = torch.tensor([1e4, -1e4], dtype=torch.float32, requires_grad=True)
    value = cross_entropy(z, torch.tensor([0.0, 1.0]))
    value.backward()
    assert value.item() == pytest.approx(1e4)
    assert bool(z.grad.isfinite().all())
