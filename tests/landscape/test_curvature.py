"""Terms A and B against dense Hessians of losses that are written out here, and against parameter shifts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pennylane as qml
import pytest
import torch
from torch.func import functional_call

from qlab.circuits import StatevectorEngine
from qlab.landscape import Landscape, RougheningProbe, curvature
from qlab.models import MLP, Model, PennyLaneQNN
from qlab.tasks import Split

Z = torch.tensor([[1.0, 0.0], [0.0, -1.0]], dtype=torch.complex128)
X = torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=torch.complex128)
Y = torch.tensor([[0.0, -1.0j], [1.0j, 0.0]], dtype=torch.complex128)
EYE = torch.eye(2, dtype=torch.complex128)


def on_wires(n_wires, **paulis):
    """The matrix of Pauli matrices on wires ("w0", "w1", ...) of a register."""
    matrix = torch.ones(1, 1, dtype=torch.complex128)
    for wire in range(n_wires):
        matrix = torch.kron(matrix, paulis.get(f"w{wire}", EYE))
    return matrix


def circuit_logits(model, x):
    """The ansatz as matrices on the whole register, exp(-i angle P / 2) = cos - i sin P, of the flat vector."""
    n, depth, scale = model.n_wires, model.depth, model.scale
    bonds = [(wire, (wire + 1) % n) for wire in range(n if model.entangler == "ring" and n > 2 else n - 1)]

    def logits(flat):
        rotations = flat[: depth * 3 * n].reshape(depth, 3, n)
        couplings = flat[depth * 3 * n :].reshape(depth, len(bonds))
        state = x.mT
        for row in range(depth):
            gates = [
                (rotations[row, k, wire], on_wires(n, **{f"w{wire}": pauli}))
                for wire in range(n)
                for k, pauli in enumerate((X, Y, X))
            ]
            gates += [(couplings[row, k], on_wires(n, **{f"w{i}": Z, f"w{j}": Z})) for k, (i, j) in enumerate(bonds)]
            for angle, pauli in gates:
                state = torch.cos(angle / 2) * state - 1j * torch.sin(angle / 2) * (pauli @ state)
        readout = on_wires(n, **{f"w{n - 1}": Z})
        return scale * (state.conj() * (readout @ state)).sum(0).real

    return logits


class Controlled(PennyLaneQNN):
    """Controlled rotations: second derivatives that no two-term shift rule gives."""

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"first": (self.depth, self.n_wires), "controlled": (self.depth, 5), "global_phase": (1,)}

    def ansatz(self, **weights: Any) -> None:
        for row in range(self.depth):
            for wire in range(self.n_wires):
                qml.RY(weights["first"][row, wire], wires=wire)
            angles = weights["controlled"][row]
            qml.CRX(angles[0], wires=[0, 1])
            qml.CRot(angles[1], angles[2], angles[3], wires=[1, 2])
            qml.ctrl(qml.RX, control=[0, 1], control_values=[0, 1])(angles[4] ** 2, wires=2)
            qml.Hadamard(wires=0)
        qml.RZ(weights["global_phase"][0], wires=2)


class Wide(PennyLaneQNN):
    """A ladder that makes the readout depend on every qubit: evaluated on statevectors."""

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"angles": (3, self.n_wires)}

    def ansatz(self, **weights: Any) -> None:
        for row, gate in enumerate((qml.RY, qml.RZ, qml.RX)):
            for wire in range(self.n_wires):
                gate(weights["angles"][row, wire], wires=wire)
            for wire in range(self.n_wires - 1):
                qml.CNOT(wires=[wire, wire + 1])


def pennylane_logits(model, x):
    """A user's ansatz on default.qubit with backpropagation, of the flat vector; x of unit norm."""
    wires = range(model.n_wires)
    shapes = model.weight_shapes()

    @qml.qnode(qml.device("default.qubit", wires=model.n_wires), interface="torch", diff_method="backprop")
    def circuit(flat):
        qml.StatePrep(x, wires=wires)
        parts = flat.split([math.prod(shape) for shape in shapes.values()])
        model.ansatz(**{name: part.reshape(shapes[name]) for name, part in zip(shapes, parts, strict=True)})
        return qml.expval(qml.Z(model.n_wires - 1))

    return lambda flat: model.scale * circuit(flat)


QNNS = {
    "chain": (4, {"depth": 2}),
    "ring": (4, {"depth": 2, "entangler": "ring"}),
    "ring, cone of the whole register": (3, {"depth": 2, "entangler": "ring", "scale": 2.0}),
    "one qubit": (1, {"depth": 2}),
}
CASES = ["mlp", "deep mlp", "linear", "bend", "loop", "controlled", "statevector", *QNNS]


@pytest.fixture(scope="module")
def case(request, toys):
    """A landscape, its logits by hand (of the flat vector), and the dense terms that they give."""
    landscape, logits = landscape_and_logits(request.param, toys)
    return landscape, logits, *toys.dense_terms(logits, landscape.theta, landscape.y)


def landscape_and_logits(name, toys):
    if name in QNNS:
        n_wires, fields = QNNS[name]
        split = toys.states(5, n_wires)
        model = toys.build(PennyLaneQNN(**fields), split)
        return Landscape(model, split), circuit_logits(model, split.x)
    if name == "controlled":
        split = toys.states(4, 3)
        model = toys.build(Controlled(depth=2), split)
        return Landscape(model, split), pennylane_logits(model, split.x)
    if name == "statevector":
        split = toys.states(3, 6)
        model = toys.build(Wide(), split)
        assert isinstance(model.engine, StatevectorEngine)
        return Landscape(model, split), pennylane_logits(model, split.x)
    split = toys.real_split(9, 4, seed=3)
    if "mlp" in name:
        hidden = (5,) if name == "mlp" else (6, 4, 3)
        model = toys.build(MLP(hidden=hidden, dtype="float64"), split, seed=1)
        return Landscape(model, split), toys.mlp_logits([4, *hidden, 1], split.x)
    if name == "linear":
        return Landscape(toys.build(toys.Linear(), split), split), lambda flat: split.x @ flat[:4] + flat[4]
    model = toys.build(toys.Bend() if name == "bend" else toys.Loop(), split)
    return Landscape(model, split), lambda flat: (torch.tanh(split.x @ flat[:12].reshape(4, 3)) * flat[12:]).sum(1)


every_case = pytest.mark.parametrize("case", CASES, indirect=True)


@every_case
def test_the_landscape_is_the_loss_written_out(case, toys):
    landscape, logits, _, _ = case
    generator = torch.Generator().manual_seed(8)
    for theta in (landscape.theta, torch.randn(landscape.n_parameters, generator=generator, dtype=torch.float64)):
        torch.testing.assert_close(landscape.logits(theta).detach(), logits(theta), atol=1e-10, rtol=0)
        expected = toys.cross_entropy(logits(theta), landscape.y)
        torch.testing.assert_close(landscape.loss(theta).detach(), expected, atol=1e-10, rtol=0)


@every_case
def test_both_terms_are_those_of_the_dense_hessian(case):
    landscape, _, a, b = case
    torch.testing.assert_close(curvature.matrix_a(landscape), a, atol=1e-10, rtol=1e-10)
    torch.testing.assert_close(curvature.matrix_b(landscape), b, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(curvature.diagonal_a(landscape), a.diagonal(), atol=1e-10, rtol=1e-10)
    torch.testing.assert_close(curvature.diagonal_b(landscape), b.diagonal(), atol=1e-9, rtol=1e-9)
    eigenvalues = torch.linalg.eigvalsh(a + b)
    total = float(curvature.diagonal_a(landscape).sum() + curvature.diagonal_b(landscape).sum())
    assert total == pytest.approx(float(eigenvalues.sum()), abs=1e-8)
    assert RougheningProbe().trace(landscape).total == pytest.approx(float(eigenvalues.sum()), abs=1e-8)


@every_case
def test_gradients_and_products_are_those_of_the_dense_hessian(case, toys):
    landscape, logits, a, b = case
    theta = landscape.theta.clone().requires_grad_()
    [gradient] = torch.autograd.grad(toys.cross_entropy(logits(theta), landscape.y.double()), theta)
    torch.testing.assert_close(curvature.gradient(landscape), gradient, atol=1e-10, rtol=0)
    product = curvature.hessian_product(landscape)
    generator = torch.Generator().manual_seed(2)
    for _ in range(2):
        vector = torch.randn(landscape.n_parameters, generator=generator, dtype=torch.float64)
        torch.testing.assert_close(product(vector), (a + b) @ vector, atol=1e-9, rtol=1e-9)


@every_case
def test_nothing_depends_on_how_much_is_done_at_once(case, monkeypatch):
    """Gradients of one row, products with one vector at a time."""
    landscape, *_ = case
    whole = [function(landscape) for function in (curvature.diagonal_a, curvature.diagonal_b, curvature.matrix_b)]
    monkeypatch.setattr(curvature, "_BYTES", 1)
    parts = [function(landscape) for function in (curvature.diagonal_a, curvature.diagonal_b, curvature.matrix_b)]
    torch.testing.assert_close(parts, whole, atol=1e-11, rtol=1e-11)
    assert len(list(curvature.logit_gradients(landscape))) == len(landscape.y)


@every_case
def test_taking_curvature_changes_nothing(case):
    landscape, *_ = case
    x, y, theta = landscape.x.clone(), landscape.y.clone(), landscape.theta.clone()
    first = [curvature.diagonal_a(landscape), curvature.diagonal_b(landscape), curvature.matrix_a(landscape)]
    again = [curvature.diagonal_a(landscape), curvature.diagonal_b(landscape), curvature.matrix_a(landscape)]
    torch.testing.assert_close(first, again, atol=0, rtol=0)
    torch.testing.assert_close([landscape.x, landscape.y, landscape.theta], [x, y, theta], atol=0, rtol=0)
    assert not landscape.theta.requires_grad
    assert all(parameter.grad is None for parameter in landscape.model.parameters())


def test_second_derivatives_agree_with_finite_differences(toys):
    """A reference without any differentiation: central differences of the loss written out."""
    split = toys.states(4, 3)
    model = toys.build(PennyLaneQNN(depth=1), split)
    landscape, logits = Landscape(model, split), circuit_logits(model, split.x)

    def loss(flat):
        return float(toys.cross_entropy(logits(flat), split.y.double()))

    step = 1e-4
    diagonal = []
    for unit in torch.eye(landscape.n_parameters, dtype=torch.float64):
        values = [loss(landscape.theta + k * step * unit) for k in (-1, 0, 1)]
        diagonal.append((values[0] - 2.0 * values[1] + values[2]) / step**2)
    found = curvature.diagonal_a(landscape) + curvature.diagonal_b(landscape)
    np.testing.assert_allclose(found.numpy(), diagonal, atol=1e-6)


@pytest.mark.parametrize("entangler", ["chain", "ring"])
def test_second_derivatives_of_the_circuit_are_those_of_the_parameter_shift_rule(toys, entangler):
    """d2z/dtheta2 = (z(theta + pi) - z(theta)) / 2 for every gate exp(-i theta P / 2), on default.qubit."""
    split = toys.states(6, 4)
    fields = {"depth": 3, "entangler": entangler}
    landscape = Landscape(toys.build(PennyLaneQNN(**fields), split), split)
    device = toys.build(PennyLaneQNN(**fields, device="default.qubit"), split)
    prepared = device.prepare(split.x)
    shapes = {name: parameter.shape for name, parameter in device.named_parameters()}

    def logits(flat):
        parts = flat.split([shape.numel() for shape in shapes.values()])
        named = {name: part.reshape(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}
        with torch.no_grad():
            return functional_call(device, named, (prepared,))

    z = logits(landscape.theta)
    weights = (torch.sigmoid(z) - split.y) / len(split)
    expected = []
    for unit in torch.eye(landscape.n_parameters, dtype=torch.float64):
        second = (logits(landscape.theta + math.pi * unit) - z) / 2
        expected.append(float(weights @ second))
    np.testing.assert_allclose(curvature.diagonal_b(landscape).numpy(), expected, atol=1e-10)
    assert max(map(abs, expected)) > 1e-3


@pytest.mark.parametrize("device", ["default.qubit", "lightning.qubit"])
@pytest.mark.parametrize("cls", [PennyLaneQNN, Controlled])
def test_a_model_on_a_device_has_the_hessian_of_the_light_cone(toys, device, cls):
    split = toys.states(5, 3)
    expected = Landscape(toys.build(cls(depth=2), split), split)
    model = toys.build(cls(depth=2, device=device), split)
    found = Landscape(model, split)
    torch.testing.assert_close(found.theta, expected.theta, atol=0, rtol=0)
    torch.testing.assert_close(curvature.matrix_a(found), curvature.matrix_a(expected), atol=1e-12, rtol=0)
    torch.testing.assert_close(curvature.matrix_b(found), curvature.matrix_b(expected), atol=1e-12, rtol=0)
    assert model.device == device  # the user's own model is left alone
    assert not model.supports_vmap


def test_a_model_trained_in_single_precision_has_the_landscape_of_the_same_parameters_in_double(toys):
    for kind, split in ((MLP(hidden=(5,)), toys.real_split(9, 4)), (PennyLaneQNN(depth=2), toys.states(5, 3))):
        models = {}
        for dtype in ("float32", "float64"):
            models[dtype] = toys.build(type(kind)(**(kind.config() | {"dtype": dtype})), split)
        with torch.no_grad():
            for single, double in zip(models["float32"].parameters(), models["float64"].parameters(), strict=True):
                double.copy_(single)
        single, double = (Landscape(models[dtype], split) for dtype in ("float32", "float64"))
        assert single.theta.dtype == single.x.dtype == torch.float64
        torch.testing.assert_close(single.theta, double.theta, atol=0, rtol=0)
        for function in (curvature.matrix_a, curvature.matrix_b, curvature.gradient):
            torch.testing.assert_close(function(single), function(double), atol=0, rtol=0)
        assert {parameter.dtype for parameter in models["float32"].parameters()} == {torch.float32}


@pytest.mark.parametrize("hidden", [(7,), (6, 4), (3, 3, 3)], ids=str)
def test_the_second_term_of_a_relu_network_has_no_trace_but_is_not_zero(toys, hidden):
    split = toys.real_split(12, 4)
    landscape = Landscape(toys.build(MLP(hidden=hidden, dtype="float64"), split), split)
    b = curvature.matrix_b(landscape)
    assert float(b.diagonal().abs().max()) == 0.0
    assert torch.equal(curvature.diagonal_b(landscape), torch.zeros(landscape.n_parameters, dtype=torch.float64))
    assert float(b.abs().max()) > 1e-3


def test_the_first_term_is_never_negative_and_the_second_is_free_in_sign(toys):
    """The circuit's second term is positive for the labels it predicts and negative for all of them flipped."""
    split = toys.states(8, 3)
    model = toys.build(PennyLaneQNN(depth=2), split)
    with torch.no_grad():
        predicted = (model(model.prepare(split.x)) > 0).long()
    right, wrong = (Landscape(model, Split(split.x, y)) for y in (predicted, 1 - predicted))
    assert float(torch.linalg.eigvalsh(curvature.matrix_a(right))[0]) > -1e-12
    torch.testing.assert_close(curvature.matrix_a(right), curvature.matrix_a(wrong), atol=0, rtol=0)
    assert float(curvature.diagonal_b(right).sum()) > 0.1
    assert float(curvature.diagonal_b(wrong).sum()) < -0.1


def test_curvature_is_taken_at_the_centre_and_on_the_samples(toys):
    split, other = toys.real_split(9, 4), toys.real_split(5, 4, seed=6)
    models = [toys.build(toys.Bend(), split, seed=seed) for seed in (0, 1)]
    landscape = Landscape(models[0], split, other, points={"second": models[1]}).at("second").on("validation")
    expected = Landscape(models[1], other)
    for function in (curvature.matrix_a, curvature.matrix_b, curvature.gradient):
        torch.testing.assert_close(function(landscape), function(expected), atol=0, rtol=0)


class Constant(Model):
    """The same logit whatever the features: a baseline that every paper has."""

    def __init__(self) -> None:
        super().__init__()

    def setup(self, features):
        self.bias = torch.nn.Parameter(torch.zeros(1, dtype=self.dtype))

    def reset_parameters(self, generator):
        torch.nn.init.zeros_(self.bias)

    def prepare(self, x):
        return x.to(self.dtype)

    def forward(self, prepared):
        return self.bias.expand(len(prepared))


class Scalars(Constant):
    """A line with a slope and an offset without axes, as in tests/unlearning/test_oracle.py."""

    def setup(self, features):
        self.gain = torch.nn.Parameter(torch.tensor(0.7, dtype=self.dtype))
        self.offset = torch.nn.Parameter(torch.tensor(-0.2, dtype=self.dtype))

    def forward(self, prepared):
        return self.gain * prepared[:, 0] + self.offset


def test_a_constant_model_has_trace_p_times_1_minus_p(toys):
    split = toys.real_split(8, 2)
    landscape = Landscape(toys.build(Constant(), split, seed=1), split)
    p = float(torch.sigmoid(landscape.theta[0]))
    assert float(curvature.matrix_a(landscape).trace()) == pytest.approx(p * (1.0 - p))
    assert float(curvature.diagonal_a(landscape).sum()) == pytest.approx(p * (1.0 - p))


def test_parameters_without_axes(toys):
    split = toys.real_split(8, 1)
    landscape = Landscape(Scalars().build(toys.features(1)), split)
    assert landscape.theta.tolist() == [0.7, -0.2]
    x = torch.stack([split.x[:, 0], torch.ones(8, dtype=torch.float64)])
    p = torch.sigmoid(0.7 * split.x[:, 0] - 0.2)
    expected = (x * (p * (1.0 - p))) @ x.mT / 8
    torch.testing.assert_close(curvature.matrix_a(landscape), expected, atol=1e-12, rtol=0)


class Unread(PennyLaneQNN):
    """A circuit whose readout no weight reaches."""

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"idle": (2,)}

    def ansatz(self, **weights: Any) -> None:
        qml.RX(weights["idle"][0], wires=0)
        qml.RZ(weights["idle"][1], wires=self.n_wires - 1)


def test_a_readout_that_no_weight_reaches_is_flat(toys):
    split = toys.states(4, 2)
    landscape = Landscape(toys.build(Unread(), split), split)
    assert RougheningProbe().trace(landscape).total == 0.0
    assert not curvature.matrix_b(landscape).any()


def test_unnormalised_states_and_repeated_rows(toys):
    """Logits scale with the squared norm; the mean over rows does not care how often all are repeated."""
    split = toys.states(4, 3)
    x = split.x * torch.tensor([[0.5], [2.0], [1.0], [0.0]], dtype=torch.complex128)
    model = toys.build(PennyLaneQNN(depth=2), split)
    single = Landscape(model, Split(x, split.y))
    double = Landscape(model, Split(torch.cat([x, x]), torch.cat([split.y, split.y])))
    a, b = toys.dense_terms(circuit_logits(model, x), single.theta, split.y)
    torch.testing.assert_close(curvature.matrix_a(double), a, atol=1e-10, rtol=0)
    torch.testing.assert_close(curvature.matrix_b(double), b, atol=1e-10, rtol=0)
    torch.testing.assert_close(curvature.diagonal_a(single), a.diagonal(), atol=1e-10, rtol=0)
