"""Audits that take models: gradients with respect to features, relearning, and what models measure."""

from __future__ import annotations

import pytest
import torch

from qlab.audits import input_gradients, observable_overlap, relearning_curves
from qlab.errors import DataError
from qlab.losses import CrossEntropy
from qlab.models import MLP, Features, PauliLinear, PennyLaneQNN
from qlab.tasks import XXZ
from qlab.training import ensemble

TASK = XXZ(length=4, gapless=(-0.7, 0.7, 0.2), gapped=(1.3, 2.7, 0.2), validation=(-0.65, 2.65, 0.3))
MODELS = [MLP(hidden=(5,), dtype="float64"), PennyLaneQNN(depth=2, dtype="float64"), PauliLinear(sites=(0, 1))]


@pytest.fixture(scope="module")
def data():
    return TASK.load()


def built(model, data, seeds=(0, 1, 2)):
    model = model.build(Features.of(data))
    return model, ensemble.initial_parameters(model, list(seeds))


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_gradients_are_differences_of_the_loss(model, data):
    model, parameters = built(model, data)
    x, y = data.train.x[:4], data.train.y[:4]
    found = input_gradients(model, parameters, x, y, CrossEntropy())
    assert found.shape == (3, *x.shape)
    direction = torch.randn(x.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(0)) * (x != 0)
    for member in range(3):
        own = model.with_state(model.state_dict() | ensemble.member(parameters, member))

        def loss(rows, own=own):
            return torch.nn.functional.binary_cross_entropy_with_logits(
                own(own.prepare(rows)), y.double(), reduction="none"
            )

        step = 1e-6
        along = (loss(x + step * direction) - loss(x - step * direction)) / (2 * step)
        expected = (found[member].conj() * direction).real.sum(1)
        torch.testing.assert_close(expected, along.detach(), atol=1e-6, rtol=1e-4)


def test_a_device_that_does_not_differentiate_its_input_is_named(data):
    class Detached(MLP):
        def prepare(self, x):
            return super().prepare(x).detach()

    model, parameters = built(Detached(hidden=(3,)), data)
    with pytest.raises(DataError, match="Detached has no gradient with respect to its features"):
        input_gradients(model, parameters, data.train.x[:2], data.train.y[:2], CrossEntropy())


def test_relearning_is_adam_on_the_learned_rows(data):
    model, parameters = built(MLP(hidden=(5,), dtype="float64"), data, seeds=(3, 4))
    x, y = model.prepare(data.train.x), data.train.y
    learned, other = slice(0, 6), slice(6, 12)
    watched = {"known": (x[learned], y[learned]), "hidden": (x[other], y[other])}
    found = relearning_curves(model, parameters, (x[learned], y[learned]), watched, 5, 0.05)
    for member in range(2):
        own = model.with_state(model.state_dict() | ensemble.member(parameters, member))
        optimizer = torch.optim.Adam(own.parameters(), lr=0.05)
        for step in range(6):
            for name, (rows, labels) in watched.items():
                right = ((own(rows) > 0).long() == labels).double().mean()
                assert found[name][member, step] == pytest.approx(float(right))
            optimizer.zero_grad()
            torch.nn.functional.binary_cross_entropy_with_logits(own(x[learned]), y[learned].double()).backward()
            optimizer.step()


@pytest.mark.parametrize("model", MODELS[1:], ids=lambda model: type(model).__name__)
def test_logits_are_expectation_values_of_the_observable(model, data):
    model, parameters = built(model, data)
    own = model.with_state(model.state_dict() | ensemble.member(parameters, 0))
    coefficients, prepared = own.evolved_observable(), own.prepare(data.train.x)
    torch.testing.assert_close(own.scale * (prepared @ coefficients), own(prepared).detach())
    assert observable_overlap(coefficients[None].numpy(), -3.0 * coefficients[None].numpy()) == pytest.approx(-1.0)


def test_other_models_measure_no_observable(data):
    assert built(MODELS[0], data)[0].evolved_observable() is None
    device = PennyLaneQNN(depth=1, device="default.qubit")
    assert built(device, data, seeds=(0,))[0].evolved_observable() is None
