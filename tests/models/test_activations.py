"""The MLP's activations: those of PyTorch's layers, in every way that logits are computed."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from qlab.corruptions import FeatureRandomization
from qlab.fields import identity_of
from qlab.models import MLP, Features
from qlab.training import Member
from qlab.training.ensemble import initial_parameters, logits, member

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_logits_are_those_of_pytorchs_layers(small_task, small_data, name):
    corruption = FeatureRandomization(ratio=0.5)  # some inputs are only used by corrupted rows
    model = MLP(hidden=(5, 3), activation=name, dtype="float64").build(Features.of(small_data, corruption))
    x = model.prepare(Member.of(small_task, small_data, corruption, 0).corrupted.split.x)
    assert model.marked
    parameters = initial_parameters(model, (0, 1))
    found = logits(model, parameters, x, shared=True)
    for index in (0, 1):
        own = member(parameters, index)
        layers: list[nn.Module] = []
        for layer in range(3):
            kernel = own[f"kernels.{layer}"]
            linear = nn.Linear(*kernel.shape, dtype=torch.float64)
            linear.load_state_dict({"weight": kernel.mT, "bias": own[f"biases.{layer}"]})
            layers += [linear, ACTIVATIONS[name]()]
        expected = nn.Sequential(*layers[:-1])(x[:, :-1])[:, 0].detach()
        single = model.with_state(own)
        for z in (found[index], single(x).detach()):
            torch.testing.assert_close(z, expected, atol=1e-12, rtol=0)
        basis = {key: value[None] for key, value in own.items()}
        z = single.logits_in_span(x, basis, torch.ones(1, 1, dtype=torch.float64))[0]
        torch.testing.assert_close(z, expected, atol=1e-12, rtol=0)
    assert model.piecewise_linear == (name == "relu")


def test_they_are_no_part_of_an_identity_unless_they_are_others():
    assert identity_of(MLP, MLP().config()) == {"hidden": [64, 16], "dtype": "float32"}
    assert identity_of(MLP, MLP(activation="tanh").config())["activation"] == "tanh"
