"""Where channels act: after which gates, on which wires, in which order; and the readout's own errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pennylane as qml
import pytest
import torch

from qlab import Features, PennyLaneQNN, seeding
from qlab.circuits.observables import PauliSum, named_observable, pauli_z
from qlab.errors import ConfigError
from qlab.models import CNOTQNN
from qlab.noise import (
    AmplitudeDamping,
    BitFlip,
    Channel,
    DepolarizingChannel,
    PauliError,
    PhaseFlip,
    QubitChannel,
    ReadoutError,
    ResetError,
    ThermalRelaxationError,
    TwoQubitDepolarizing,
)
from qlab.noise.placement import Placement

N = 3


def gates() -> list[Any]:
    with qml.QueuingManager.stop_recording():
        return [
            qml.RX(0.1, wires=0),
            qml.IsingZZ(0.2, wires=[0, 1]),
            qml.Barrier(wires=range(N)),
            qml.BitFlip(0.5, wires=2),
            qml.CNOT(wires=[2, 1]),
        ]


def placed(*channels: Channel) -> list[str]:
    found = Placement("Model", channels, N)(gates())
    return [f"{operation.name}{list(operation.wires)}" for operation in found]


BARE = ["RX[0]", "IsingZZ[0, 1]", "Barrier[0, 1, 2]", "BitFlip[2]", "CNOT[2, 1]"]


@pytest.mark.parametrize(
    ("channel", "expected"),
    [
        (
            PhaseFlip(p=0.1),
            ["RX[0]", "*[0]", "IsingZZ[0, 1]", "*[0]", "*[1]", *BARE[2:4], "CNOT[2, 1]", "*[2]", "*[1]"],
        ),
        (PhaseFlip(p=0.1, after="IsingZZ"), [*BARE[:2], "*[0]", "*[1]", *BARE[2:]]),
        (PhaseFlip(p=0.1, after=1), ["RX[0]", "*[0]", *BARE[1:]]),
        (PhaseFlip(p=0.1, after=2, wires=(1,)), [*BARE[:2], "*[1]", *BARE[2:], "*[1]"]),
        (PhaseFlip(p=0.1, after="start"), ["*[0]", "*[1]", "*[2]", *BARE]),
        (PhaseFlip(p=0.1, after="readout", wires=(2,)), [*BARE, "*[2]"]),
    ],
)
def test_a_channel_acts_where_it_is_put(channel: Channel, expected: list[str]) -> None:
    assert placed(channel) == [name.replace("*", "PhaseFlip") for name in expected]
    assert placed() == BARE


def test_channels_on_two_qubits_act_on_gates_on_two() -> None:
    assert placed(TwoQubitDepolarizing(p=0.1)) == [
        *BARE[:2],
        "QubitChannel[0, 1]",
        *BARE[2:],
        "QubitChannel[2, 1]",
    ]
    assert placed(PauliError(operators="ZZ", p=0.1, after=2, wires=(0, 1))) == [
        *BARE[:2],
        "PauliError[0, 1]",
        *BARE[2:],
    ]


def test_channels_act_in_the_order_of_the_list() -> None:
    one, other = PhaseFlip(p=0.1, after="RX"), AmplitudeDamping(gamma=0.1, after=1)
    assert placed(one, other)[:3] == ["RX[0]", "PhaseFlip[0]", "AmplitudeDamping[0]"]
    assert placed(other, one)[:3] == ["RX[0]", "AmplitudeDamping[0]", "PhaseFlip[0]"]


def refusal(call: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        call()
    return str(caught.value)


def built(cls: type = PennyLaneQNN, **fields: Any) -> Any:
    return cls(depth=1, **fields).build(Features(2**N, True, torch.ones(2**N, dtype=torch.bool)))


@pytest.mark.parametrize(
    ("channel", "said"),
    [
        (BitFlip(p=0.1, after="IsingZx"), 'noise[1].after: got "IsingZx", and the circuit has no such gate. Did you'),
        (BitFlip(p=0.1, after="CNOT"), '"readout", a number of wires, or one of "IsingZZ", "RX", "RY"'),
        (BitFlip(p=0.1, after=3), "got 3, and the circuit has no gate on 3 wires; it has gates on 1, 2"),
        (BitFlip(p=0.1, wires=(0, 3)), "noise[1].wires: got 3, accepts wires of the register, 0 to 2"),
        (TwoQubitDepolarizing(p=0.1, after="start"), "acts on 2 qubits at once; accepts"),
        (TwoQubitDepolarizing(p=0.1, after=1), "noise[1].after: got 1, but TwoQubitDepolarizing acts on 2 qubits"),
        (TwoQubitDepolarizing(p=0.1, after="RX"), 'got "RX", a gate on 1 wires, but TwoQubitDepolarizing acts on 2'),
    ],
)
def test_a_place_that_the_circuit_does_not_have_is_refused(channel: Channel, said: str) -> None:
    message = refusal(lambda: built(noise=(channel,)))
    assert message.startswith("PennyLaneQNN: noise[1]")
    assert said in message


def test_a_circuit_of_one_qubit_has_no_place_for_a_channel_on_two() -> None:
    features = Features(2, True, torch.ones(2, dtype=torch.bool))
    message = refusal(lambda: PennyLaneQNN(noise=(TwoQubitDepolarizing(p=0.1),)).build(features))
    assert "noise[1]: TwoQubitDepolarizing acts on 2 qubits at once, and the circuit has no gate on 2 wires" in message


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: DepolarizingChannel(p=1.5), "DepolarizingChannel: p: got 1.5, accepts a number in [0, 1]"),
        (lambda: AmplitudeDamping(gamma=-0.1), "AmplitudeDamping: gamma: got -0.1, accepts a number in [0, 1]"),
        (lambda: ThermalRelaxationError(t1=1.0, t2=2.5, tg=0.1), "t2: got 2.5, accepts at most 2 t1 = 2"),
        (lambda: ResetError(p0=0.6, p1=0.6), "p0, p1: got 0.6 and 0.6, accepts probabilities of at most 1 together"),
        (lambda: PauliError(operators="XQ", p=0.1), 'operators: got "XQ", accepts letters of I, X, Y and Z'),
        (
            lambda: QubitChannel(real=(((1.0, 0.0), (0.0, 0.9)),)),
            "do not preserve traces: the sum of K^dagger K is off",
        ),
        (lambda: QubitChannel(real=(((1.0, 0.0),),)), "accepts 2 x 2 matrices, or 4 x 4"),
        (
            lambda: QubitChannel(real=(((1, 0), (0, 1)),), imaginary=(((0, 0), (0, 0)),) * 2),
            "imaginary: got matrices of the shape [2, 2, 2], accepts that of real, [1, 2, 2]",
        ),
        (lambda: BitFlip(p=0.1, after=0), "BitFlip: after: got 0, accepts"),
        (lambda: ReadoutError(p=0.1, after="all"), 'ReadoutError: after: got "all", accepts "readout"'),
    ],
)
def test_strengths_that_are_none(make: Any, said: str) -> None:
    assert said in refusal(make)


@pytest.mark.parametrize("device", ["default.qubit", "lightning.qubit"])
def test_devices_of_pure_states_have_no_noise(device: str) -> None:
    message = refusal(lambda: built(noise=(BitFlip(p=0.1),), device=device))
    assert f'PennyLaneQNN: noise: device = "{device}" keeps pure states and has no noise' in message
    assert built(noise=(ReadoutError(p=0.1),), device=device).engine is not None


EVERY: list[tuple[Channel, ...]] = [
    (DepolarizingChannel(p=0.05), TwoQubitDepolarizing(p=0.1), ReadoutError(p=0.02, p1=0.05)),
    (AmplitudeDamping(gamma=0.1, after=2), PhaseFlip(p=0.1, after="start"), ResetError(p0=0.1, after="readout")),
    (ThermalRelaxationError(pe=0.1, t1=1.0, t2=1.5, tg=0.2), PauliError(operators="ZX", p=0.2)),
    (QubitChannel(real=(((0.6, 0.0), (0.0, 0.6)), ((0.0, 0.8), (0.8, 0.0))), wires=(2,)),),
]


@pytest.mark.parametrize("noise", EVERY, ids=lambda noise: type(noise[0]).__name__)
@pytest.mark.parametrize("fields", [{}, {"entangler": "ring", "observable": "mean_Z"}, {"cls": CNOTQNN}], ids=str)
@pytest.mark.filterwarnings("ignore:Casting complex values to real")  # in PennyLane's PauliError, in to_qnode
def test_the_light_cone_agrees_with_default_mixed(noise: tuple[Channel, ...], fields: dict[str, Any]) -> None:
    """Logits and gradients, and those of the QNode that is handed out."""
    fast, slow = (built(**fields, noise=noise, device=device) for device in ("lightcone", "default.mixed"))
    fast.reset_parameters(seeding.generator(0, "initialization"))
    with torch.no_grad():
        for parameter in fast.parameters():
            parameter.mul_(100.0)
    slow.load_state_dict(fast.state_dict())
    x = torch.randn(2, 2**N, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))
    found = []
    for model in (fast, slow):
        z = model(model.prepare(x))
        found.append(
            [z.detach(), *torch.autograd.grad(z @ torch.tensor([1.0, 0.5], dtype=z.dtype), model.parameters())]
        )
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=0)
    unit = x / torch.linalg.vector_norm(x, dim=1, keepdim=True)
    values = torch.as_tensor(np.asarray(fast.to_qnode()(unit.numpy())))
    torch.testing.assert_close(values * 5.0, fast(fast.prepare(unit)).detach(), atol=1e-10, rtol=0)


def test_angles_under_noise_agree_with_default_mixed() -> None:
    x = torch.rand(2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    features = Features(3, False, torch.ones(3, dtype=torch.bool))
    noise = (DepolarizingChannel(p=0.05),)
    models = [
        PennyLaneQNN(depth=2, encoding="angle", noise=noise, device=device, observable="mean_Z").build(features)
        for device in ("lightcone", "default.mixed")
    ]
    models[0].reset_parameters(seeding.generator(0, "initialization"))
    models[1].load_state_dict(models[0].state_dict())
    one, other = (model(model.prepare(x)).detach() for model in models)
    torch.testing.assert_close(one, other, atol=1e-10, rtol=0)


def test_a_readout_error_is_that_of_the_device() -> None:
    """Bits that are flipped before they are read, on one and on two wires; X is measured as a rotated Z."""
    x = PauliSum(((1.0, ((0, "X"),)),))
    for observable, rotated in ((pauli_z(0), False), (named_observable("ZZ_last", 2), False), (x, True)):

        def value(measured: PauliSum, *, flips: bool = False, turned: bool = False) -> float:
            @qml.qnode(qml.device("default.mixed", wires=2))
            def circuit() -> Any:
                qml.RY(0.7, wires=0)
                qml.RX(0.4, wires=1)
                qml.CNOT(wires=[0, 1])
                if turned:
                    qml.Hadamard(wires=0)
                for wire in range(2 if flips else 0):
                    qml.BitFlip(0.1, wires=wire)
                return qml.expval(measured.operator())

            return float(circuit())

        found = value(ReadoutError(p=0.1).measured(observable))
        expected = value(pauli_z(0) if rotated else observable, flips=True, turned=rotated)
        assert found == pytest.approx(expected, abs=1e-12)


def test_an_asymmetric_readout_error_is_a_matrix_of_probabilities() -> None:
    """P(read) = M P(true) with M = [[1 - p, p1], [p, 1 - p1]] on each wire, here on two that are correlated."""
    p, p1 = 0.1, 0.3
    true = np.array([0.4, 0.1, 0.2, 0.3])
    matrix = np.array([[1 - p, p1], [p, 1 - p1]])
    signs = np.array([1.0, -1.0])
    expected = np.kron(signs, signs) @ np.kron(matrix, matrix) @ true
    means = {(): 1.0, (0,): np.kron(signs, [1, 1]) @ true, (1,): np.kron([1, 1], signs) @ true}
    means[0, 1] = np.kron(signs, signs) @ true
    found = ReadoutError(p=p, p1=p1).measured(named_observable("ZZ_last", 2))
    value = sum(coefficient * means[tuple(wire for wire, _ in word)] for coefficient, word in found.terms)
    assert value == pytest.approx(expected, abs=1e-14)
    only = ReadoutError(p=p, p1=p1, wires=(1,)).measured(pauli_z(0))
    assert only == pauli_z(0)
