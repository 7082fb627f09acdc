"""Noise on the light cone against PennyLane's default.mixed, and the rule of the cone under noise."""

from __future__ import annotations

import functools
import warnings
from typing import Any

import numpy as np
import pennylane as qml
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.func import hessian, vmap

from qlab.circuits import HeisenbergEngine, Recording, light_cone
from qlab.circuits.channels import adjoint_of, two_qubit_depolarizing
from qlab.circuits.exact import exact_engine
from qlab.circuits.observables import PauliSum, named_observable, pauli_z
from qlab.errors import ConfigError

N, N_WEIGHTS = 4, 6

PROBABILITY = st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0.0, 1.0).map(lambda p: round(p, 4)))


def random_kraus(k: int, m: int, seed: int) -> list[np.ndarray]:
    """m Kraus matrices of a channel on k qubits: the blocks of an isometry."""
    random = np.random.default_rng(seed)
    size = 2**k
    matrix = random.normal(size=(m * size, size)) + 1j * random.normal(size=(m * size, size))
    isometry = np.linalg.qr(matrix)[0]
    return list(isometry.reshape(m, size, size))


def diagonal_kraus(seed: int) -> list[np.ndarray]:
    """A channel on two qubits that commutes with Z on the first and does anything to the second."""
    blocks = [random_kraus(1, 3, seed), random_kraus(1, 3, seed + 1)]
    zero, one = np.diag([1.0, 0.0]), np.diag([0.0, 1.0])
    return [np.kron(zero, low) + np.kron(one, high) for low, high in zip(*blocks, strict=True)]


@st.composite
def channels(draw: Any) -> Any:
    """A function that queues a channel."""
    a, b, _, _ = draw(st.permutations(range(N)))
    p, q = draw(PROBABILITY), draw(PROBABILITY)
    seed = draw(st.integers(0, 99))
    t1, tg = 1.0 + p, 2.0 * q
    t2 = draw(st.floats(0.1, 1.9)) * t1
    makers = [
        lambda: qml.DepolarizingChannel(p, wires=a),
        lambda: qml.AmplitudeDamping(p, wires=a),
        lambda: qml.GeneralizedAmplitudeDamping(p, q, wires=a),
        lambda: qml.PhaseDamping(p, wires=a),
        lambda: qml.BitFlip(p, wires=a),
        lambda: qml.PhaseFlip(p, wires=a),
        lambda: qml.PauliError("ZX", p, wires=[a, b]),
        lambda: qml.PauliError("Y", p, wires=a),
        lambda: qml.ResetError(p * q, p * (1.0 - q), wires=a),
        lambda: qml.ThermalRelaxationError(q, t1, t2, tg, wires=a),
        lambda: two_qubit_depolarizing(p, wires=[a, b]),
        lambda: qml.QubitChannel(random_kraus(1, 2, seed), wires=a),
        lambda: qml.QubitChannel(random_kraus(2, 3, seed), wires=[a, b]),
        lambda: qml.QubitChannel(diagonal_kraus(seed), wires=[a, b]),
    ]
    return draw(st.sampled_from(makers))


@st.composite
def gates(draw: Any) -> Any:
    """A function of weights that queues a gate."""
    a, b, c, _ = draw(st.permutations(range(N)))
    index = draw(st.integers(0, N_WEIGHTS - 1))
    makers = [
        lambda w: qml.RX(w[index], wires=a),
        lambda w: qml.RY(w[index], wires=a),
        lambda w: qml.RZ(w[index], wires=a),
        lambda w: qml.IsingZZ(w[index], wires=[a, b]),
        lambda w: qml.IsingXX(w[index], wires=[a, b]),
        lambda w: qml.CRX(w[index], wires=[a, b]),
        lambda w: qml.CNOT(wires=[a, b]),
        lambda w: qml.CZ(wires=[a, b]),
        lambda w: qml.Hadamard(wires=a),
        lambda w: qml.S(wires=a),
        lambda w: qml.Toffoli(wires=[a, b, c]),
    ]
    return draw(st.sampled_from(makers))


CIRCUITS = st.lists(st.one_of(gates(), channels().map(lambda queue: lambda w: queue())), min_size=1, max_size=14)
OBSERVABLES = st.sampled_from(
    [
        pauli_z(N - 1),
        named_observable("mean_Z", N),
        named_observable("ZZ_last", N),
        PauliSum(((0.7, ((0, "X"), (2, "Y"))), (-0.4, ((1, "Z"),)), (0.2, ()))),
    ]
)


def states(rows: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, 2**N, dtype=torch.complex128, generator=generator)
    return x / torch.linalg.vector_norm(x, dim=1, keepdim=True)


def weights(seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 6.0 * torch.rand(N_WEIGHTS, dtype=torch.float64, generator=generator) - 3.0


def value_and_gradient(call: Any, rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    w = weights().requires_grad_()
    values = call(w)
    [gradient] = torch.autograd.grad(values @ torch.linspace(1.0, 2.0, rows, dtype=torch.float64) + 0.0 * w.sum(), w)
    return values.detach(), gradient


def mixed(circuit: Any, observable: PauliSum, x: torch.Tensor) -> Any:
    """The same on default.mixed, state by state."""

    @qml.qnode(qml.device("default.mixed", wires=N), interface="torch", diff_method="backprop")
    def node(w: torch.Tensor, state: torch.Tensor) -> Any:
        qml.StatePrep(state, wires=range(N), validate_norm=False)
        with qml.QueuingManager.stop_recording(), qml.queuing.AnnotatedQueue() as queued:
            for queue in circuit:
                queue(w)
        for operation in qml.tape.QuantumScript.from_queue(queued).operations:
            # The device takes eigenvalues of diagonal gates, which PennyLane computes in single precision for tensors.
            if operation in qml.ops.qubit.attributes.diagonal_in_z_basis:
                qml.QubitUnitary(qml.matrix(operation), wires=operation.wires)
            else:
                qml.apply(operation)
        return qml.expval(observable.operator())

    return lambda w: torch.stack([node(w, row).real for row in x])


def recorded(circuit: Any) -> Recording:
    def ansatz(w: torch.Tensor) -> None:
        for queue in circuit:
            queue(w)

    return Recording(ansatz, {"w": N_WEIGHTS}, N)


@settings(deadline=None, max_examples=60)
@given(circuit=CIRCUITS, observable=OBSERVABLES, as_states=st.booleans())
@pytest.mark.filterwarnings("ignore:Casting complex values to real")  # in PennyLane
def test_values_and_gradients_agree_with_default_mixed(circuit: Any, observable: PauliSum, as_states: bool) -> None:
    recording, x = recorded(circuit), states(2)
    engine: Any = exact_engine(recording, observable)
    if as_states:
        engine = HeisenbergEngine(recording, light_cone(recording.gates, observable), states=True)
    expected = value_and_gradient(mixed(circuit, observable, x), 2)
    found = value_and_gradient(lambda w: engine(w, engine.prepare(x)), 2)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=0)


def _wide(matrix: np.ndarray, wires: list[int]) -> np.ndarray:
    rest = [wire for wire in range(N) if wire not in wires]
    order = [[*wires, *rest].index(wire) for wire in range(N)]
    wide = np.kron(matrix, np.eye(2 ** len(rest))).reshape([2] * (2 * N))
    return wide.transpose(*order, *(N + axis for axis in order)).reshape(2**N, 2**N)


def kraus_of(operation: Any) -> list[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PennyLane casts a Pauli Y that it does not use to real numbers
        return operation.kraus_matrices()


def evolved(operations: Any, observable: np.ndarray) -> np.ndarray:
    """Back through gates and channels, with matrices of the whole register."""
    for operation in reversed(operations):
        kraus = kraus_of(operation) if isinstance(operation, qml.operation.Channel) else [operation.matrix()]
        wide = [_wide(np.asarray(matrix), list(operation.wires)) for matrix in kraus]
        observable = sum(matrix.conj().T @ observable @ matrix for matrix in wide)  # type: ignore[assignment]
    return observable


@settings(deadline=None, max_examples=100)
@given(circuit=CIRCUITS, readout=st.integers(0, N - 1))
def test_what_the_cone_leaves_out_does_nothing(circuit: Any, readout: int) -> None:
    """The evolved observable is the same without it, and the identity on wires outside."""
    numbers = weights().numpy()
    with qml.queuing.AnnotatedQueue() as queue:
        for one in circuit:
            one(numbers)
    operations = qml.tape.QuantumScript.from_queue(queue).operations
    cone = light_cone(recorded([lambda w, op=op: qml.apply(op) for op in operations]).gates, readout)
    z = _wide(np.diag([1.0, -1.0]), [readout])
    whole = evolved(operations, z)
    inside = evolved([operations[gate.number] for gate in cone.gates], z)
    np.testing.assert_allclose(inside, whole, atol=1e-12)
    for wire in set(range(N)) - set(cone.wires):
        for pauli in (np.array([[0, 1], [1, 0]]), np.diag([1, -1])):
            dense = _wide(pauli, [wire])
            np.testing.assert_allclose(dense @ whole, whole @ dense, atol=1e-12)


@settings(deadline=None, max_examples=60)
@given(queue=channels())
def test_wires_of_a_channel_are_called_what_they_are(queue: Any) -> None:
    """On Kraus matrices: commuting ones do, and I and Z come from I and Z alone."""
    with qml.QueuingManager.stop_recording():
        operation = queue()
    found = adjoint_of(operation)
    kraus = [_wide(np.asarray(matrix), list(operation.wires)) for matrix in kraus_of(operation)]
    random = np.random.default_rng(0).normal(size=(2**N, 2**N))
    for wire in operation.wires:
        z = _wide(np.diag([1.0, -1.0]), [wire])
        if wire in found.commutes_on:
            for matrix in kraus:
                np.testing.assert_allclose(matrix @ z, z @ matrix, atol=5e-7)  # PennyLane adds 1e-14 under roots
        if wire in found.keeps_z_on:
            like_z = random + z @ random @ z
            after = evolved([operation], like_z)
            np.testing.assert_allclose(z @ after, after @ z, atol=1e-11)


@pytest.mark.parametrize(
    ("queue", "kept"),
    [
        pytest.param(lambda: qml.AmplitudeDamping(0.3, wires=0), [], id="off the support"),
        pytest.param(lambda: qml.PhaseDamping(0.3, wires=1), [], id="phase damping before Z"),
        pytest.param(lambda: qml.PhaseFlip(0.3, wires=1), [], id="a phase flip before Z"),
        pytest.param(lambda: qml.PauliError("ZX", 0.3, wires=[1, 0]), [], id="Z on the support, X elsewhere"),
        pytest.param(lambda: qml.AmplitudeDamping(0.3, wires=1), ["AmplitudeDamping"], id="amplitude damping"),
        pytest.param(lambda: qml.BitFlip(0.3, wires=1), ["BitFlip"], id="a bit flip"),
    ],
)
def test_a_channel_before_the_readout(queue: Any, kept: list[str]) -> None:
    recording = recorded([lambda w: qml.IsingZZ(w[0], wires=[1, 0]), lambda w: queue()])
    cone = light_cone(recording.gates, 1)
    assert [gate.operation.name for gate in cone.gates] == kept
    assert cone.wires == (1,)


@pytest.mark.parametrize(
    ("queue", "z"),
    [
        (lambda: qml.DepolarizingChannel(0.3, wires=0), (0.0, 1.0 - 0.4)),
        (lambda: qml.AmplitudeDamping(0.3, wires=0), (0.3, 0.7)),
        (lambda: qml.BitFlip(0.3, wires=0), (0.0, 0.4)),
        (lambda: qml.ResetError(0.1, 0.3, wires=0), (-0.2, 0.6)),
        (lambda: qml.PhaseDamping(0.3, wires=0), (0.0, 1.0)),
        (lambda: qml.ThermalRelaxationError(0.2, 1.0, 1.5, 0.7, wires=0), (0.6 * (1 - np.exp(-0.7)), np.exp(-0.7))),
    ],
)
def test_z_becomes(queue: Any, z: tuple[float, float]) -> None:
    """In closed form: a I + b Z."""
    with qml.QueuingManager.stop_recording():
        found = adjoint_of(queue()).transfer[:, 3]
    torch.testing.assert_close(found, torch.tensor([z[0], 0.0, 0.0, z[1]], dtype=torch.float64), atol=1e-12, rtol=0)


def test_two_qubit_depolarizing_shrinks_every_word_alike() -> None:
    with qml.QueuingManager.stop_recording():
        found = adjoint_of(two_qubit_depolarizing(0.3, wires=[0, 1])).transfer
    expected = torch.eye(16, dtype=torch.float64) * (1.0 - 16.0 * 0.3 / 15.0)
    expected[0, 0] = 1.0
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)


def test_many_weights_at_once_and_second_derivatives() -> None:
    circuit = [
        lambda w: qml.RX(w[0], wires=0),
        lambda w: qml.AmplitudeDamping(0.2, wires=0),
        lambda w: qml.IsingXX(w[1], wires=[0, 3]),
        lambda w: two_qubit_depolarizing(0.1, wires=[0, 3]),
        lambda w: qml.RY(w[2], wires=3),
        lambda w: qml.DepolarizingChannel(0.1, wires=3),
    ]
    engine, x = exact_engine(recorded(circuit)), states(3)
    prepared = engine.prepare(x)
    points = torch.stack([weights(seed) for seed in range(3)])
    together = vmap(lambda w: engine(w, prepared))(points)
    torch.testing.assert_close(together, torch.stack([engine(w, prepared) for w in points]), atol=1e-13, rtol=0)
    found = hessian(lambda w: engine(w, prepared).sum())(weights())
    step = 1e-5
    reference = mixed(circuit, pauli_z(N - 1), x)

    def slope(w: torch.Tensor) -> torch.Tensor:
        w = w.clone().requires_grad_()
        return torch.autograd.grad(reference(w).sum(), w)[0]

    eye = torch.eye(N_WEIGHTS, dtype=torch.float64)
    columns = [(slope(weights() + step * unit) - slope(weights() - step * unit)) / (2 * step) for unit in eye]
    torch.testing.assert_close(found, torch.stack(columns), atol=1e-8, rtol=0)


def refused(*circuit: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        recorded(circuit)
    return str(caught.value)


def test_channels_that_are_none() -> None:
    half = [np.sqrt(0.5) * np.eye(2), np.sqrt(0.4) * np.diag([1.0, -1.0])]

    class Lossy(qml.operation.Channel):
        num_params, num_wires = 0, 1

        @staticmethod
        def compute_kraus_matrices() -> Any:
            return half

    assert "Lossy does not preserve traces" in refused(lambda w: Lossy(wires=0))
    assert "off the identity by 0.1" in refused(lambda w: Lossy(wires=0))
    assert "DepolarizingChannel(1.2) cannot be used: p must be in the interval" in refused(
        lambda w: qml.DepolarizingChannel(1.2, wires=0)
    )
    assert "T_2 greater than 2 * T_1" in refused(lambda w: qml.ThermalRelaxationError(0.1, 1.0, 2.5, 0.1, wires=0))
    assert "The strength of DepolarizingChannel depends on weights" in refused(
        lambda w: qml.DepolarizingChannel(w[0] ** 2, wires=0)
    )
    assert "wire 9; the register has wires 0 to 3" in refused(lambda w: qml.BitFlip(0.1, wires=9))
    assert "on 4 wires; channels on at most 3" in refused(lambda w: qml.PauliError("XXXX", 0.1, wires=range(4)))


def chain_of_cnots(n: int) -> Recording:
    def ansatz(w: torch.Tensor) -> None:
        for wire in range(n):
            qml.RX(w[wire], wires=wire)
            qml.DepolarizingChannel(0.05, wires=wire)
        for wire in range(n - 1):
            qml.CNOT(wires=[wire, wire + 1])
            qml.AmplitudeDamping(0.1, wires=wire + 1)
        qml.RY(w[0], wires=n - 1)

    return Recording(ansatz, {"w": n}, n)


def test_a_circuit_that_fills_the_register_keeps_states_of_the_data() -> None:
    n = 7
    recording = chain_of_cnots(n)
    engine = exact_engine(recording)
    assert isinstance(engine, HeisenbergEngine)
    assert engine.batch_rows
    x = torch.randn(2, 2**n, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))
    assert engine.prepare(x).shape == (2, 2**n, 1, 2)
    pauli = HeisenbergEngine(recording, light_cone(recording.gates, n - 1))
    flat = torch.linspace(0.1, 2.0, n, dtype=torch.float64)
    norms = torch.linalg.vector_norm(x, dim=1).square()
    torch.testing.assert_close(engine(flat, engine.prepare(x)), pauli(flat, pauli.prepare(x)), atol=1e-11, rtol=0)
    for one in (engine, pauli):
        torch.testing.assert_close(one.norms(one.prepare(x)), norms, atol=1e-11, rtol=0)


def test_too_many_qubits_under_noise_are_refused_with_the_size() -> None:
    with pytest.raises(ConfigError, match=r"4\^11 = 4,194,304 coefficients; at most 10 qubits"):
        exact_engine(chain_of_cnots(11))


def test_noise_that_does_nothing_leaves_the_choice_of_engines() -> None:
    """Phase damping before Z: a large register is evaluated as without it."""

    def ansatz(w: torch.Tensor) -> None:
        for wire in range(11):
            qml.RX(w[wire], wires=wire)
        for wire in range(10):
            qml.CNOT(wires=[wire, wire + 1])
        qml.PhaseDamping(0.5, wires=10)

    found = functools.partial(Recording, ansatz, {"w": 11}, 11)()
    assert not isinstance(exact_engine(found), HeisenbergEngine)
