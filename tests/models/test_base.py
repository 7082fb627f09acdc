"""What every model gives a landscape: a copy in double precision, layers, filters, logits in a span."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call

from qlab.errors import ConfigError, DataError
from qlab.fields import PositiveFloat, PositiveInt
from qlab.models import MLP, Features, Model, PennyLaneQNN
from qlab.models.base import Precision
from qlab.training.ensemble import initial_parameters


class Torch(Model):
    """PyTorch's own layers, a buffer, and a parameter without axes.

    Args:
        units: of the hidden layer.
    """

    def __init__(self, *, units: PositiveInt = 3, dtype: str = "float32") -> None:
        super().__init__(units=units, dtype=dtype)
        self.units = units

    def setup(self, features: Features) -> None:
        self.first = nn.Linear(features.dimension, self.units, dtype=self.dtype)
        self.second = nn.Linear(self.units, 1, dtype=self.dtype)
        self.gain = nn.Parameter(torch.empty((), dtype=self.dtype))
        self.register_buffer("shift", torch.zeros(1, dtype=self.dtype))

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator) -> None:
        for parameter in self.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))

    def prepare(self, x: torch.Tensor) -> torch.Tensor:
        return x.to(self.dtype)

    def forward(self, prepared: torch.Tensor) -> torch.Tensor:
        return self.gain * self.second(torch.tanh(self.first(prepared)))[:, 0] + self.shift


class ByRow(Torch):
    """The same row by row: not under vmap."""

    supports_vmap = False

    def forward(self, prepared: torch.Tensor) -> torch.Tensor:
        return torch.cat([super(ByRow, self).forward(row[None]) for row in prepared if math.isfinite(row.sum().item())])


class VectorsOnly(Torch):
    """A model whose tensors all have one axis."""

    def setup(self, features: Features) -> None:
        self.w = nn.Parameter(torch.empty(features.dimension, dtype=self.dtype))
        self.b = nn.Parameter(torch.empty(1, dtype=self.dtype))

    def forward(self, prepared: torch.Tensor) -> torch.Tensor:
        return prepared @ self.w + self.b


def features(dimension, is_complex=False):
    return Features(dimension, is_complex, torch.ones(dimension, dtype=torch.bool))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def built(model, dimension=4, is_complex=False, seed=0):
    model = model.build(features(dimension, is_complex))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator(seed), dtype=torch.float64))
    return model


MODELS = {
    "MLP": lambda: (built(MLP(hidden=(3, 2))), torch.float64),
    "chain": lambda: (built(PennyLaneQNN(depth=2), 8, True), torch.complex128),
    "ring": lambda: (built(PennyLaneQNN(depth=2, entangler="ring", dtype="float32"), 8, True), torch.complex128),
    "default.qubit": lambda: (built(PennyLaneQNN(depth=2, device="default.qubit"), 8, True), torch.complex128),
    "Torch": lambda: (built(Torch()), torch.float64),
    "ByRow": lambda: (built(ByRow()), torch.float64),
    "VectorsOnly": lambda: (built(VectorsOnly()), torch.float64),
}


def inputs(model, dtype, n=5, seed=1):
    return torch.randn(n, model.features.dimension, generator=generator(seed), dtype=dtype)


@pytest.mark.parametrize("name", MODELS)
def test_a_double_copy_is_the_same_function_in_double_precision(name):
    model, dtype = MODELS[name]()
    x = inputs(model, dtype)
    copied = model.double_copy()
    assert type(copied) is type(model)
    assert {parameter.dtype for parameter in copied.parameters()} == {torch.float64}
    assert [name for name, _ in copied.named_parameters()] == [name for name, _ in model.named_parameters()]
    for one, two in zip(model.parameters(), copied.parameters(), strict=True):
        assert torch.equal(one.detach().double(), two.detach())
    with torch.no_grad():
        found, expected = copied(copied.prepare(x)), model(model.prepare(x))
    assert found.dtype == torch.float64
    torch.testing.assert_close(
        found, expected.double(), atol=1e-10 if model.dtype == torch.float64 else 2e-4, rtol=1e-4
    )


@pytest.mark.parametrize("name", MODELS)
def test_a_double_copy_is_twice_differentiable(name):
    """Second derivatives against central differences of the model's own gradient."""
    model, dtype = MODELS[name]()
    copied = model.double_copy()
    prepared = copied.prepare(inputs(model, dtype, 3))
    parameters = {name: parameter.detach() for name, parameter in copied.named_parameters()}
    chosen = next(iter(parameters))

    def total(value: torch.Tensor) -> torch.Tensor:
        return functional_call(copied, {**parameters, chosen: value}, (prepared,)).square().sum()

    def gradient(value: torch.Tensor) -> torch.Tensor:
        value = value.clone().requires_grad_()
        [found] = torch.autograd.grad(total(value), value)
        return found

    middle = parameters[chosen]
    direction = torch.randn(middle.shape, generator=generator(3), dtype=torch.float64)
    leaf = middle.clone().requires_grad_()
    [first] = torch.autograd.grad(total(leaf), leaf, create_graph=True)
    [second] = torch.autograd.grad(first, leaf, direction)
    step = 1e-5
    differences = (gradient(middle + step * direction) - gradient(middle - step * direction)) / (2 * step)
    torch.testing.assert_close(second, differences, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_a_double_copy_is_independent(name):
    model, _ = MODELS[name]()
    copied = model.double_copy()
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter.fill_(7.0)
    assert not any(bool((parameter == 7.0).all()) for parameter in model.parameters())


def test_buffers_are_copied():
    model = built(Torch())
    model.shift.fill_(2.5)
    assert model.double_copy().shift.tolist() == [2.5]


def test_a_model_without_weights_has_no_double_copy():
    for model in (MLP(), PennyLaneQNN(), Torch()):
        with pytest.raises(DataError, match=f"{type(model).__name__} has no weights yet; build it first"):
            model.double_copy()


def test_layers_are_parameter_tensors_by_default():
    layers = built(Torch(units=2), 3).parameter_layers()
    assert list(layers) == ["gain", "first.weight", "first.bias", "second.weight", "second.bias"]
    assert [layer.tolist() for layer in layers.values()] == [0, [[1, 2, 3], [4, 5, 6]], [7, 8], [[9, 10]], [11]]


@pytest.mark.parametrize("name", MODELS)
def test_layers_take_every_parameter_once(name):
    model, _ = MODELS[name]()
    positions = torch.cat([layer.reshape(-1) for layer in model.parameter_layers().values()])
    assert positions.sort().values.tolist() == list(range(model.n_parameters()))


def test_filters_are_rows_of_pytorchs_layers_by_default():
    """What makes one output: a row of nn.Linear's weight. Biases and single numbers belong to none."""
    assert [part.tolist() for part in built(Torch(units=2), 3).parameter_filters()] == [[1, 2, 3], [4, 5, 6], [9, 10]]


def test_filters_of_a_convolution_are_its_kernels():
    class Convolution(Torch):
        """Channels of two images, then a sum."""

        def setup(self, features: Features) -> None:
            self.kernels = nn.Parameter(torch.empty(3, 2, 2, 2))

    filters = built(Convolution()).parameter_filters()
    assert [part.tolist() for part in filters] == [list(range(8)), list(range(8, 16)), list(range(16, 24))]


def test_a_model_with_vectors_only_has_them_as_filters():
    assert [part.tolist() for part in built(VectorsOnly(), 3).parameter_filters()] == [[0, 1, 2], [3]]


@pytest.mark.parametrize("name", MODELS)
def test_filters_do_not_overlap(name):
    model, _ = MODELS[name]()
    positions = torch.cat([part.reshape(-1) for part in model.parameter_filters()]).tolist()
    assert len(positions) == len(set(positions))
    assert set(positions) <= set(range(model.n_parameters()))


def random_basis(model, count, seed):
    draw = generator(seed)
    return {
        name: torch.randn(count, *parameter.shape, generator=draw, dtype=torch.float64)
        for name, parameter in model.named_parameters()
    }


def one_by_one(model, prepared, basis, coefficients):
    """The definition: combine the parameters, call the model."""
    rows = []
    for row in coefficients:
        point = {name: sum(c * part for c, part in zip(row, parts, strict=True)) for name, parts in basis.items()}
        rows.append(functional_call(model, point, (prepared,)))
    return torch.stack(rows)


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_logits_in_a_span_are_those_of_the_combined_parameters(name, data):
    model, dtype = MODELS[name]()
    copied = model.double_copy()
    count, points, n = (data.draw(st.integers(1, high)) for high in (4, 5, 6))
    seed = data.draw(st.integers(0, 1000))
    basis = random_basis(copied, count, seed)
    numbers = st.floats(-3.0, 3.0)
    drawn = data.draw(st.lists(st.lists(numbers, min_size=count, max_size=count), min_size=points, max_size=points))
    coefficients = torch.tensor(drawn, dtype=torch.float64)
    prepared = copied.prepare(inputs(model, dtype, n, seed))
    with torch.no_grad():
        found = copied.logits_in_span(prepared, basis, coefficients)
        expected = one_by_one(copied, prepared, basis, coefficients)
    assert found.shape == (points, n)
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=1e-10)


@settings(max_examples=25, deadline=None)
@given(
    hidden=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    dimension=st.integers(1, 6),
    counts=st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 5)),
    seed=st.integers(0, 1000),
)
def test_a_perceptrons_shortcut_agrees_with_the_default(hidden, dimension, counts, seed):
    vectors, points, n = counts
    model = built(MLP(hidden=tuple(hidden), dtype="float64"), dimension)
    basis = random_basis(model, vectors, seed)
    coefficients = torch.randn(points, vectors, generator=generator(seed), dtype=torch.float64)
    prepared = model.prepare(torch.randn(n, dimension, generator=generator(seed + 1), dtype=torch.float64))
    with torch.no_grad():
        found = model.logits_in_span(prepared, basis, coefficients)
        torch.testing.assert_close(
            found, Model.logits_in_span(model, prepared, basis, coefficients), atol=1e-9, rtol=1e-10
        )
        torch.testing.assert_close(found, one_by_one(model, prepared, basis, coefficients), atol=1e-9, rtol=1e-10)


@pytest.mark.parametrize("name", MODELS)
def test_nan_in_a_span_stays_where_it_is(name):
    """A coefficient that is not a number spoils its own point and no other."""
    model, dtype = MODELS[name]()
    copied = model.double_copy()
    basis = random_basis(copied, 2, 0)
    coefficients = torch.tensor([[1.0, 0.5], [math.nan, 1.0], [0.3, -0.2]], dtype=torch.float64)
    prepared = copied.prepare(inputs(model, dtype, 3))
    if name == "default.qubit":
        assert type(copied.engine).__name__ == "HeisenbergEngine"
    with torch.no_grad():
        found = copied.logits_in_span(prepared, basis, coefficients)
    assert found.isnan().all(1).tolist() == [False, True, False]
    assert found[[0, 2]].isfinite().all()


def test_only_networks_of_relus_claim_to_be_piecewise_linear():
    """d2z/dtheta_i^2 = 0 for each single parameter: true for a perceptron, not for others."""
    assert MLP().piecewise_linear
    for model in (PennyLaneQNN(), Torch(), VectorsOnly()):
        assert not model.piecewise_linear


class Smooth(MLP):
    """A perceptron of a user with tanh in place of ReLU, who reads no further than `forward`."""

    def forward(self, prepared: Any) -> Any:
        hidden = prepared
        for layer, (kernel, bias) in enumerate(zip(self.kernels, self.biases, strict=True)):
            hidden = hidden @ kernel + bias
            if layer < len(self.hidden):
                hidden = torch.tanh(hidden)
        return hidden[..., 0]


def test_a_perceptron_with_another_activation_is_not_piecewise_linear():
    assert not Smooth().piecewise_linear


def test_a_perceptron_with_another_activation_has_its_own_logits_in_a_span():
    model = built(Smooth(hidden=(3, 2), dtype="float64"))
    basis = random_basis(model, 2, 0)
    coefficients = torch.tensor([[1.0, 0.5], [0.3, -0.2]], dtype=torch.float64)
    prepared = model.prepare(inputs(model, torch.float64, 3))
    with torch.no_grad():
        found = model.logits_in_span(prepared, basis, coefficients)
        torch.testing.assert_close(found, one_by_one(model, prepared, basis, coefficients), atol=1e-10, rtol=0)


class Gain(MLP):
    """A perceptron with a field of its own that it does not pass on.

    Args:
        gain: factor of the logits.
    """

    def __init__(self, *, gain: PositiveFloat = 1.0, **fields: Any) -> None:
        super().__init__(**fields)
        self.gain = gain

    def forward(self, prepared: torch.Tensor) -> torch.Tensor:
        return self.gain * super().forward(prepared)


class Slim(MLP):
    """A perceptron that leaves no choice of its layers."""

    def __init__(self, *, dtype: Precision = "float64") -> None:
        super().__init__(hidden=[3], dtype=dtype)  # type: ignore[arg-type]


class Steep(PennyLaneQNN):
    """A circuit that leaves no choice of its scale."""

    def __init__(self, *, depth: PositiveInt = 1) -> None:
        super().__init__(depth=depth, scale=9)


def test_fields_that_a_subclass_adds_count_though_it_does_not_pass_them_on():
    expected = {**MLP(hidden=[2]).config(), "gain": 3.0}
    assert Gain(gain=3, hidden=[2]).config() == expected
    assert expected.items() >= {"hidden": [2], "dtype": "float32"}.items()
    model = built(Gain(gain=3.0, hidden=(3,)))
    prepared = model.prepare(inputs(model, torch.float64))
    plain = MLP(hidden=(3,)).build(model.features)
    plain.load_state_dict(model.state_dict())
    for made in (copy.deepcopy(model), model.with_state(model.state_dict()), model.double_copy()):
        assert made.config()["gain"] == 3.0
        found, expected = made(prepared.to(made.dtype)), 3.0 * plain(prepared)
        torch.testing.assert_close(found, expected.to(made.dtype), atol=1e-6, rtol=1e-6)


def test_fields_that_a_subclass_settles_are_no_fields_of_its():
    slim, steep = Slim(), Steep(depth=2)
    assert (slim.config(), steep.config()) == ({"dtype": "float64"}, {"depth": 2})
    assert (slim.hidden, steep.depth, steep.scale) == ((3,), 2, 9.0)
    assert [tuple(kernel.shape) for kernel in built(slim).double_copy().kernels] == [(4, 3), (3, 1)]


class Tied(Torch):
    """One tensor under two names."""

    def setup(self, features: Features) -> None:
        super().setup(features)
        self.again = self.first.weight


def test_a_parameter_with_two_names_is_refused():
    with pytest.raises(ConfigError, match=r"Tied: (again|first\.weight) is a parameter that has another name already"):
        Tied().build(features(4))


def test_frozen_parameters_are_not_counted():
    model = Torch(units=2).build(features(3))
    assert model.n_parameters() == 12
    model.first.requires_grad_(False)
    assert model.n_parameters() == 4


class Habit(Torch):
    """Draws as PyTorch's layers do."""

    def reset_parameters(self, generator: torch.Generator) -> None:
        super().reset_parameters(generator)
        self.second.reset_parameters()


class Forgetful(Torch):
    """Leaves a layer as it was made."""

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator) -> None:
        for parameter in self.second.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
        self.gain.fill_(1.0)


class Constant(Torch):
    """Has a parameter that begins with the same value always."""

    def setup(self, features: Features) -> None:
        super().setup(features)
        self.gain = nn.Parameter(torch.ones((), dtype=self.dtype))

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator) -> None:
        for parameter in (*self.first.parameters(), *self.second.parameters()):
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))


def test_parameters_that_the_seed_does_not_decide_are_refused():
    with pytest.raises(ConfigError, match=r"Habit.reset_parameters gives second\.weight different values"):
        initial_parameters(Habit().build(features(4)), [0, 1])
    with pytest.raises(ConfigError, match=r"Forgetful.reset_parameters leaves first\.weight as setup drew it"):
        initial_parameters(Forgetful().build(features(4)), [0, 1])
    drawn = initial_parameters(Constant().build(features(4)), [0, 1])
    assert drawn["gain"].tolist() == [1.0, 1.0]
    assert not torch.equal(drawn["first.weight"][0], drawn["first.weight"][1])


class Redrawn(Torch):
    """Sets all that setup drew, as models of PyTorch's layers do."""

    def reset_parameters(self, generator: torch.Generator) -> None:
        for parameter in self.parameters():
            nn.init.normal_(parameter, generator=generator)


def test_a_model_may_be_drawn_again_for_the_same_seed():
    model = Redrawn().build(features(4))
    assert model.drawn_in_setup
    first, again = (initial_parameters(model, [0, 1]) for _ in range(2))
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    forgetful = Forgetful().build(features(4))
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"leaves first\.weight as setup drew it"):
            initial_parameters(forgetful, [0, 1])


def test_fields_may_be_numbers_of_numpy():
    model = PennyLaneQNN(depth=np.int64(2), scale=np.float32(1.5))
    assert model.config() == PennyLaneQNN(depth=2, scale=1.5).config()
    assert type(model.config()["depth"]) is int
