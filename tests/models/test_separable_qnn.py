"""The circuit without entangling gates, against the rotations of single qubits."""

from __future__ import annotations

import math
from functools import reduce

import numpy as np
import pytest
import torch

from qlab.landscape import Landscape
from qlab.models import CNOTQNN, Features, PennyLaneQNN, checkpoint
from qlab.tasks import Split

DEVICES = ["lightcone", "default.qubit", "lightning.qubit"]


def features(n_wires):
    return Features(2**n_wires, True, torch.ones(2**n_wires, dtype=torch.bool))


def states(n, n_wires):
    return torch.randn(n, 2**n_wires, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))


def build(n_wires, cls=PennyLaneQNN, **fields):
    model = cls(entangler="none", **fields).build(features(n_wires))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(6.0 * torch.rand(parameter.shape, generator=generator, dtype=torch.float64) - 3.0)
    return model


def rx(angle):
    cosine, sine = math.cos(angle / 2), -1j * math.sin(angle / 2)
    return np.array([[cosine, sine], [sine, cosine]])


def ry(angle):
    cosine, sine = math.cos(angle / 2), math.sin(angle / 2)
    return np.array([[cosine, -sine], [sine, cosine]])


def turned_z(rotations, wire):
    """u^dagger Z u of one wire, u the product of its rotations."""
    gates = (rx, ry, rx)
    u = np.eye(2)
    for row in rotations:
        for gate, angle in zip(gates, row[:, wire], strict=True):
            u = gate(float(angle)) @ u
    return u.conj().T @ np.diag([1.0, -1.0]) @ u


def by_single_qubits(model, x, wires):
    """scale times the mean of <u^dagger Z u> over some wires."""
    rotations, n = model.rotations.detach().numpy(), model.n_wires
    operator = sum(
        reduce(np.kron, [turned_z(rotations, wire) if at == wire else np.eye(2) for at in range(n)]) for wire in wires
    )
    values = np.einsum("ni,ij,nj->n", x.numpy().conj(), operator, x.numpy()).real
    return torch.from_numpy(model.scale * values / len(wires))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("observable", "wires"), [("Z_last", [3]), ("mean_Z", [0, 1, 2, 3])])
def test_logits_are_those_of_rotations_of_single_qubits(device, observable, wires):
    model, x = build(4, depth=3, device=device, observable=observable), states(5, 4)
    with torch.no_grad():
        found = model(model.prepare(x))
    torch.testing.assert_close(found, by_single_qubits(model, x, wires), atol=1e-10, rtol=0)


def test_the_readout_sees_one_qubit():
    model = build(6, depth=4)
    assert model.cone.wires == (5,)
    assert model.engine.coefficients == 4
    assert len(build(6, depth=4, observable="mean_Z").cone.wires) == 6


def test_there_are_no_couplings_not_even_empty_ones():
    model = build(4, depth=2)
    assert {name: tuple(part.shape) for name, part in model.named_parameters()} == {"rotations": (2, 3, 4)}
    assert model.n_parameters() == 24
    layers = {name: place.tolist() for name, place in model.parameter_layers().items()}
    assert layers == {"row 1": [*range(12)], "row 2": [*range(12, 24)]}
    assert [len(part) for part in model.parameter_filters()] == [12, 12]


def test_rows_of_single_rotations_without_cnots_are_separable_too():
    model = build(4, cls=CNOTQNN, depth=3)
    assert model.cone.wires == (3,)
    assert set(dict(model.named_parameters())) == {"rotations"}


def test_checkpoints_round_trip(tmp_path):
    model, x = build(3, depth=2), states(4, 3)
    checkpoint.save(tmp_path / "a.safetensors", model, model.state_dict(), "PennyLaneQNN")
    loaded = checkpoint.load(tmp_path / "a.safetensors")
    assert loaded.config() == model.config()
    with torch.no_grad():
        assert torch.equal(loaded(loaded.prepare(x)), model(model.prepare(x)))


def test_a_landscape_has_as_many_directions_as_rotations():
    model = build(3, depth=2)
    landscape = Landscape(model, Split(states(6, 3), torch.arange(6) % 2))
    assert landscape.theta.shape == (18,)
    losses, _ = landscape.evaluate(landscape.theta[None], torch.tensor([[1.0], [0.5]]))
    assert bool(losses.isfinite().all())
    assert losses[0] != losses[1]


def test_program_has_no_gate_on_two_qubits():
    circuit = build(3, depth=2).circuit()
    program = circuit.openqasm()
    assert "rx(" in program
    assert "cx" not in program
    assert "rzz" not in program
    assert "ZZ" not in circuit.text()
