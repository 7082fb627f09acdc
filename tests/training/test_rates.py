"""Learning rates are those of torch.optim.lr_scheduler, epoch by epoch."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim import lr_scheduler

from qlab.training.rates import Rate


def of_torch(make, epochs, initial):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=initial)
    scheduler = make(optimizer)
    found = []
    for _ in range(epochs):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


@settings(deadline=None, max_examples=30)
@given(
    initial=st.floats(1e-5, 10.0),
    epochs=st.integers(1, 60),
    step_epochs=st.integers(1, 70),
    step_factor=st.floats(0.05, 1.0),
)
def test_rates_are_those_of_torch(initial, epochs, step_epochs, step_factor):
    references = {
        "constant": lambda optimizer: lr_scheduler.ConstantLR(optimizer, factor=1.0),
        "cosine": lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs),
        "step": lambda optimizer: lr_scheduler.StepLR(optimizer, step_size=step_epochs, gamma=step_factor),
    }
    for name, make in references.items():
        rate = Rate(initial, epochs, name, step_epochs, step_factor)
        found = [rate.of(epoch) for epoch in range(1, epochs + 1)]
        assert found == pytest.approx(of_torch(make, epochs, initial), rel=1e-12, abs=1e-12)
        assert found[0] == initial
        assert all(one >= other > 0.0 for one, other in itertools.pairwise([*found, 1e-300]))


def test_cosine_is_half_in_the_middle():
    assert Rate(0.2, 10, "cosine").of(6) == pytest.approx(0.1)
