"""Random circuits with random noise in random places, against PennyLane's default.mixed."""

from __future__ import annotations

from typing import Any

import pennylane as qml
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qlab.circuits import Recording
from qlab.circuits.exact import exact_engine
from qlab.circuits.observables import PauliSum, named_observable, pauli_z
from qlab.noise import (
    AmplitudeDamping,
    BitFlip,
    Channel,
    DepolarizingChannel,
    GeneralizedAmplitudeDamping,
    PauliError,
    PhaseDamping,
    QubitChannel,
    ReadoutError,
    ResetError,
    ThermalRelaxationError,
    TwoQubitDepolarizing,
)
from qlab.noise.placement import Placement

N, N_WEIGHTS = 3, 5

P = st.floats(0.0, 0.5).map(lambda p: round(p, 3))
WIRES = st.sampled_from([(), (0,), (2, 0), (1,), (0, 1, 2)])

GATES: dict[str, Any] = {
    "RX": lambda w, a, b: qml.RX(w, wires=a),
    "RY": lambda w, a, b: qml.RY(w, wires=a),
    "PhaseShift": lambda w, a, b: qml.PhaseShift(w, wires=a),
    "IsingZZ": lambda w, a, b: qml.IsingZZ(w, wires=[a, b]),
    "IsingXX": lambda w, a, b: qml.IsingXX(w, wires=[a, b]),
    "CRY": lambda w, a, b: qml.CRY(w, wires=[a, b]),
    "CNOT": lambda w, a, b: qml.CNOT(wires=[a, b]),
    "Hadamard": lambda w, a, b: qml.Hadamard(wires=a),
}


@st.composite
def circuits(draw: Any) -> list[tuple[str, int, int, int]]:
    """Names, positions of weights, and wires of gates."""
    length = draw(st.integers(2, 9))
    found = []
    for _ in range(length):
        a, b, _ = draw(st.permutations(range(N)))
        found.append((draw(st.sampled_from(sorted(GATES))), draw(st.integers(0, N_WEIGHTS - 1)), a, b))
    return found


@st.composite
def noises(draw: Any, names: list[str]) -> tuple[Channel, ...]:
    """Channels after gates that the circuit has."""

    def one() -> Channel:
        wires = draw(WIRES)
        p: Any = draw(P)
        if draw(st.booleans()):
            p = tuple(draw(P) for _ in (wires or range(N)))
        place = {"wires": wires, "after": draw(st.sampled_from(["all", "start", "readout", *names]))}
        makers = [
            lambda: BitFlip(p=p, **place),
            lambda: DepolarizingChannel(p=p, **place),
            lambda: AmplitudeDamping(gamma=p, **place),
            lambda: PhaseDamping(gamma=p, **place),
            lambda: GeneralizedAmplitudeDamping(gamma=p, p=0.3, **place),
            lambda: ResetError(p0=p, p1=0.2, **place),
            lambda: ThermalRelaxationError(pe=p, t1=1.0, t2=1.4, tg=0.2, **place),
            lambda: QubitChannel(real=(((0.6, 0.0), (0.0, 0.6)), ((0.0, 0.8), (0.8, 0.0))), **place),
            lambda: TwoQubitDepolarizing(p=0.1, wires=wires if len(wires) != 1 else ()),
            lambda: PauliError(operators="ZX", p=0.1),
            lambda: ReadoutError(p=p, p1=0.1, wires=wires),
        ]
        two = any(len(GATES[name](0.1, 0, 1).wires) == 2 for name in names)
        return draw(st.sampled_from(makers if two else [*makers[:8], makers[-1]]))()

    return tuple(one() for _ in range(draw(st.integers(1, 3))))


CASES = circuits().flatmap(lambda gates: st.tuples(st.just(gates), noises(sorted({gate[0] for gate in gates}))))
MIXED = PauliSum(((0.7, ((0, "X"), (2, "Y"))), (0.4, ((1, "Z"),)), (0.2, ())))
OBSERVABLES = st.sampled_from([pauli_z(N - 1), named_observable("mean_Z", N), MIXED])


def by_hand(gates: Any, noise: Any, observable: PauliSum, state: Any) -> Any:
    """A QNode that queues each channel where its fields say, and reads bits with their errors."""

    def strength(channel: Channel, name: str, wire: int) -> float:
        value = getattr(channel, name)
        place = channel.wires.index(wire) if channel.wires else wire
        return value[place] if isinstance(value, tuple) else value

    def queue(channel: Channel, wires: Any) -> None:
        if isinstance(channel, TwoQubitDepolarizing | PauliError):
            if len(wires) == 2 and set(wires) <= set(channel.wires or range(N)):
                channel.on(tuple(wires))
            return
        for wire in wires:
            if channel.wires and wire not in channel.wires:
                continue
            if isinstance(channel, BitFlip | DepolarizingChannel):
                getattr(qml, type(channel).__name__)(strength(channel, "p", wire), wires=wire)
            elif isinstance(channel, AmplitudeDamping | PhaseDamping):
                getattr(qml, type(channel).__name__)(strength(channel, "gamma", wire), wires=wire)
            elif isinstance(channel, GeneralizedAmplitudeDamping):
                qml.GeneralizedAmplitudeDamping(strength(channel, "gamma", wire), 0.3, wires=wire)
            elif isinstance(channel, ResetError):
                qml.ResetError(strength(channel, "p0", wire), 0.2, wires=wire)
            elif isinstance(channel, ThermalRelaxationError):
                qml.ThermalRelaxationError(strength(channel, "pe", wire), 1.0, 1.4, 0.2, wires=wire)
            else:
                channel.on((wire,))

    measured = observable
    for channel in noise:
        if isinstance(channel, ReadoutError):
            terms: dict[Any, float] = {}
            for value, word in measured.terms:
                parts = [(value, ())]
                for wire, letter in word:
                    hit = not channel.wires or wire in channel.wires
                    p = strength(channel, "p", wire) if hit else 0.0
                    other = 0.1 if hit else 0.0
                    kept = [(v * (1.0 - p - other), (*head, (wire, letter))) for v, head in parts]
                    parts = kept + [(v * (other - p), head) for v, head in parts]
                for v, head in parts:
                    terms[head] = terms.get(head, 0.0) + v
            measured = PauliSum(tuple((v, word) for word, v in terms.items()))
    others = [channel for channel in noise if not isinstance(channel, ReadoutError)]

    @qml.qnode(qml.device("default.mixed", wires=N), interface="torch", diff_method="backprop")
    def node(w: torch.Tensor) -> Any:
        qml.StatePrep(state, wires=range(N), validate_norm=False)
        for channel in others:
            if channel.after == "start":
                queue(channel, range(N))
        for name, index, a, b in gates:
            with qml.QueuingManager.stop_recording():
                gate = GATES[name](w[index], a, b)
                matrix = torch.as_tensor(qml.matrix(gate)).to(torch.complex128)
                if name == "PhaseShift":  # PennyLane's eigenvalues are of single precision
                    one = torch.ones((), dtype=torch.complex128)
                    matrix = torch.diag(torch.stack([one, torch.exp(1j * w[index])]))
                if name == "IsingZZ":
                    half = torch.exp(0.5j * w[index])
                    matrix = torch.diag(torch.stack([half.conj(), half, half, half.conj()]))
            qml.QubitUnitary(matrix, wires=gate.wires)
            for channel in others:
                if channel.after in ("all", name):
                    queue(channel, list(gate.wires))
        for channel in others:
            if channel.after == "readout":
                queue(channel, range(N))
        return qml.expval(measured.operator())

    return node


def compared(case: Any, observable: PauliSum) -> None:
    gates, noise = case

    def ansatz(w: torch.Tensor) -> None:
        for name, index, a, b in gates:
            GATES[name](w[index], a, b)

    placement = Placement("Model", noise, N)
    recording = Recording(ansatz, {"w": N_WEIGHTS}, N, placement)
    engine: Any = exact_engine(recording, placement.measured(observable))
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 2**N, dtype=torch.complex128, generator=generator)
    x = x / torch.linalg.vector_norm(x)
    found = []
    node = by_hand(gates, noise, observable, x[0])
    for call in (lambda w: engine(w, engine.prepare(x))[0], lambda w: node(w).real):
        w = (
            6.0 * torch.rand(N_WEIGHTS, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) - 3.0
        ).requires_grad_()
        value = call(w)
        [gradient] = torch.autograd.grad(value + 0.0 * w.sum(), w)
        found.append((value.detach(), gradient))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=0)


@settings(deadline=None, max_examples=25)
@given(case=CASES, observable=OBSERVABLES)
@pytest.mark.filterwarnings("ignore:Casting complex values to real")  # in PennyLane
def test_noise_in_random_places_agrees_with_default_mixed(case: Any, observable: PauliSum) -> None:
    compared(case, observable)


@pytest.mark.slow
@settings(deadline=None, max_examples=200)
@given(case=CASES, observable=OBSERVABLES)
@pytest.mark.filterwarnings("ignore:Casting complex values to real")  # in PennyLane
def test_two_hundred_random_circuits_agree_with_default_mixed(case: Any, observable: PauliSum) -> None:
    compared(case, observable)


def test_a_channel_may_act_on_fewer_wires_in_one_cone_than_in_another():
    gates = [("CNOT", 0, 1, 0), ("Hadamard", 0, 0, 1), ("CNOT", 0, 1, 2), ("Hadamard", 0, 0, 1), ("Hadamard", 0, 0, 1)]
    thirds = PauliSum(tuple((1.0 / 3.0, ((wire, "Z"),)) for wire in range(3)))
    compared((gates, (TwoQubitDepolarizing(p=0.1), BitFlip(p=0.0))), thirds)
