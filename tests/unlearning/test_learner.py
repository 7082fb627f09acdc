"""What a method may ask of a model, against derivatives by PyTorch's own functions."""

from __future__ import annotations

import functools

import pytest
import torch
from support.models import HalfFrozen, Looped
from torch.autograd.functional import hessian, jacobian
from torch.func import functional_call, vmap
from torch.nn.functional import binary_cross_entropy_with_logits

from qlab.errors import ConfigError, DataError
from qlab.losses import CrossEntropy, MeanAbsoluteError
from qlab.models import MLP, Features, PauliLinear, PennyLaneQNN, RandomQNN
from qlab.unlearning import Samples, derivatives, learner
from qlab.unlearning.changed import Changed
from qlab.unlearning.cost import Cost
from qlab.unlearning.finetune import Finetune
from qlab.unlearning.learner import Learner, Setting

ROWS = 7


class Tanh(PennyLaneQNN):
    """A circuit whose logit is bent: all of its weights matter to qlab."""

    def forward(self, prepared):
        return torch.tanh(super().forward(prepared))


MODELS = {
    "MLP": MLP(hidden=(4, 3), dtype="float64", activation="tanh"),
    "MLP with ReLU": MLP(hidden=(4,), dtype="float64"),
    "MLP, half frozen": HalfFrozen(hidden=(4, 3), dtype="float64"),
    "MLP, one by one": Looped(hidden=(4, 3), dtype="float64", activation="tanh"),
    "circuit": PennyLaneQNN(depth=2),
    "circuit of states": PennyLaneQNN(depth=3, entangler="ring"),
    "circuit with affine readout": PennyLaneQNN(depth=2, readout="affine"),
    "bent circuit": Tanh(depth=1),
    "circuit on a device": PennyLaneQNN(depth=1, device="default.qubit"),
    "PauliLinear": PauliLinear(sites=2),
    "RandomQNN": RandomQNN(depth=2),
}


class Case:
    """A built model at some point, seven rows, and its loss as a function of the flat trained parameters."""

    def __init__(self, model, data, seed=0):
        self.model = model.build(Features.of(data))
        self.model.reset_parameters(torch.Generator().manual_seed(seed))
        draw = torch.Generator().manual_seed(10 + seed)
        self.parameters = {}
        for name, own in self.model.named_parameters():
            step = 0.4 * torch.randn(own.shape, generator=draw, dtype=torch.float64)
            self.parameters[name] = own.detach() + step * own.requires_grad
        rows = torch.randperm(len(data.train), generator=draw)[:ROWS]
        self.x = self.model.prepare(data.train.x[rows])
        self.y = data.train.y[rows].double()
        self.names = [name for name, own in self.model.named_parameters() if own.requires_grad]
        self.theta = torch.cat([self.parameters[name].flatten() for name in self.names])

    @property
    def rows(self):
        return Samples(self.x, self.y)

    def learner(self, parameters=None, loss=None, **setting):
        cost = setting.pop("cost", Cost(ROWS))
        setting = Setting(self.model, loss or CrossEntropy(), cost, **setting)
        return Learner(setting, self.parameters if parameters is None else parameters)

    def losses(self, theta):
        parts = dict(self.parameters)
        start = 0
        for name in self.names:
            size = parts[name].numel()
            parts[name] = theta[start : start + size].reshape(parts[name].shape)
            start += size
        z = functional_call(self.model, parts, (self.x,))
        return binary_cross_entropy_with_logits(z, self.y, reduction="none")

    def mean(self, theta):
        return self.losses(theta).mean()

    def each(self):
        return jacobian(self.losses, self.theta)

    def hessian(self):
        return hessian(self.mean, self.theta)


@pytest.fixture(scope="module")
def case(small_data):
    return functools.cache(lambda name, seed=0: Case(MODELS[name], small_data, seed))


every_model = pytest.mark.parametrize("name", MODELS)


def close(found, expected):
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=0)


@every_model
def test_first_derivatives_are_those_of_the_loss(case, name):
    one = case(name)
    student, each = one.learner(), one.each()
    close(student.theta, one.theta)
    close(student.per_sample_gradients(one.rows), each)
    close(student.gradient(one.rows), each.mean(0))
    close(student.fisher(one.rows), each.square().mean(0))
    few = Samples(one.x[:2], one.y[:2])  # fewer rows than parameters that matter
    close(student.per_sample_gradients(few), each[:2])


@every_model
def test_second_derivatives_are_those_of_the_loss(case, name):
    one = case(name)
    student, expected = one.learner(), one.hessian()
    close(student.hessian(one.rows), expected)
    v = torch.randn(3, len(one.theta), generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    close(student.hessian_product(one.rows, v), v @ expected)
    close(student.hessian_product(one.rows, v[0]), expected @ v[0])


@pytest.mark.parametrize("name", [name for name in MODELS if name not in ("MLP, one by one", "circuit on a device")])
def test_members_together_are_each_as_alone(case, name):
    cases = [case(name, seed) for seed in range(3)]
    stacked = {key: torch.stack([one.parameters[key] for one in cases]) for key in cases[0].parameters}
    x, y = torch.stack([one.x for one in cases]), torch.stack([one.y for one in cases])

    def ask(parameters, x, y):
        student, rows = cases[0].learner(parameters, members=3), Samples(x, y)
        found = student.gradient(rows), student.per_sample_gradients(rows), student.fisher(rows)
        return *found, student.hessian(rows), student.hessian_product(rows, student.theta)

    together = vmap(ask)(stacked, x, y)
    for row, one in enumerate(cases):
        for found, expected in zip(together, ask(one.parameters, one.x, one.y), strict=True):
            close(found[row], expected)


@pytest.mark.parametrize("name", ["MLP", "circuit", "circuit of states", "PauliLinear", "MLP, one by one"])
def test_chunks_change_nothing(case, name, monkeypatch):
    one = case(name)
    monkeypatch.setattr(derivatives, "_BYTES", 1)
    student = one.learner()
    assert len(list(derivatives.per_sample_gradients(student._point(one.rows, None)))) == ROWS
    close(student.per_sample_gradients(one.rows), one.each())
    close(student.fisher(one.rows), one.each().square().mean(0))
    close(student.hessian(one.rows), one.hessian())


def test_a_circuit_is_not_differentiated_by_weights_that_its_readout_does_not_see(case):
    reached = case("circuit").model.reached_parameters()
    slopes = case("circuit").each().abs().max(0).values
    assert bool((slopes[~reached] == 0.0).all())
    assert bool((slopes[reached] > 0.0).all())
    assert 0 < int(reached.sum()) < len(reached)
    assert case("bent circuit").model.reached_parameters() is None
    assert case("RandomQNN").model.reached_parameters() is None


def test_another_loss_can_be_differentiated(case):
    one = case("circuit")
    found = one.learner().gradient(one.rows, MeanAbsoluteError())
    close(found, one.learner(loss=MeanAbsoluteError()).gradient(one.rows))

    def squared(z, y):
        return (z - y) ** 2

    expected = jacobian(lambda theta: (one.learner().at(theta)(one.x) - one.y).square().mean(), one.theta)
    close(one.learner().gradient(one.rows, squared), expected)
    one_by_one = case("MLP, one by one")
    expected = jacobian(
        lambda theta: (one_by_one.learner().at(theta)(one_by_one.x) - one_by_one.y).square().mean(), one_by_one.theta
    )
    close(one_by_one.learner().gradient(one_by_one.rows, squared), expected)


@every_model
def test_flat_and_named_parameters_are_the_same(case, name):
    student = case(name).learner()
    assert list(student.parameters) == case(name).names
    moved = student.at(student.theta + 1.0)
    for key, value in moved.parameters.items():
        close(value, student.parameters[key] + 1.0)
    close(student.at(moved.parameters).theta, student.theta + 1.0)
    frozen = case(name).parameters.keys() - student.parameters.keys()
    assert all(torch.equal(moved._all[key], student._all[key]) for key in frozen)
    assert bool(frozen) is (name in ("RandomQNN", "MLP, half frozen"))


def test_layers_are_positions_in_the_flat_vector(case):
    one = case("MLP")
    layers = one.learner().layers
    assert list(layers) == ["layer 1", "layer 2", "layer 3"]
    close(
        one.learner().theta[layers["layer 3"]],
        torch.cat([one.parameters["kernels.2"].flatten(), one.parameters["biases.2"]]),
    )


class LastLayer(Finetune):
    """Changes the last layer only."""

    def changed_layers(self, layers):
        return layers[-1:]


@pytest.mark.parametrize("name", ["MLP", "circuit"])
def test_what_a_method_leaves_as_it_is_is_no_part_of_the_flat_vector(case, name):
    one = case(name)
    last = list(one.learner().layers.values())[-1].sort().values
    changed = Changed.of(LastLayer(), one.model, torch.device("cpu")).positions
    assert torch.equal(changed, last)
    student = one.learner(changed=changed)
    close(student.theta, one.theta[last])
    close(student.gradient(one.rows), one.each().mean(0)[last])
    close(student.per_sample_gradients(one.rows), one.each()[:, last])
    close(student.hessian(one.rows), one.hessian()[last][:, last])
    moved = student.at(student.theta + 1.0)
    expected = one.theta.clone()
    expected[last] += 1.0
    close(torch.cat([value.flatten() for value in moved.parameters.values()]), expected)
    assert [len(places) for places in student.layers.values()] == [len(last)]
    assert sorted(next(iter(student.layers.values())).tolist()) == list(range(len(last)))


def test_no_gradient_flows_through_derivatives(case):
    one = case("MLP")
    leaves = {name: value.clone().requires_grad_() for name, value in one.parameters.items()}
    student = one.learner(leaves)
    assert student(one.x).requires_grad
    assert student.theta.requires_grad
    for found in (student.gradient(one.rows), student.fisher(one.rows), student.hessian(one.rows)):
        assert not found.requires_grad


COSTS = [
    pytest.param(lambda s, rows: s.gradient(rows), 0.5, id="gradient"),
    pytest.param(lambda s, rows: s.per_sample_gradients(rows), 0.5, id="gradients of rows"),
    pytest.param(lambda s, rows: s.fisher(rows), 0.5, id="Fisher information"),
    pytest.param(lambda s, rows: s.hessian_product(rows, s.theta), 1.0, id="product"),
    pytest.param(lambda s, rows: s.hessian_product(rows, torch.stack([s.theta] * 3)), 3.0, id="three products"),
    pytest.param(lambda s, rows: s(rows.x), 0.0, id="logits"),
]


@pytest.mark.parametrize(("ask", "price"), COSTS)
def test_derivatives_are_counted_in_gradients_of_the_whole_training_split(case, ask, price):
    one = case("MLP")
    cost = Cost(2 * ROWS)
    ask(one.learner(cost=cost), one.rows)
    assert cost.spent == pytest.approx(price)


def test_a_hessian_costs_a_product_for_each_parameter_that_matters(case):
    one = case("circuit")
    cost = Cost(ROWS)
    one.learner(cost=cost).hessian(one.rows)
    assert cost.spent == 2 * int(one.model.reached_parameters().sum())


def test_a_hessian_that_is_too_large_is_refused_with_its_size(case, monkeypatch):
    one = case("MLP")
    size = len(one.theta)
    monkeypatch.setattr(learner, "HESSIAN_BYTES", 8 * size**2 - 1)
    with pytest.raises(DataError, match=rf"MLP with {size} parameters.*\({8 * size**2:,} bytes\).*hessian_product"):
        one.learner().hessian(one.rows)
    one.learner().hessian_product(one.rows, one.theta)
    monkeypatch.setattr(learner, "HESSIAN_BYTES", 8 * size**2)
    one.learner().hessian(one.rows)


def test_devices_that_differentiate_once_have_no_hessian(small_data):
    one = Case(PennyLaneQNN(depth=1, device="lightning.qubit"), small_data)
    close(
        one.learner().gradient(one.rows), Case(PennyLaneQNN(depth=1, device="default.qubit"), small_data).each().mean(0)
    )
    for ask in (one.learner().hessian, lambda rows: one.learner().hessian_product(rows, one.theta)):
        with pytest.raises(DataError, match=r"lightning\.qubit has no second derivatives.*lightcone"):
            ask(one.rows)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda s, rows: s.hessian_product(rows, s.theta[:-1]), r"accepts \[\d+\] or \[k, \d+\]"),
        (lambda s, rows: s.at({"weights": s.theta}), '"weights" is no trained parameter.*kernels.0'),
        (lambda s, rows: s.at(s.theta[:-1]), r"got \[\d+\] parameters, accepts \[\d+\]"),
        (lambda s, rows: s.flat({"biases.0": s.theta}), r"biases.0: got shape \[\d+\], accepts \[4\]"),
    ],
)
def test_what_does_not_fit_is_refused(case, ask, message):
    one = case("MLP")
    with pytest.raises(ConfigError, match=message):
        ask(one.learner(), one.rows)
