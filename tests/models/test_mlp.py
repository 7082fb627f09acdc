"""The perceptron against torch.nn on all inputs."""

from __future__ import annotations

import dataclasses
import itertools
import math

import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from qlab.corruptions import FeatureRandomization, LabelFlip
from qlab.errors import ConfigError, DataError
from qlab.models import MLP, Features, checkpoint
from qlab.tasks import Dataset, Split
from qlab.training import Member, Trainer


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
        ({"hidden": [4, 0]}, r"MLP: hidden: got \[4, 0\], accepts a list, each value an integer of at least 1"),
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


MEMBERS, ROWS = 3, 10


def sparse(seed, filled):
    """Ten rows of twelve complex features, of which the clean ones have 1, 2, 5 and 8; a mask says which have all."""
    x = torch.randn(ROWS, 12, dtype=torch.complex128, generator=generator(seed))
    core = torch.zeros(12, dtype=torch.bool)
    core[[1, 2, 5, 8]] = True
    return torch.where(core | filled[:, None], x, 0.0), core


def marked_mlp(hidden=(6, 3), dtype="float64", core=True):
    """A model that keeps inputs of clean rows and those of others apart."""
    mask = sparse(0, torch.zeros(ROWS, dtype=torch.bool))[1]
    features = Features(12, True, torch.ones(12, dtype=torch.bool), mask if core else None)
    return MLP(hidden=hidden, dtype=dtype).build(features)


def members_of(model, seed=0):
    drawn = generator(seed)
    return {
        name: torch.randn(MEMBERS, *part.shape, generator=drawn, dtype=torch.float64).to(part.dtype).requires_grad_()
        for name, part in model.named_parameters()
    }


def filled_rows(which, seed):
    if which == "none":
        return torch.zeros(ROWS, dtype=torch.bool)
    if which == "all":
        return torch.ones(ROWS, dtype=torch.bool)
    if which == "one":
        return torch.arange(ROWS) == seed
    return torch.rand(ROWS, generator=generator(seed + 100)) < 0.4


def by_plain_call(model, parameters, prepared, shared, rows):
    """Every member on its own through ``forward``."""
    found = []
    for index in range(MEMBERS):
        x = prepared if shared else prepared[index]
        own = {name: part[index] for name, part in parameters.items()}
        found.append(torch.func.functional_call(model, own, (x if rows is None else x[rows[index]],)))
    return torch.stack(found)


@pytest.mark.parametrize("which", ["none", "one", "some", "all"])
@pytest.mark.parametrize("chosen", ["all rows", "a batch", "a row often", "one row"])
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("hidden", [(6, 3), (1,), (4, 4, 2)], ids=str)
def test_randomised_rows_apart_give_the_logits_and_gradients_of_the_plain_network(which, chosen, shared, hidden):
    model = marked_mlp(hidden)
    assert model.marked
    x = [sparse(seed, filled_rows(which, seed))[0] for seed in range(1 if shared else MEMBERS)]
    prepared = model.prepare(x[0]) if shared else torch.stack([model.prepare(part) for part in x])
    drawn = {
        "all rows": lambda: None,
        "a batch": lambda: torch.stack([torch.randperm(ROWS, generator=generator(k))[:4] for k in range(MEMBERS)]),
        "a row often": lambda: torch.tensor([[0, 0, 1, 1], [2, 2, 2, 2], [9, 1, 9, 0]]),
        "one row": lambda: torch.tensor([[0], [1], [9]]),
    }
    rows = drawn[chosen]()
    parameters, plain = members_of(model), members_of(model)
    found = model.logits_of_members(parameters, prepared, shared=shared, rows=rows)
    expected = by_plain_call(model, plain, prepared, shared, rows)
    assert found.shape == (MEMBERS, ROWS if rows is None else rows.shape[1])
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)
    factors = torch.randn(found.shape, generator=generator(5), dtype=torch.float64)
    (factors * found).sum().backward()
    (factors * expected).sum().backward()
    for name, part in parameters.items():
        torch.testing.assert_close(part.grad, plain[name].grad, atol=1e-12, rtol=0)


@pytest.mark.parametrize("which", ["none", "some", "all"])
@pytest.mark.parametrize("shared", [True, False])
def test_randomised_rows_apart_give_the_logits_of_vmap(which, shared):
    model = marked_mlp()
    x = [sparse(seed, filled_rows(which, seed))[0] for seed in range(1 if shared else MEMBERS)]
    prepared = model.prepare(x[0]) if shared else torch.stack([model.prepare(part) for part in x])
    parameters = {name: part.detach() for name, part in members_of(model).items()}

    def evaluate(own, rows):
        return torch.func.functional_call(model, own, (rows,))

    expected = torch.func.vmap(evaluate, in_dims=(0, None if shared else 0))(parameters, prepared)
    found = model.logits_of_members(parameters, prepared, shared=shared)
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)


def test_rows_are_marked_where_they_use_inputs_outside_the_core():
    filled = filled_rows("some", 1)
    x, core = sparse(1, filled)
    model = marked_mlp()
    prepared = model.prepare(x)
    assert prepared.shape == (ROWS, 25)
    assert prepared[:, -1].tolist() == filled.double().tolist()
    both = torch.cat([core, core])
    assert torch.equal(prepared[:, :8], all_inputs(x)[:, both])
    assert torch.equal(prepared[:, 8:24], all_inputs(x)[:, ~both])
    assert not marked_mlp(core=False).marked
    assert torch.equal(marked_mlp(core=False).prepare(x), all_inputs(x))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_order_of_inputs_does_not_change_the_network(dtype):
    apart, together = marked_mlp(dtype=dtype), marked_mlp(dtype=dtype, core=False)
    for model in (apart, together):
        model.reset_parameters(generator(3))
    natural = torch.empty_like(together.kernels[0])
    with torch.no_grad():
        natural[apart.positions] = apart.kernels[0]
        assert torch.equal(natural, together.kernels[0])
        x, _ = sparse(2, filled_rows("some", 2))
        tolerance = 1e-13 if dtype == "float64" else 1e-5
        found, expected = apart(apart.prepare(x)), together(together.prepare(x))
        torch.testing.assert_close(found, expected, atol=tolerance, rtol=0)


def test_a_span_of_marked_models_is_evaluated_as_its_points_are():
    model = marked_mlp()
    prepared = model.prepare(sparse(1, filled_rows("some", 1))[0])
    basis = {name: part.detach() for name, part in members_of(model).items()}
    coefficients = torch.randn(5, MEMBERS, generator=generator(1), dtype=torch.float64)
    found = model.logits_in_span(prepared, basis, coefficients)
    for row, weights in zip(found, coefficients, strict=True):
        point = {name: torch.tensordot(weights, part, dims=1) for name, part in basis.items()}
        torch.testing.assert_close(row, torch.func.functional_call(model, point, (prepared,)), atol=1e-11, rtol=1e-11)


class Deeper(MLP):
    """A user's network that computes something else."""

    def forward(self, prepared):
        return 2.0 * super().forward(prepared)


def test_a_subclass_with_its_own_forward_is_evaluated_by_it():
    features = marked_mlp().features
    model = Deeper(hidden=(6, 3), dtype="float64").build(features)
    prepared = model.prepare(sparse(1, filled_rows("some", 1))[0])
    parameters = {name: part.detach() for name, part in members_of(model).items()}
    found = model.logits_of_members(parameters, prepared, shared=True)
    torch.testing.assert_close(found, by_plain_call(model, parameters, prepared, True, None), atol=1e-12, rtol=0)
    plain = marked_mlp()
    marked = plain.prepare(sparse(1, filled_rows("some", 1))[0])
    twice = 2.0 * plain.logits_of_members(parameters, marked, shared=True)
    torch.testing.assert_close(found, twice, atol=1e-12, rtol=0)


class Tanh(MLP):
    """A user's network on the same weights, written out."""

    def forward(self, prepared):
        for layer, (kernel, bias) in enumerate(zip(self.kernels, self.biases, strict=True)):
            prepared = prepared @ kernel + bias
            if layer < len(self.hidden):
                prepared = torch.tanh(prepared)
        return prepared[..., 0]


@pytest.mark.parametrize("corruption", [LabelFlip(ratio=0.5), FeatureRandomization(ratio=0.5)], ids=["flips", "random"])
def test_a_subclass_with_its_own_forward_gets_the_inputs_of_its_kernel_and_trains(small_task, small_data, corruption):
    model = Tanh(hidden=(3,), dtype="float64").build(Features.of(small_data, corruption))
    assert model.prepare(small_data.train.x).shape[1] == model.kernels[0].shape[0]
    trained = Trainer(epochs=1, batch_size=8).train(Tanh(hidden=(3,)), small_task, corruption)
    assert bool(trained.logits.isfinite().all())


@pytest.mark.parametrize("ratio", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("batch_size", [5, 16])
def test_training_on_random_features_does_not_depend_on_the_order_of_inputs(small_task, small_data, ratio, batch_size):
    corruption = FeatureRandomization(ratio=ratio)
    members = [Member.of(small_task, small_data, corruption, seed) for seed in (0, 4)]
    features = Features.of(small_data, corruption)
    assert features.core is not None
    settings = Trainer(epochs=4, batch_size=batch_size, learning_rate=0.05)
    apart, together = (
        settings.fit(
            MLP(hidden=(6, 3), dtype="float64").build(dataclasses.replace(features, core=core)),
            members,
            small_data.validation,
        )
        for core in (features.core, None)
    )
    assert (apart.model.marked, together.model.marked) == (True, False)
    torch.testing.assert_close(apart.logits, together.logits, atol=1e-8, rtol=0)
    for name, values in apart.history.items():
        torch.testing.assert_close(
            torch.from_numpy(values), torch.from_numpy(together.history[name]), atol=1e-9, rtol=0, equal_nan=True
        )
    for name, part in together.parameters.items():
        found = apart.parameters[name]
        if name == "kernels.0":
            found = torch.empty_like(part).index_copy_(1, apart.model.positions, found)
        torch.testing.assert_close(found, part, atol=1e-6, rtol=0)
    assert apart.health == together.health


def test_checkpoints_of_a_model_with_random_features_round_trip(small_task, small_data, tmp_path):
    corruption = FeatureRandomization(ratio=0.5)
    trained = Trainer(epochs=2, batch_size=8).train(MLP(hidden=(6, 3)), small_task, corruption, seeds=(0, 1))
    for index in range(2):
        path = tmp_path / f"{index}.safetensors"
        checkpoint.save(path, trained.model, trained.state_of(index), "MLP")
        loaded = checkpoint.load(path)
        split = Member.of(small_task, small_data, corruption, index).corrupted.split
        assert torch.equal(loaded.features.core, Features.of(small_data).active)
        assert bool(loaded.features.active.all())
        assert loaded.state_dict().keys() == trained.state_of(index).keys()
        for name, part in loaded.state_dict().items():
            assert torch.equal(part, trained.state_of(index)[name])
        with torch.no_grad():
            z = torch.cat([loaded(loaded.prepare(rows)) for rows in (split.x, small_data.validation.x)])
        torch.testing.assert_close(z.double(), trained.logits[index], atol=1e-5, rtol=0)


def test_checkpoints_without_a_core_still_load(small_data, tmp_path):
    model = built_mlp(small_data)
    assert model.features.core is None
    checkpoint.save(tmp_path / "a.safetensors", model, model.state_dict(), "MLP")
    loaded = checkpoint.load(tmp_path / "a.safetensors")
    assert loaded.features.core is None
    x = small_data.train.x
    assert torch.equal(loaded(loaded.prepare(x)), model(model.prepare(x)))


def test_a_double_copy_keeps_the_order_of_inputs():
    model = marked_mlp(dtype="float32")
    model.reset_parameters(generator(1))
    copied = model.double_copy()
    x = sparse(1, filled_rows("some", 1))[0]
    assert (copied.marked, copied.dtype) == (True, torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(copied(copied.prepare(x)), model(model.prepare(x)).double(), atol=1e-5, rtol=0)


def test_where_every_input_is_in_the_core_nothing_is_marked(small_data):
    full = torch.ones(16, dtype=torch.bool)
    x = torch.ones(2, 16, dtype=torch.complex128)
    split = Split(x, torch.tensor([0, 1]))
    assert Features.of(Dataset(split, split), FeatureRandomization(ratio=0.5)).core is None
    assert not MLP().build(Features(16, True, full, full)).marked
    assert Features.of(small_data, LabelFlip(ratio=0.5)).core is None
