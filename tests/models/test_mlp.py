"""The perceptron against torch.nn on all inputs."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from qlab.corruptions import FeatureRandomization, LabelFlip
from qlab.errors import ConfigError, DataError
from qlab.models import MLP, Features
from qlab.tasks import Dataset, Split


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def built_mlp(data, hidden=(6, 3), dtype="float64", seed=0, features=None):
    model = MLP(hidden=hidden, dtype=dtype).build(features or Features.of(data))
    model.reset_parameters(generator(seed))
    return model


def all_inputs(x):
    """Real and imaginary parts side by side, none left out."""
    return torch.cat([x.real, x.imag], dim=1)


def full_network(data, model, seed=0):
    """torch.nn layers over every input; those of inputs that the model has are copied from it."""
    everything = built_mlp(data, model.hidden, seed=seed, features=Features(16, True, torch.ones(16, dtype=torch.bool)))
    widths = [32, *model.hidden, 1]
    layers = []
    for fan_in, fan_out in itertools.pairwise(widths):
        layers += [nn.Linear(fan_in, fan_out, dtype=torch.float64), nn.ReLU()]
    network = nn.Sequential(*layers[:-1])
    with torch.no_grad():
        for layer, kernel, bias in zip(network[::2], everything.kernels, everything.biases, strict=True):
            layer.weight.copy_(kernel.mT)
            layer.bias.copy_(bias)
        network[0].weight[:, model.active] = model.kernels[0].mT
        for layer, kernel, bias in zip(network[2::2], model.kernels[1:], model.biases[1:], strict=True):
            layer.weight.copy_(kernel.mT)
            layer.bias.copy_(bias)
    return network


def test_logits_equal_those_of_torch_layers_on_all_inputs(small_data):
    model = built_mlp(small_data)
    assert 0 < int(model.active.sum()) < 32
    network = full_network(small_data, model)
    found = model(model.prepare(small_data.train.x))
    torch.testing.assert_close(found, network(all_inputs(small_data.train.x))[:, 0], atol=1e-13, rtol=0)


@pytest.mark.parametrize("hidden", [(1,), (5,), (4, 4, 4, 2)], ids=str)
def test_any_number_of_hidden_layers(small_data, hidden):
    model = built_mlp(small_data, hidden)
    network = full_network(small_data, model)
    found = model(model.prepare(small_data.train.x))
    torch.testing.assert_close(found, network(all_inputs(small_data.train.x))[:, 0], atol=1e-13, rtol=0)


def test_initial_weights_do_not_depend_on_which_inputs_are_left_out(small_data):
    some = built_mlp(small_data, seed=4)
    every = built_mlp(small_data, seed=4, features=Features(16, True, torch.ones(16, dtype=torch.bool)))
    assert torch.equal(some.kernels[0], every.kernels[0][some.active])
    for first, second in zip(some.kernels[1:], every.kernels[1:], strict=True):
        assert torch.equal(first, second)


def test_leaving_out_zero_inputs_is_exact_while_training(small_data):
    """Twenty Adam steps of both networks: same logits, same weights; weights of zero inputs never move."""
    model = built_mlp(small_data)
    network = full_network(small_data, model)
    first_layer = network[0].weight.detach().clone()
    x, y = small_data.train.x, small_data.train.y.double()
    prepared, everything = model.prepare(x), all_inputs(x)
    ours = torch.optim.Adam(model.parameters(), lr=0.05)
    theirs = torch.optim.Adam(network.parameters(), lr=0.05)
    for _ in range(20):
        for optimizer, logits in ((ours, model(prepared)), (theirs, network(everything)[:, 0])):
            optimizer.zero_grad()
            binary_cross_entropy_with_logits(logits, y).backward()
            optimizer.step()
    torch.testing.assert_close(model(prepared), network(everything)[:, 0], atol=1e-10, rtol=0)
    torch.testing.assert_close(model.kernels[0].mT, network[0].weight[:, model.active], atol=1e-10, rtol=0)
    assert torch.equal(network[0].weight[:, ~model.active], first_layer[:, ~model.active])
    assert float((model.kernels[0].detach().mT - first_layer[:, model.active]).abs().max()) > 0.1


def test_kernels_are_glorot_uniform_with_the_fan_in_of_all_inputs(small_data):
    model = built_mlp(small_data, hidden=(400, 300))
    for kernel, fan_in, fan_out in zip(model.kernels, (32, 400, 300), (400, 300, 1), strict=True):
        limit = math.sqrt(6.0 / (fan_in + fan_out))
        largest = float(kernel.detach().abs().max())
        assert 0.97 * limit < largest <= limit
        assert float(kernel.detach().var(correction=0)) == pytest.approx(limit**2 / 3, rel=0.2)
        assert abs(float(kernel.detach().mean())) < 5 * limit / math.sqrt(3 * kernel.numel())
    assert all(float(bias.detach().abs().max()) == 0.0 for bias in model.biases)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtype_of_parameters_features_and_logits(small_data, dtype):
    model = built_mlp(small_data, dtype=dtype)
    expected = getattr(torch, dtype)
    prepared = model.prepare(small_data.train.x)
    assert {parameter.dtype for parameter in model.parameters()} == {expected}
    assert (prepared.dtype, model(prepared).dtype, model.dtype) == (expected, expected, expected)


def test_real_features_enter_as_they_are():
    x = torch.tensor([[1.0, 0.0, 2.0], [3.0, 0.0, 4.0]], dtype=torch.float64)
    split = Split(x, torch.tensor([0, 1]))
    model = MLP(hidden=(2,), dtype="float64").build(Features.of(Dataset(split, split)))
    assert model.prepare(x).tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert model.kernels[0].shape == (2, 2)


def test_features_count_inputs_of_both_splits():
    train = Split(torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64), torch.tensor([0]))
    validation = Split(torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64), torch.tensor([1]))
    data = Dataset(train, validation)
    assert Features.of(data).active.tolist() == [True, False, True]
    assert Features.of(data, LabelFlip(ratio=0.5)).active.tolist() == [True, False, True]
    assert Features.of(data, FeatureRandomization(ratio=0.5)).active.tolist() == [True, True, True]
    assert (Features.of(data).dimension, Features.of(data).is_complex) == (3, False)


def test_number_of_parameters(small_data):
    model = built_mlp(small_data, hidden=(6, 3))
    inputs = int(model.active.sum())
    assert model.n_parameters() == inputs * 6 + 6 + 6 * 3 + 3 + 3 + 1


def test_features_of_another_dimension_are_refused(small_data):
    model = built_mlp(small_data)
    with pytest.raises(DataError, match="built for 32 real inputs, got 16; build it for this data set"):
        model.prepare(small_data.train.x[:, :8])
    with pytest.raises(DataError, match="built for 32 real inputs, got 16"):
        model.prepare(small_data.train.x.real)


def test_inputs_that_were_zero_must_stay_zero(small_data):
    model = built_mlp(small_data)
    x = small_data.train.x.clone()
    x[0, 0] = 1e-6
    with pytest.raises(DataError, match="build it with these samples"):
        model.prepare(x)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"hidden": []}, r"MLP: hidden: got \[\]"),
        ({"hidden": [4, 0]}, r"MLP: hidden: got \[4, 0\], accepts a list, each an integer of at least 1"),
        ({"hidden": 4}, "MLP: hidden: got 4"),
        ({"dtype": "float16"}, 'MLP: dtype: got "float16", accepts one of "float32", "float64"'),
    ],
)
def test_bad_fields(fields, message):
    with pytest.raises(ConfigError, match=message):
        MLP(**fields)


def test_building_leaves_the_model_itself_unbuilt(small_data):
    model = MLP(hidden=(3,))
    first, second = model.build(Features.of(small_data)), model.build(Features.of(small_data))
    assert model.features is None
    assert list(model.parameters()) == []
    first.reset_parameters(generator(0))
    second.reset_parameters(generator(1))
    assert not torch.equal(first.kernels[0], second.kernels[0])


def test_a_layer_is_a_kernel_with_its_bias(small_data):
    model = built_mlp(small_data, hidden=(6, 3))
    inputs = int(model.active.sum())
    kernels = [inputs * 6, 18, 3]
    starts = [0, *itertools.accumulate(kernels), sum(kernels) + 6, sum(kernels) + 9]
    layers = model.parameter_layers()
    assert list(layers) == ["layer 1", "layer 2", "layer 3"]
    for layer, positions in enumerate(layers.values()):
        kernel = range(starts[layer], starts[layer] + kernels[layer])
        bias = range(starts[layer + 3], starts[layer + 3] + (6, 3, 1)[layer])
        assert sorted(positions.tolist()) == [*kernel, *bias]


def test_a_filter_is_the_weights_into_one_unit(small_data):
    """In the flat vector of parameters they are a column of a kernel; biases belong to no filter."""
    model = built_mlp(small_data, hidden=(6, 3))
    flat = torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
    filters = model.parameter_filters()
    assert len(filters) == 6 + 3 + 1
    columns = [column for kernel in model.kernels for column in kernel.detach().mT]
    for positions, column in zip(filters, columns, strict=True):
        assert torch.equal(flat[positions], column)


def test_every_logit_is_piecewise_linear_in_each_parameter(small_data):
    """Between kinks three equidistant values lie on a line."""
    model = built_mlp(small_data, hidden=(4, 3))
    prepared = model.prepare(small_data.train.x)
    assert model.piecewise_linear
    with torch.no_grad():
        for bias in model.biases:
            bias.copy_(torch.randn(bias.shape, generator=generator(3)))
        for parameter in model.parameters():
            entry = parameter.view(-1)[0]
            middle, values = entry.clone(), []
            for step in (-1e-6, 0.0, 1e-6):
                entry.fill_(middle + step)
                values.append(model(prepared))
            entry.copy_(middle)
            assert float((values[0] - 2.0 * values[1] + values[2]).abs().max()) < 1e-14
