"""A device's noise: its channels against formulas of their own, where they go, and what is refused."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pennylane as qml
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qlab import DeviceNoise, Features, PennyLaneQNN, seeding
from qlab.circuits.channels import kraus_matrices
from qlab.circuits.observables import named_observable
from qlab.circuits.pauli import transfer_matrices
from qlab.errors import ConfigError
from qlab.noise import BitFlip
from qlab.noise.device import depolarized, fidelity_of_relaxation
from qlab.noise.device_data import DeviceData, NativeGate, Qubit
from qlab.noise.device_file import read_device, snapshots

GATES = {
    "one_qubit": ("sx", "sx"),
    "two_qubit": ("cx",),
    "RX": ("sx",),
    "IsingZZ": ("cx", "cx"),
    "IsingXX": ("sx", "cx"),
}


def device(n: int = 3, **changes: Any) -> DeviceData:
    """A chain of qubits 10, 11, ..., no two of which are alike."""
    qubits = {
        10 + k: Qubit(
            50.0 + 10 * k, 60.0 + 15 * k, 0.01 * (k + 1), 0.02 * (k + 1), {"sx": NativeGate(0.001 + k / 1e3, 40)}
        )
        for k in range(n)
    }
    pairs = {(10 + k, 11 + k): {"cx": NativeGate(0.02 + k / 100, 300.0 + k)} for k in range(n - 1)}
    made = DeviceData("toy", "2026-01-01", "made up", "", tuple(qubits), GATES, qubits, pairs)
    return dataclasses.replace(made, **changes)


def infidelity(operations: list[Any], wires: list[int]) -> float:
    """The average gate infidelity of channels after the exact gate, from their Kraus matrices: an identity is ideal.

    F = (d F_P + 1) / (d + 1), Eq. 3 of arXiv:quant-ph/0205035, with F_P = tr(S) / d^2 of S = sum_i K_i x conj(K_i).
    """
    d = 2 ** len(wires)
    total = np.eye(d * d, dtype=complex)
    for operation in operations:
        every = [qml.math.expand_matrix(kraus.numpy(), operation.wires, wires) for kraus in kraus_matrices(operation)]
        total = sum(np.kron(kraus, kraus.conj()) for kraus in every) @ total
    return float(1.0 - (np.trace(total).real / d + 1) / (d + 1))


@settings(max_examples=25, deadline=None)
@given(
    t1=st.tuples(st.floats(5, 500), st.floats(5, 500)),
    share=st.tuples(st.floats(0.05, 2.0), st.floats(0.05, 2.0)),
    time=st.floats(0, 2000),
    error=st.floats(0, 0.7),
    n=st.sampled_from([1, 2]),
)
def test_the_error_of_a_gate_is_the_stated_one_or_that_of_relaxation(
    t1: tuple[float, float], share: tuple[float, float], time: float, error: float, n: int
) -> None:
    error = min(error, 0.6 if n == 2 else 0.45)
    gate = NativeGate(error, time)
    qubits = {k: Qubit(t1[k], t1[k] * share[k], 0.0, 0.0, {"sx": gate}) for k in range(2)}
    data = DeviceData("toy", "2026-01-01", "-", "", (0, 1), GATES | {"RX": ("sx",)}, qubits, {(0, 1): {"cx": gate}})
    with qml.QueuingManager.stop_recording():
        found = DeviceNoise.of(data).after_gate(qml.RX(0.1, wires=0) if n == 1 else qml.CNOT(wires=[1, 0]))
    measured = infidelity(found, list(range(n)))
    relaxation = infidelity([item for item in found if item.name == "ThermalRelaxationError"], list(range(n)))
    assert measured == pytest.approx(max(error, relaxation), abs=1e-9)
    alone = fidelity_of_relaxation(time / 1000, t1[:n], [a * b for a, b in zip(t1[:n], share[:n], strict=True)])
    assert relaxation == pytest.approx(1.0 - alone, abs=1e-9)


AER_DIAGONAL = """
1 0.989971151209 0.989971151209 0.990570255462 0.989183086312 0.986502547002 0.986502547002 0.987099552147
0.989183086312 0.986502547002 0.986502547002 0.987099552147 0.990452976447 0.987768995923 0.987768995923 0.98836676749
"""
AER_SHIFTS = {3: 0.00210631802482, 12: 0.00222446410037, 15: 4.68542883e-06}


def test_the_channels_are_those_of_qiskit_aer() -> None:
    """The Pauli transfer matrix of cx on 0-1 in basic_device_gate_errors of FakeManilaV2's target, qiskit-aer 0.18.2.

    Its words have qubit 1 first. The numbers of that backend, in full.
    """
    cx = NativeGate(0.008827712070629129, 277.3333333333333)
    times = [(131.5286444531517, 102.20390054827382), (124.53550487905082, 79.01470497124718)]
    qubits = {k: Qubit(t1, t2, 0.0, 0.0, {"sx": NativeGate(0.0, 0.0)}) for k, (t1, t2) in enumerate(times)}
    data = DeviceData("manila", "2024-05-27", "-", "", (0, 1), GATES, qubits, {(0, 1): {"cx": cx}})
    with qml.QueuingManager.stop_recording():
        found = DeviceNoise.of(data).after_gate(qml.CNOT(wires=[0, 1]))
    total = np.eye(16)
    for operation in found:  # observables go the other way: R of the adjoint is the transpose
        kraus = [qml.math.expand_matrix(own.numpy(), operation.wires, [1, 0]) for own in kraus_matrices(operation)]
        total = transfer_matrices(torch.from_numpy(np.array(kraus))).sum(0).numpy().T @ total
    np.testing.assert_allclose(np.diag(total), np.array(AER_DIAGONAL.split(), dtype=float), atol=1e-11)
    np.testing.assert_allclose(total[list(AER_SHIFTS), 0], list(AER_SHIFTS.values()), atol=1e-11)


def test_relaxation_may_exceed_the_stated_error() -> None:
    """Qubit 0 of that backend: sx is reported with 1.55e-4, and Aer's channel has 1.61e-4."""
    relaxed = 1.0 - fidelity_of_relaxation(0.03555555555555556, [131.5286444531517], [102.20390054827382])
    assert relaxed == pytest.approx(0.0001609908169827312, rel=1e-9)
    assert depolarized(0.00015506593900605392, 1.0 - relaxed, 1) == 0.0


def names(noise: DeviceNoise, gate: Any) -> list[str]:
    with qml.QueuingManager.stop_recording():
        return [f"{item.name}{list(item.wires)}" for item in noise.after_gate(gate)]


RELAX, FLIP, JOINT = "ThermalRelaxationError", "DepolarizingChannel", "QubitChannel"


def test_gates_get_the_noise_of_the_native_gates_that_they_are_made_of() -> None:
    noise = DeviceNoise.of(device())
    with qml.QueuingManager.stop_recording():
        sx, cx = [f"{FLIP}[0]", f"{RELAX}[0]"], [f"{JOINT}[0, 1]", f"{RELAX}[0]", f"{RELAX}[1]"]
        assert names(noise, qml.RX(0.1, wires=0)) == sx
        assert names(noise, qml.adjoint(qml.RX(0.1, wires=0))) == sx
        assert names(noise, qml.RY(0.1, wires=0)) == sx + sx
        assert names(noise, qml.CNOT(wires=[0, 1])) == cx
        assert names(noise, qml.IsingZZ(0.1, wires=[0, 1])) == cx + cx
        assert names(noise, qml.IsingXX(0.1, wires=[0, 1]))[:4] == [*sx, f"{FLIP}[1]", f"{RELAX}[1]"]
        for free in (
            qml.RZ(0.1, wires=0),
            qml.PhaseShift(0.1, wires=0),
            qml.S(0),
            qml.adjoint(qml.T(0)),
            qml.PauliZ(0),
        ):
            assert names(noise, free) == []
        costly = DeviceNoise.of(device(gates=GATES | {"RZ": ("sx",)}))
        assert names(costly, qml.RZ(0.1, wires=0)) == sx


def test_wires_are_the_chosen_qubits_in_order() -> None:
    noise = DeviceNoise.of(device(), (12, 11))
    assert (noise.t1_us, noise.p1_given_0, noise.pairs) == ((70.0, 60.0), (0.03, 0.02), ((0, 1),))
    with qml.QueuingManager.stop_recording():
        [flip, relax] = noise.after_gate(qml.RX(0.1, wires=1))
    assert relax.parameters == pytest.approx([0.0, 60.0, 75.0, 0.04])
    d_f = 2 * fidelity_of_relaxation(0.04, [60.0], [75.0])
    assert flip.parameters[0] == pytest.approx(0.75 * (d_f - 2 + 2 * 0.002) / (d_f - 1))
    partly = dataclasses.replace(DeviceNoise.of(device()), wires=(0,))
    with qml.QueuingManager.stop_recording():
        assert names(partly, qml.RX(0.1, wires=1)) == names(partly, qml.CNOT(wires=[0, 1])) == []
        assert names(partly, qml.RX(0.1, wires=0)) != []


def test_each_qubit_is_read_with_its_own_errors() -> None:
    measured = DeviceNoise.of(device()).measured(named_observable("ZZ_last", 3))
    a, b = 1 - 0.02 - 0.04, 0.04 - 0.02  # Z -> (1 - p10 - p01) Z + (p01 - p10), qubit 11
    c, d = 1 - 0.03 - 0.06, 0.06 - 0.03  # qubit 12
    found = {tuple(wire for wire, _ in word): value for value, word in measured.terms}
    assert found == pytest.approx({(1, 2): a * c, (1,): a * d, (2,): b * c, (): b * d})


def built(n: int, **fields: Any) -> PennyLaneQNN:
    features = Features(2**n, True, torch.ones(2**n, dtype=torch.bool))
    model = PennyLaneQNN(depth=2, initial_scale=1.0, **fields).build(features)
    model.reset_parameters(torch.Generator().manual_seed(0))
    return model


@pytest.mark.parametrize("entangler", ["chain", "none"])
def test_the_light_cone_agrees_with_default_mixed(entangler: str) -> None:
    noise = DeviceNoise.of(device())
    x = torch.randn(4, 8, dtype=torch.complex128, generator=seeding.generator(0, "states"))
    x = x / x.norm(dim=1, keepdim=True)
    logits, gradients = [], []
    for where in ("lightcone", "default.mixed"):
        model = built(3, noise=noise, device=where, entangler=entangler)
        values = model(model.prepare(x))
        logits.append(values.detach())
        gradients.append(
            torch.cat([g.reshape(-1) for g in torch.autograd.grad(values.sum(), list(model.parameters()))])
        )
    torch.testing.assert_close(logits[0], logits[1], atol=1e-10, rtol=0)
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-10, rtol=0)
    bare = built(3, entangler=entangler)
    assert (logits[0] - bare(bare.prepare(x)).detach()).abs().max() > 1e-3


def test_a_devices_noise_widens_no_light_cone() -> None:
    assert built(3, noise=DeviceNoise.of(device())).cone.wires == built(3).cone.wires == (1, 2)


@pytest.mark.parametrize(
    ("given", "n", "said"),
    [
        (lambda: device(), 4, "noise: toy: the circuit has 4 wires, and these are 3 qubits: 10, 11, 12. Name 4 in"),
        (
            lambda: device(pairs={(10, 11): device().pairs[10, 11]}),
            3,
            "noise: toy: pairs.11-12: missing; the circuit has IsingZZ on wires 1 and 2, which are these qubits. Of "
            "the chosen ones the device couples 10-11. Choose others in qubits = [...].",
        ),
        (
            lambda: device(pairs=device().pairs | {(11, 12): {}}),
            3,
            "noise: toy: pairs.11-12.cx: missing; the circuit has IsingZZ there, which is made of cx, cx.",
        ),
        (
            lambda: device(qubits=device().qubits | {11: dataclasses.replace(device().qubits[11], gates={})}),
            3,
            "noise: toy: qubits.11.sx: missing; the circuit has RX there",
        ),
        (
            lambda: device(pairs=device().pairs | {(11, 12): {"cx": NativeGate(0.81, 300.0)}}),
            3,
            "noise: toy: the error of cx on 11-12 is 0.81, more than when nothing is kept, 0.75: it was not",
        ),
    ],
)
def test_what_the_circuit_needs_and_the_device_lacks_is_refused(given: Any, n: int, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        built(n, noise=DeviceNoise.of(given()))
    assert said in str(caught.value)


def test_noise_of_a_device_stands_alone_and_needs_density_matrices() -> None:
    noise = DeviceNoise.of(device())
    with pytest.raises(ConfigError, match="PennyLaneQNN: noise: a device has noise of all kinds, and stands alone"):
        PennyLaneQNN(noise=(noise, BitFlip(p=0.1)))
    with pytest.raises(ConfigError, match=r'device = "default\.qubit" keeps pure states'):
        built(3, noise=noise, device="default.qubit")
    with pytest.raises(ConfigError, match="qubits: got 9, accepts qubits of the device: 10 to 12"):
        DeviceNoise.of(device(), (9, 10))
    with pytest.raises(ConfigError, match="qubits: got 10 twice"):
        DeviceNoise.of(device(), (10, 11, 10))


def test_gates_on_three_wires_are_refused() -> None:
    with pytest.raises(ConfigError, match="Toffoli on 3 wires; accepts gates on one wire or two"):
        names(DeviceNoise.of(device()), qml.Toffoli(wires=[0, 1, 2]))


def test_the_snapshot_is_whole() -> None:
    data = read_device(snapshots()["kingston"])
    assert (data.name, data.date[:10], data.licence, len(data.qubits)) == (
        "ibm_kingston",
        "2026-04-15",
        "Apache-2.0",
        36,
    )
    assert "qiskit-ibm-runtime" in data.source
    used = {native for natives in data.gates.values() for native in natives}
    assert all(used <= {*data.qubits[0].gates, *gates} for gates in data.pairs.values())
    assert all(0 < gate.error < 0.01 for gates in data.pairs.values() for gate in gates.values())
    ring = (3, 4, 5, 6, 7, 17, 27, 26, 25, 24, 23, 16)
    assert len(DeviceNoise.read("kingston", ring).pairs) == 12
    assert len(DeviceNoise.read("kingston").pairs) >= 32
    assert math.isclose(DeviceNoise.read("kingston", [0]).t1_us[0], 384.161)


def test_a_file_s_table_is_answered_with_what_to_write_in_python() -> None:
    with pytest.raises(ConfigError, match=r'got \{ device = "kingston" \}.*noise=DeviceNoise\.read\("kingston"\)'):
        PennyLaneQNN(depth=2, noise={"device": "kingston"})
