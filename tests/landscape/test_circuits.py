"""Landscapes of circuits with angles, uploads, other observables and trained readouts, against default.qubit."""

from __future__ import annotations

from pathlib import Path

import pennylane as qml
import pytest
import torch

from qlab.landscape import Landscape, SliceProbe
from qlab.landscape.curvature import matrix_a, matrix_b
from qlab.models import Features, PennyLaneQNN
from qlab.tasks import Split
from qlab.views.circuit import draw_circuit

N = 3
CONFIGURATIONS = {
    "angles": {"depth": 2, "entangler": "ring"},
    "uploads, mean and affine": {"depth": 2, "reupload": 2, "observable": "mean_Z", "readout": "affine"},
    "ZZ on a device": {"depth": 2, "observable": "ZZ_last", "rotation": "RX", "device": "lightning.qubit"},
}


def landscape_of(name):
    model = PennyLaneQNN(encoding="angle", **CONFIGURATIONS[name]).build(
        Features(N, False, torch.ones(N, dtype=torch.bool))
    )
    generator = torch.Generator().manual_seed(0)
    model.reset_parameters(generator)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.rand(parameter.shape, generator=generator, dtype=torch.float64))
    x = torch.randn(4, N, generator=generator, dtype=torch.float64)
    return model, Landscape(model, Split(x, torch.tensor([0, 1, 1, 0]))), x


def loss_by_hand(model, x, y):
    """Cross-entropy of the circuit written out, of the flat parameters."""
    fields = model.config()
    n_rotations, pairs = model.depth * 3 * N, [(0, 1), (1, 2), (2, 0)][: 3 if model.entangler == "ring" else 2]
    mean = sum((qml.Z(wire) for wire in range(1, N)), qml.Z(0)) / N
    observable = {"mean_Z": mean, "ZZ_last": qml.Z(1) @ qml.Z(2), "Z_last": qml.Z(2)}[fields["observable"]]

    @qml.qnode(qml.device("default.qubit", wires=N), interface="torch", diff_method="backprop")
    def circuit(rotations, couplings, row):
        for layer in range(model.depth):
            if layer == 0 or fields["reupload"] > 1:
                for wire in range(N):
                    getattr(qml, fields["rotation"])(row[wire], wires=wire)
            for wire in range(N):
                for gate, turn in zip((qml.RX, qml.RY, qml.RX), rotations[layer, :, wire], strict=True):
                    gate(turn, wires=wire)
            for number, pair in enumerate(pairs):
                qml.IsingZZ(couplings[layer, number], wires=pair)
        return qml.expval(observable)

    def loss(flat):
        rotations = flat[:n_rotations].reshape(model.depth, 3, N)
        couplings = flat[n_rotations : n_rotations + model.depth * len(pairs)].reshape(model.depth, -1)
        values = torch.stack([circuit(rotations, couplings, row) for row in x])
        logits = flat[-2] * values + flat[-1] if fields["readout"] == "affine" else model.scale * values
        return torch.nn.functional.binary_cross_entropy_with_logits(logits, y.double())

    return loss


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_the_hessian_is_that_of_the_circuit_written_out(name):
    model, landscape, x = landscape_of(name)
    loss = loss_by_hand(model, x, torch.tensor([0, 1, 1, 0]))
    assert float(landscape.loss(landscape.theta)) == pytest.approx(float(loss(landscape.theta)), abs=1e-12)
    expected = torch.autograd.functional.hessian(loss, landscape.theta)
    torch.testing.assert_close(matrix_a(landscape) + matrix_b(landscape), expected, atol=1e-9, rtol=0)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_slices_and_pictures_can_be_made(name, tmp_path: Path):
    model, landscape, x = landscape_of(name)
    found = landscape.measure(SliceProbe(resolution=3))
    assert all(torch.isfinite(torch.as_tensor(array)).all() for array in found.arrays.values())
    loss = loss_by_hand(model, x, torch.tensor([0, 1, 1, 0]))
    basis = torch.stack([landscape.theta, torch.ones_like(landscape.theta)])
    losses, _ = landscape.evaluate(basis, torch.tensor([[1.0, 0.0], [1.0, 0.1]], dtype=torch.float64))
    assert losses.tolist() == pytest.approx([float(loss(landscape.theta)), float(loss(landscape.theta + 0.1))])
    assert draw_circuit(model, tmp_path / "circuit.png").read_bytes().startswith(b"\x89PNG")
