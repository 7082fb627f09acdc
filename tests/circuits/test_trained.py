"""Trained circuits outside of qlab: plain PennyLane on several devices, OpenQASM on a simulator written here."""

from __future__ import annotations

import re

import numpy as np
import pennylane as qml
import pytest
import torch

from qlab.errors import ConfigError, DataError, MissingExtraError
from qlab.models import CNOTQNN, Features, PennyLaneQNN


class Zoo(PennyLaneQNN):
    """Gates that PennyLane binds anew in ways of their own, a trained matrix, and an observable in several bases."""

    def weight_shapes(self):
        return {"w": (8,)}

    def ansatz(self, w):
        for wire in range(self.n_wires):
            qml.RX(w[wire], wires=wire)
        qml.StronglyEntanglingLayers(w[:6].reshape(1, 2, 3), wires=[0, 1])
        qml.ctrl(qml.RY, control=0, control_values=0)(torch.sin(w[3]), wires=2)
        qml.PauliRot(w[4], "XYZ", wires=[0, 1, 2])
        qml.adjoint(qml.S)(wires=1)
        qml.GlobalPhase(w[5])
        c, s = torch.cos(w[6]), torch.sin(w[6])
        qml.QubitUnitary(torch.stack([torch.stack([c, -s]), torch.stack([s, c])]), wires=2)
        qml.exp(qml.X(0) @ qml.Z(2), 0.25j)
        qml.Toffoli(wires=[0, 2, 1])

    def observable(self):
        return 0.5 * qml.X(0) @ qml.Y(2) - qml.Z(1) + 0.25 * qml.X(0)


class Several(Zoo):
    """Terms that need programs of their own."""

    def observable(self):
        return qml.X(0) + qml.Z(0) @ qml.Z(1)


CONFIGURATIONS = {
    "amplitudes": (8, PennyLaneQNN, {"depth": 2, "entangler": "ring"}),
    "angles": (4, PennyLaneQNN, {"depth": 2, "encoding": "angle", "encoding_scale": 1.5, "observable": "ZZ_last"}),
    "angles again": (3, CNOTQNN, {"depth": 3, "encoding": "angle", "rotation": "RX", "reupload": 2}),
    "mean": (4, PennyLaneQNN, {"depth": 2, "encoding": "angle", "observable": "mean_Z"}),
    "zoo": (8, Zoo, {}),
    "zoo of angles": (3, Zoo, {"encoding": "angle"}),
}


def trained(name):
    """A model with some weights, rows of unit norm, and <O> as the model has it."""
    dimension, cls, fields = CONFIGURATIONS[name]
    is_complex = "encoding" not in fields
    model = cls(**fields).build(Features(dimension, is_complex, torch.ones(dimension, dtype=torch.bool)))
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(4.0 * torch.rand(parameter.shape, generator=generator, dtype=torch.float64) - 2.0)
    dtype = torch.complex128 if is_complex else torch.float64
    x = torch.randn(3, dimension, dtype=dtype, generator=generator)
    x = x / torch.linalg.vector_norm(x, dim=1, keepdim=True)
    with torch.no_grad():
        return model, x.numpy(), (model(model.prepare(x)) / model.scale).numpy()


every_configuration = pytest.mark.parametrize("name", CONFIGURATIONS)


@every_configuration
@pytest.mark.parametrize("device", ["default.qubit", "lightning.qubit"])
def test_a_qnode_has_the_models_values(name, device):
    model, x, expected = trained(name)
    qnode = model.to_qnode(device)
    assert isinstance(qnode, qml.QNode)
    np.testing.assert_allclose(qnode(x), expected, atol=1e-10)
    assert float(qnode(x[0])) == pytest.approx(expected[0], abs=1e-10)
    operations = qml.workflow.construct_tape(qnode)(x[0]).operations
    assert not any(isinstance(value, torch.Tensor) for operation in operations for value in operation.parameters)


def test_an_affine_readout_is_outside_of_the_qnode_as_its_docstring_says():
    model = PennyLaneQNN(depth=2, readout="affine").build(Features(8, False, torch.ones(8, dtype=torch.bool)))
    model.reset_parameters(torch.Generator().manual_seed(0))
    with torch.no_grad():
        model.readout_scale.fill_(-2.5)
        model.readout_offset.fill_(0.75)
        x = 3.0 * torch.nn.functional.normalize(torch.rand(2, 8, dtype=torch.float64), dim=1)
        expected = model(model.prepare(x)).numpy()
    np.testing.assert_allclose(-2.5 * 9.0 * model.to_qnode()(x.numpy()) + 0.75, expected, atol=1e-10)


@pytest.mark.parametrize("name", ["angles", "angles again", "mean"])
def test_the_cone_alone_has_them_too(name):
    model, x, expected = trained(name)
    np.testing.assert_allclose(model.to_qnode(cone=True)(x), expected, atol=1e-10)


def test_the_cone_of_forty_qubits_runs_anywhere():
    model = PennyLaneQNN(encoding="angle", depth=3).build(Features(40, False, torch.ones(40, dtype=torch.bool)))
    model.reset_parameters(torch.Generator().manual_seed(0))
    x = torch.rand(2, 40, dtype=torch.float64)
    with torch.no_grad():
        expected = (model(model.prepare(x)) / 5.0).numpy()
    np.testing.assert_allclose(model.to_qnode(cone=True)(x.numpy()), expected, atol=1e-10)
    assert "qreg q[3];" in model.circuit(cone=True).openqasm()


@every_configuration
def test_aer_agrees_within_four_standard_errors(name):
    pytest.importorskip("pennylane_qiskit", reason="the extra qiskit is not installed")
    pytest.importorskip("qiskit_aer", reason="the extra qiskit is not installed")
    model, x, expected = trained(name)
    shots = 20_000
    device = qml.device("qiskit.aer", wires=model.n_wires, seed_simulator=5)
    norm = sum(abs(coefficient) for coefficient, _ in model.cone.observable.terms)
    qnode = model.to_qnode(device, shots=shots)
    for row, value in zip(x, expected, strict=True):
        assert abs(float(qnode(row)) - value) < 4 * norm / shots**0.5


SQRT = np.sqrt(0.5)
FIXED = {
    "h": SQRT * np.array([[1, 1], [1, -1]]),
    "x": np.array([[0, 1], [1, 0]]),
    "y": np.array([[0, -1j], [1j, 0]]),
    "z": np.diag([1, -1]),
    "s": np.diag([1, 1j]),
    "sdg": np.diag([1, -1j]),
    "t": np.diag([1, np.exp(0.25j * np.pi)]),
    "tdg": np.diag([1, np.exp(-0.25j * np.pi)]),
    "cx": np.eye(4)[[0, 1, 3, 2]],
    "cz": np.diag([1, 1, 1, -1]),
    "swap": np.eye(4)[[0, 2, 1, 3]],
    "ccx": np.eye(8)[[0, 1, 2, 3, 4, 5, 7, 6]],
}
GENERATORS = {"rx": FIXED["x"], "ry": FIXED["y"], "rz": FIXED["z"]}


def run_qasm(program, state=None):
    """The final state of an OpenQASM 2 program, and the qubits that it measures."""
    header, include, *lines = [line for line in program.splitlines() if line and not line.startswith("//")]
    assert (header, include) == ("OPENQASM 2.0;", 'include "qelib1.inc";')
    n = int(re.fullmatch(r"qreg q\[(\d+)\];", lines[0])[1])
    assert lines[1] == f"creg c[{n}];"
    psi = np.eye(2**n, 1, dtype=complex).reshape([2] * n) if state is None else state.reshape([2] * n)
    measured = []
    for line in lines[2:]:
        if found := re.fullmatch(r"measure q\[(\d+)\] -> c\[\1\];", line):
            measured.append(int(found[1]))
            continue
        gate, angle, qubits = re.fullmatch(r"(\w+)(?:\((.*)\))? (.*);", line).groups()
        wires = [int(number) for number in re.findall(r"q\[(\d+)\]", qubits)]
        if gate in GENERATORS:
            half = float(angle) / 2
            matrix = np.cos(half) * np.eye(2) - 1j * np.sin(half) * GENERATORS[gate]
        else:
            matrix = np.diag([1, np.exp(1j * float(angle))]) if gate in ("u1", "p") else FIXED[gate]
        k = len(wires)
        moved = np.tensordot(matrix.reshape([2] * (2 * k)), psi, axes=(range(k, 2 * k), wires))
        psi = np.moveaxis(moved, range(k), wires)
    return psi, measured


def signed(psi, observable):
    """<O> by the probabilities in the measured basis, in which each term is a product of Z."""
    probabilities = np.abs(psi) ** 2
    total = 0.0
    for coefficient, word in observable.terms:
        signs = np.ones(psi.shape)
        for wire, _ in word:
            signs = signs * np.array([1, -1]).reshape([2 if axis == wire else 1 for axis in range(psi.ndim)])
        total += coefficient * float((probabilities * signs).sum())
    return total


@every_configuration
def test_openqasm_measures_the_models_values(name):
    model, x, expected = trained(name)
    for row, value in zip(x, expected, strict=True):
        psi, measured = run_qasm(model.circuit().openqasm(row))
        assert measured == list(model.cone.observable.wires)
        assert signed(psi, model.cone.observable) == pytest.approx(value, abs=1e-9)


def test_openqasm_without_features_begins_with_the_ansatz():
    model, x, expected = trained("amplitudes")
    program = model.circuit().openqasm()
    assert "// to be prepared before: 2^n features as amplitudes, q[0] most significant" in program
    psi, _ = run_qasm(program, x[1])
    assert signed(psi, model.cone.observable) == pytest.approx(expected[1], abs=1e-9)


def test_terms_without_a_common_basis_are_not_measured():
    model = Several(encoding="angle").build(Features(3, False, torch.ones(3, dtype=torch.bool)))
    model.reset_parameters(torch.Generator().manual_seed(0))
    program = model.circuit().openqasm()
    assert "measure" not in program.replace("nothing is measured here", "")
    assert "// its terms have no common basis" in program


def test_text_names_features_and_angles():
    model, _, _ = trained("angles")
    lines = model.circuit(cone=True).text().splitlines()
    assert [line.split(":")[0] for line in lines] == ["1", "2", "3"]
    assert "RY(x3)" in lines[2]
    assert "IsingZZ" in lines[2]
    assert "RY(x0)" in model.circuit().text()


def test_what_cannot_be_done_is_refused_with_what_to_do():
    amplitudes, x, _ = trained("amplitudes")
    again, rows, _ = trained("angles again")
    with pytest.raises(ConfigError, match=r"entangled with the others.*cone=False.*angle"):
        amplitudes.to_qnode(cone=True)
    with pytest.raises(ConfigError, match=r"light cone alone; leave features out"):
        amplitudes.circuit(cone=True).openqasm(x[0])
    with pytest.raises(ConfigError, match=r"re-uploading.*give a row of features"):
        again.circuit().openqasm()
    with pytest.raises(DataError, match=r"one row of features, got the shape \[3, 3\]"):
        again.circuit().openqasm(rows)
    with pytest.raises(DataError, match=r"rows of 3 features, \[d\] or \[N, d\]; got \[4\]"):
        again.to_qnode()(np.zeros(4))
    with pytest.raises(DataError, match="no circuit yet; build it"):
        PennyLaneQNN().to_qnode()
    with pytest.raises(MissingExtraError, match=r'device = "nowhere" cannot be used here.*qlab-unlearning\[qiskit\]'):
        again.to_qnode("nowhere")


@pytest.mark.parametrize("readout", ["fixed", "affine"])
def test_openqasm_says_how_the_logit_follows(readout):
    model = PennyLaneQNN(depth=1, encoding="angle", readout=readout).build(
        Features(3, False, torch.ones(3, dtype=torch.bool))
    )
    model.reset_parameters(torch.Generator().manual_seed(0))
    x = torch.tensor([[0.3, -0.2, 0.9]], dtype=torch.float64)
    if readout == "affine":
        with torch.no_grad():
            model.readout_offset.fill_(-0.25)
    said = re.search(r"// its logit is (.*)", model.circuit().openqasm(x[0].numpy()))
    value = float(torch.as_tensor(model.to_qnode()(x))[0])
    scale, _, rest = said[1].partition(" * value")
    offset = float(rest.replace(" ", "") or 0)
    assert float(scale) * value + offset == pytest.approx(float(model(model.prepare(x))[0].detach()), abs=1e-9)
