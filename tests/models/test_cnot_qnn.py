"""The circuit of RX, RY and CNOTs, against the circuit written out for PennyLane."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pennylane as qml
import pytest
import torch
from torch.func import functional_call, vmap

import qlab
from qlab import seeding
from qlab.circuits.observables import pauli_z
from qlab.corruptions import FeatureRandomization, LabelFlip
from qlab.errors import ConfigError, DataError
from qlab.models import CNOTQNN, Features, PennyLaneQNN, checkpoint
from qlab.training import Member, Trainer


def features(n_wires):
    return Features(2**n_wires, True, torch.ones(2**n_wires, dtype=torch.bool))


def states(n, n_wires, seed=0):
    x = torch.randn(n, 2**n_wires, dtype=torch.complex128, generator=torch.Generator().manual_seed(seed))
    return x / torch.linalg.vector_norm(x, dim=1, keepdim=True)


def build(n_wires, seed=1, **fields):
    """A model with weights anywhere on the circle."""
    model = CNOTQNN(**fields).build(features(n_wires))
    with torch.no_grad():
        drawn = torch.rand(model.rotations.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        model.rotations.copy_(6.0 * drawn - 3.0)
    return model


def ring_of(n_wires):
    """Control and target of the CNOTs that close a ring; two wires have one."""
    return {1: [], 2: [(0, 1)]}.get(n_wires, [(wire, (wire + 1) % n_wires) for wire in range(n_wires)])


def pairs_of(n_wires, entangler):
    return ring_of(n_wires) if entangler == "ring" else [(wire, wire + 1) for wire in range(n_wires - 1)]


def by_pennylane(model, weights, x):
    """Logits of the circuit written out, on default.qubit, differentiable by backpropagation."""
    n_wires = model.n_wires

    @qml.qnode(qml.device("default.qubit", wires=n_wires), interface="torch", diff_method="backprop")
    def circuit(state):
        qml.StatePrep(state, wires=range(n_wires))
        for layer in range(model.depth):
            for wire in range(n_wires):
                qml.RX(weights[layer, 0, wire], wires=wire)
                qml.RY(weights[layer, 1, wire], wires=wire)
            for control, target in pairs_of(n_wires, model.entangler):
                qml.CNOT(wires=[control, target])
        return qml.expval(qml.Z(n_wires - 1))

    return torch.stack([model.scale * circuit(row) for row in x])


def by_matrices(model, x):
    """The same with dense matrices, wire 0 the most significant bit."""
    n_wires, size = model.n_wires, 2**model.n_wires
    unitary = np.eye(size, dtype=complex)
    for row in model.rotations.detach().numpy():
        single = np.eye(1)
        for wire in range(n_wires):
            a, b = row[0, wire] / 2, row[1, wire] / 2
            rx = np.array([[math.cos(a), -1j * math.sin(a)], [-1j * math.sin(a), math.cos(a)]])
            ry = np.array([[math.cos(b), -math.sin(b)], [math.sin(b), math.cos(b)]])
            single = np.kron(single, ry @ rx)
        unitary = single @ unitary
        for control, target in pairs_of(n_wires, model.entangler):
            flip = np.zeros((size, size))
            for bits in itertools.product((0, 1), repeat=n_wires):
                after = list(bits)
                after[target] ^= bits[control]
                flip[int("".join(map(str, after)), 2), int("".join(map(str, bits)), 2)] = 1.0
            unitary = flip @ unitary
    out = x.numpy() @ unitary.T
    signs = 1.0 - 2.0 * (np.arange(size) % 2)
    return torch.from_numpy(model.scale * (np.abs(out) ** 2 @ signs))


CASES = pytest.mark.parametrize(
    ("n_wires", "depth", "entangler"),
    [(1, 2, "ring"), (2, 2, "ring"), (2, 3, "chain"), (3, 1, "ring"), (4, 3, "ring"), (4, 2, "chain"), (5, 5, "ring")],
)


@CASES
@pytest.mark.parametrize("device", ["lightcone", "default.qubit", "lightning.qubit"])
def test_logits_are_those_of_the_circuit_written_out(n_wires, depth, entangler, device):
    model, x = build(n_wires, depth=depth, entangler=entangler, device=device), states(3, n_wires)
    with torch.no_grad():
        found = model(model.prepare(x))
        torch.testing.assert_close(found, by_pennylane(model, model.rotations, x), atol=1e-10, rtol=0)
        torch.testing.assert_close(found, by_matrices(model, x), atol=1e-10, rtol=0)


@CASES
def test_gradients_are_those_of_the_circuit_written_out(n_wires, depth, entangler):
    model, x = build(n_wires, depth=depth, entangler=entangler), states(3, n_wires)
    factors = torch.tensor([1.0, -0.5, 2.0], dtype=torch.float64)
    (factors @ model(model.prepare(x))).backward()
    weights = model.rotations.detach().clone().requires_grad_()
    (factors @ by_pennylane(model, weights, x)).backward()
    torch.testing.assert_close(model.rotations.grad, weights.grad, atol=1e-10, rtol=0)


def test_gradient_is_that_of_the_parameter_shift_rule():
    model = build(3, depth=2, entangler="ring", scale=2.0)
    prepared = model.prepare(states(2, 3))
    model(prepared).sum().backward()
    with torch.no_grad():
        for index in range(model.rotations.numel()):
            entry = model.rotations.view(-1)[index]
            middle, values = entry.clone(), []
            for sign in (1, -1):
                entry.fill_(middle + sign * math.pi / 2)
                values.append(float(model(prepared).sum()))
            entry.copy_(middle)
            assert float(model.rotations.grad.view(-1)[index]) == pytest.approx((values[0] - values[1]) / 2, abs=1e-10)


@pytest.mark.parametrize("depth", [1, 2, 5])
@pytest.mark.parametrize("n_wires", [3, 4, 6, 10])
def test_the_light_cone_of_a_ring_is_the_whole_register(n_wires, depth):
    model = CNOTQNN(depth=depth, entangler="ring").build(features(n_wires))
    assert model.cone.wires == tuple(range(n_wires))
    assert model.cone.observable == pauli_z(n_wires - 1)


@pytest.mark.parametrize("n_wires", [4, 6])
@pytest.mark.parametrize("entangler", ["ring", "chain"])
def test_one_row_of_cnots_makes_the_readout_depend_on_every_wire(n_wires, entangler):
    """Unlike RZZ: there is a gradient on every wire already at depth 1."""
    model = build(n_wires, depth=1, entangler=entangler)
    model(model.prepare(states(4, n_wires)))[0].backward()
    reached = (model.rotations.grad.abs() > 1e-9)[0].any(0)
    assert bool(reached.all())
    assert model.cone.wires == tuple(range(n_wires))
    narrow = PennyLaneQNN(depth=1, entangler=entangler).build(features(n_wires))
    assert len(narrow.cone.wires) == 1


@pytest.mark.parametrize(
    ("n_wires", "fields", "shape"),
    [(4, {"depth": 2}, (2, 2, 4)), (3, {"depth": 5, "entangler": "ring"}, (5, 2, 3)), (6, {}, (4, 2, 6))],
)
def test_shapes_of_weights(n_wires, fields, shape):
    model = CNOTQNN(**fields).build(features(n_wires))
    assert {name: tuple(part.shape) for name, part in model.named_parameters()} == {"rotations": shape}
    assert model.n_parameters() == math.prod(shape)


def test_layers_and_filters_are_rows_of_the_circuit():
    model = build(3, depth=2)
    layers = {name: place.tolist() for name, place in model.parameter_layers().items()}
    assert layers == {"row 1": [*range(6)], "row 2": [*range(6, 12)]}
    assert [part.tolist() for part in model.parameter_filters()] == [[*range(6)], [*range(6, 12)]]


def test_fields_are_those_of_the_other_circuit():
    assert CNOTQNN().config() == PennyLaneQNN().config()
    model = CNOTQNN(depth=5, entangler="ring", scale=1.5)
    assert CNOTQNN(**model.config()).config() == model.config()
    assert qlab.CNOTQNN is CNOTQNN
    with pytest.raises(ConfigError, match='CNOTQNN: entangler: got "circle", accepts one of "chain", "ring"'):
        CNOTQNN(entangler="circle")
    with pytest.raises(ConfigError, match="CNOTQNN: depth: got 0, accepts an integer of at least 1"):
        CNOTQNN(depth=0)
    with pytest.raises(ConfigError, match=r'CNOTQNN: unknown field "dept"\. Did you mean "depth"'):
        CNOTQNN(dept=5)


def test_features_that_are_no_power_of_two_are_refused():
    with pytest.raises(DataError, match=r"CNOTQNN encodes .* got 784; pad them with zeros to 1024, or use encoding"):
        CNOTQNN().build(Features(784, False, torch.ones(784, dtype=torch.bool)))


def test_states_without_unit_norm_count_by_their_squared_norm():
    """As pictures whose columns are normalised."""
    model, x = build(3, depth=2, entangler="ring"), states(3, 3)
    factors = torch.tensor([[0.0], [3.0], [1.0j]], dtype=torch.complex128)
    with torch.no_grad():
        expected = model(model.prepare(x)) * torch.tensor([0.0, 9.0, 1.0], dtype=torch.float64)
        torch.testing.assert_close(model(model.prepare(factors * x)), expected, atol=1e-10, rtol=1e-10)


def test_vmap_over_weights_equals_a_loop():
    model = build(3, depth=2, entangler="ring")
    prepared = model.prepare(states(3, 3))
    drawn = torch.randn(4, *model.rotations.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    found = vmap(lambda weights: functional_call(model, {"rotations": weights}, (prepared,)))(drawn)
    for index in range(4):
        single = functional_call(model, {"rotations": drawn[index]}, (prepared,))
        torch.testing.assert_close(found[index], single, atol=1e-12, rtol=0)


@pytest.mark.parametrize("corruption", [LabelFlip(ratio=0.5), FeatureRandomization(ratio=0.5)], ids=["flips", "random"])
def test_training_equals_a_plain_loop_over_the_circuit_written_out(small_task, small_data, corruption):
    settings = Trainer(epochs=1, batch_size=8, learning_rate=0.05)
    trained = settings.train(CNOTQNN(depth=2, entangler="ring"), small_task, corruption, seeds=(0, 3))
    for row, seed in enumerate((0, 3)):
        split = Member.of(small_task, small_data, corruption, seed).corrupted.split
        model = CNOTQNN(depth=2, entangler="ring").build(Features.of(small_data))
        model.reset_parameters(seeding.generator(seed, "initialization"))
        weights = model.rotations.detach().clone().requires_grad_()
        optimizer = torch.optim.Adam([weights], lr=0.05)
        for rows in torch.randperm(16, generator=seeding.generator(seed, "batches")).split(8):
            optimizer.zero_grad()
            z = by_pennylane(model, weights, split.x[rows])
            torch.nn.functional.binary_cross_entropy_with_logits(z, split.y[rows].double()).backward()
            optimizer.step()
        torch.testing.assert_close(trained.parameters["rotations"][row], weights.detach(), atol=1e-6, rtol=0)


def test_checkpoints_round_trip(tmp_path):
    model, x = build(3, depth=2, entangler="ring", scale=2.5), states(3, 3)
    checkpoint.save(tmp_path / "a.safetensors", model, model.state_dict(), "CNOTQNN")
    loaded = checkpoint.load(tmp_path / "a.safetensors")
    assert type(loaded) is CNOTQNN
    assert loaded.config() == model.config()
    with torch.no_grad():
        assert torch.equal(loaded(loaded.prepare(x)), model(model.prepare(x)))


def test_a_double_copy_computes_the_same():
    model, x = build(3, depth=2, entangler="ring", dtype="float32"), states(3, 3)
    copied = model.double_copy()
    assert (type(copied), copied.dtype) == (CNOTQNN, torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(copied(copied.prepare(x)), model(model.prepare(x)).double(), atol=1e-4, rtol=1e-4)
