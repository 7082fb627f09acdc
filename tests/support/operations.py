"""One use of every operation that PennyLane has, on wires 0 to 3, with weights where it takes numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pennylane as qml
import torch

N_WIRES, N_WEIGHTS = 4, 16

_random = np.random.default_rng(0)
UNITARY_2 = np.linalg.qr(_random.normal(size=(2, 2)) + 1j * _random.normal(size=(2, 2)))[0]
UNITARY_4 = np.linalg.qr(_random.normal(size=(4, 4)) + 1j * _random.normal(size=(4, 4)))[0]
HERMITIAN = UNITARY_4 + UNITARY_4.conj().T
STATE_4 = UNITARY_4[0] / np.linalg.norm(UNITARY_4[0])


def hamiltonian(w: torch.Tensor) -> Any:
    return qml.dot([w[0], 0.5, w[1]], [qml.X(0) @ qml.X(3), qml.Z(3), qml.Y(2)])


def fixed_hamiltonian() -> Any:
    return qml.dot([0.3, 0.5, 0.7], [qml.X(0) @ qml.X(3), qml.Z(3), qml.Y(2)])


def commuting() -> Any:
    return qml.Hamiltonian([0.3, 0.5], [qml.X(0) @ qml.X(3), qml.Y(0) @ qml.Y(3)])


def rotation(w: torch.Tensor) -> torch.Tensor:
    """A trained unitary on one qubit."""
    c, s, p = torch.cos(w[0]), torch.sin(w[0]), torch.exp(1j * w[1])
    return torch.stack([torch.stack([c + 0j, -s * p.conj()]), torch.stack([s * p, c + 0j])])


def unit(w: torch.Tensor) -> torch.Tensor:
    return w / torch.linalg.vector_norm(w)


def block(weights: torch.Tensor, wires: Any) -> None:
    qml.CNOT(wires=[wires[0], wires[1]])
    qml.RY(weights[0], wires=wires[0])
    qml.RX(weights[1], wires=wires[1])


def trotterized(time: Any, theta: Any, phi: Any, wires: Any) -> None:
    qml.RX(time * theta, wires[0])
    qml.RY(time * phi, wires[1])
    qml.CNOT(wires=wires[:2])


def named(names: str, *arguments: Any, wires: Any) -> dict[str, Any]:
    """Uses of classes that take the same arguments: numbers, or positions of weights (strings)."""

    def use(name: str) -> Any:
        return lambda w: getattr(qml, name)(*(w[int(a)] if isinstance(a, str) else a for a in arguments), wires=wires)

    return {name: use(name) for name in names.split()}


USES: dict[str, Any] = {
    # without parameters
    **named("Hadamard H PauliX X PauliY Y PauliZ Z S T SX Identity I WireCut", wires=3),
    **named("CNOT CZ CY CH SWAP ISWAP SISWAP SQISW ECR", wires=[3, 0]),
    **named("Toffoli CSWAP CCZ QubitSum TemporaryAND Elbow", wires=[3, 0, 1]),
    "QubitCarry": lambda w: qml.QubitCarry(wires=[0, 1, 2, 3]),
    "MultiControlledX": lambda w: qml.MultiControlledX(wires=[0, 1, 2, 3], control_values=[1, 0, 1]),
    "Barrier": lambda w: qml.Barrier(wires=range(4)),
    "Snapshot": lambda w: qml.Snapshot("here"),
    "QFT": lambda w: qml.QFT(wires=range(4)),
    "AQFT": lambda w: qml.AQFT(order=1, wires=range(4)),
    "GroverOperator": lambda w: qml.GroverOperator(wires=range(4)),
    "Permute": lambda w: qml.Permute([3, 2, 0, 1], wires=range(4)),
    "FlipSign": lambda w: qml.FlipSign([1, 0, 1], wires=[0, 1, 3]),
    "TwoLocalSwapNetwork": lambda w: qml.TwoLocalSwapNetwork(range(4), None, None, fermionic=True),
    "IntegerComparator": lambda w: qml.IntegerComparator(2, geq=False, wires=[0, 1, 2, 3]),
    # one angle
    **named("RX RY RZ PhaseShift U1 GlobalPhase", "0", wires=3),
    **named("CRX CRY CRZ ControlledPhaseShift CPhase CPhaseShift00 CPhaseShift01 CPhaseShift10", "0", wires=[3, 0]),
    **named("IsingXX IsingYY IsingZZ IsingXY PSWAP FermionicSWAP", "0", wires=[3, 0]),
    **named("SingleExcitation SingleExcitationPlus SingleExcitationMinus", "0", wires=[3, 0]),
    **named("DoubleExcitation DoubleExcitationPlus DoubleExcitationMinus", "0", wires=[3, 0, 1, 2]),
    **named("OrbitalRotation MultiRZ", "0", wires=[3, 0, 1, 2]),
    "PauliRot": lambda w: qml.PauliRot(w[0], "XYZY", wires=range(4)),
    "PCPhase": lambda w: qml.PCPhase(w[0], dim=3, wires=[3, 0]),
    "FermionicSingleExcitation": lambda w: qml.FermionicSingleExcitation(w[0], wires=[0, 1, 3]),
    "FermionicDoubleExcitation": lambda w: qml.FermionicDoubleExcitation(w[0], wires1=[0, 1], wires2=[2, 3]),
    # more angles
    **named("Rot U3", "0", "1", "2", wires=3),
    "U2": lambda w: qml.U2(w[0], w[1], wires=3),
    "CRot": lambda w: qml.CRot(w[0], w[1], w[2], wires=[3, 0]),
    "SpecialUnitary": lambda w: qml.SpecialUnitary(w[:15], wires=[3, 0]),
    "QubitUnitary": lambda w: qml.QubitUnitary(rotation(w), wires=3),
    "ControlledQubitUnitary": lambda w: qml.ControlledQubitUnitary(rotation(w), wires=[0, 1, 3], control_values=[1, 0]),
    "DiagonalQubitUnitary": lambda w: qml.DiagonalQubitUnitary(torch.exp(1j * w[:4]), wires=[3, 0]),
    "BlockEncode": lambda w: qml.BlockEncode(
        torch.stack([torch.stack([w[0], w[1]]), torch.stack([w[2], w[3]])]) / 4, wires=[3, 0]
    ),
    # symbolic
    "Adjoint": lambda w: qml.adjoint(qml.CRot)(w[0], w[1], w[2], wires=[3, 0]),
    "Controlled": lambda w: qml.ctrl(qml.Rot, control=[0, 1], control_values=[0, 1])(w[0], w[1], w[2], wires=3),
    "ControlledOp": lambda w: qml.ctrl(qml.IsingXY(w[0], wires=[3, 1]), control=0),
    "Pow": lambda w: qml.pow(qml.Rot(w[0], w[1], w[2], wires=3), 3),
    "Prod": lambda w: qml.prod(qml.RX(w[0], wires=3), qml.CRY(w[1], wires=[0, 3]), qml.X(1)),
    "SProd": lambda w: qml.s_prod(1j, qml.RX(w[0], wires=3)),
    "Sum": lambda w: qml.sum(qml.s_prod(torch.cos(w[0]), qml.X(3)), qml.s_prod(torch.sin(w[0]), qml.Z(3))),
    "LinearCombination": lambda w: qml.ops.LinearCombination([torch.cos(w[0]), torch.sin(w[0])], [qml.X(3), qml.Z(3)]),
    "Hamiltonian": lambda w: qml.Hamiltonian([w[0], w[1]], [qml.X(3), qml.Z(3)]),
    "Exp": lambda w: qml.exp(qml.X(0) @ qml.Z(3) + 0.5 * qml.Y(3), 1j * w[0]),
    "Evolution": lambda w: qml.evolve(fixed_hamiltonian(), w[0]),
    "ChangeOpBasis": lambda w: qml.change_op_basis(qml.RX(w[0], wires=3), qml.CRZ(w[1], wires=[3, 0])),
    "ControlledSequence": lambda w: qml.ControlledSequence(qml.RX(w[0], wires=3), control=[0, 1]),
    # evolution and linear combinations
    "ApproxTimeEvolution": lambda w: qml.ApproxTimeEvolution(fixed_hamiltonian(), w[0], 2),
    "CommutingEvolution": lambda w: qml.CommutingEvolution(commuting(), w[0]),
    "TrotterProduct": lambda w: qml.TrotterProduct(hamiltonian(w[1:]), time=w[0], n=2, order=2),
    "TrotterizedQfunc": lambda w: qml.TrotterizedQfunc(w[0], w[1], w[2], qfunc=trotterized, n=2, order=2, wires=[0, 3]),
    "QDrift": lambda w: qml.QDrift(fixed_hamiltonian(), w[0], n=3, seed=1),
    "PrepSelPrep": lambda w: qml.PrepSelPrep(qml.dot([0.3, 0.7], [qml.X(3), qml.Z(3) @ qml.X(2)]), control=[0]),
    "Qubitization": lambda w: qml.Qubitization(qml.dot([0.3, 0.7], [qml.X(3), qml.Z(3) @ qml.X(2)]), control=[0]),
    "Select": lambda w: qml.Select(
        [qml.RX(w[0], wires=3), qml.RY(w[1], wires=3), qml.RZ(w[2], wires=3)], control=[0, 1]
    ),
    "SelectPauliRot": lambda w: qml.SelectPauliRot(w[:4], control_wires=[0, 1], target_wire=3, rot_axis="Y"),
    "Reflection": lambda w: qml.Reflection(qml.prod(qml.RX(w[0], wires=0), qml.RY(w[1], wires=3)), w[2]),
    "AmplitudeAmplification": lambda w: qml.AmplitudeAmplification(
        qml.prod(*[qml.Hadamard(i) for i in range(4)]), qml.FlipSign([1, 0, 1, 1], wires=range(4)), 2
    ),
    "QSVT": lambda w: qml.QSVT(
        qml.BlockEncode(np.diag([0.1, 0.2]), wires=[3, 0]), [qml.PCPhase(w[i], dim=2, wires=[3, 0]) for i in range(3)]
    ),
    "GQSP": lambda w: qml.GQSP(qml.RX(w[9], wires=3), w[:9].reshape(3, 3), control=0),
    "QuantumPhaseEstimation": lambda w: qml.QuantumPhaseEstimation(qml.RX(w[0], wires=3), estimation_wires=[0, 1]),
    "QuantumMonteCarlo": lambda w: qml.QuantumMonteCarlo(
        [0.4, 0.6], lambda i: i / 2, target_wires=[0, 1], estimation_wires=[2, 3]
    ),
    "HilbertSchmidt": lambda w: qml.HilbertSchmidt(qml.RX(w[0], wires=[0]), qml.RY(w[1], wires=[1])),
    "LocalHilbertSchmidt": lambda w: qml.LocalHilbertSchmidt(qml.CRX(w[0], wires=[0, 1]), qml.CRY(w[1], wires=[2, 3])),
    # layers and embeddings
    "StronglyEntanglingLayers": lambda w: qml.StronglyEntanglingLayers(w[:12].reshape(1, 4, 3), wires=range(4)),
    "BasicEntanglerLayers": lambda w: qml.BasicEntanglerLayers(w[:8].reshape(2, 4), wires=range(4)),
    "SimplifiedTwoDesign": lambda w: qml.SimplifiedTwoDesign(w[:4], w[4:10].reshape(1, 3, 2), wires=range(4)),
    "RandomLayers": lambda w: qml.RandomLayers(w[:6].reshape(2, 3), wires=range(4), seed=3),
    "GateFabric": lambda w: qml.GateFabric(
        w[:2].reshape(1, 1, 2), wires=range(4), init_state=[1, 1, 0, 0], include_pi=True
    ),
    "ParticleConservingU1": lambda w: qml.ParticleConservingU1(
        w[:6].reshape(1, 3, 2), wires=range(4), init_state=np.array([1, 1, 0, 0])
    ),
    "ParticleConservingU2": lambda w: qml.ParticleConservingU2(
        w[:7].reshape(1, 7), wires=range(4), init_state=np.array([1, 1, 0, 0])
    ),
    "AllSinglesDoubles": lambda w: qml.AllSinglesDoubles(
        w[:2], wires=range(4), hf_state=np.array([1, 1, 0, 0]), singles=[[0, 2]], doubles=[[0, 1, 2, 3]]
    ),
    "UCCSD": lambda w: qml.UCCSD(
        w[:2], wires=range(4), s_wires=[[0, 1, 2]], d_wires=[[[0, 1], [2, 3]]], init_state=np.array([1, 1, 0, 0])
    ),
    "kUpCCGSD": lambda w: qml.kUpCCGSD(
        w[:6].reshape(1, 6), wires=range(4), k=1, delta_sz=0, init_state=np.array([1, 1, 0, 0])
    ),
    "BasisRotation": lambda w: qml.BasisRotation(wires=range(2), unitary_matrix=UNITARY_2),
    "ArbitraryUnitary": lambda w: qml.ArbitraryUnitary(w[:15], wires=[3, 0]),
    "QAOAEmbedding": lambda w: qml.QAOAEmbedding(w[:4], w[4:12].reshape(1, 8), wires=range(4)),
    "AngleEmbedding": lambda w: qml.AngleEmbedding(w[:4], wires=range(4), rotation="Y"),
    "IQPEmbedding": lambda w: qml.IQPEmbedding(w[:4], wires=range(4), n_repeats=2),
    "IQP": lambda w: qml.IQP(w[:3], 4, [[[0]], [[1, 2]], [[3]]]),
    "MPS": lambda w: qml.MPS(range(4), 2, block, 2, w[:6].reshape(3, 2)),
    "TTN": lambda w: qml.TTN(range(4), 2, block, 2, w[:6].reshape(3, 2)),
    "MERA": lambda w: qml.MERA(range(4), 2, block, 2, w[:10].reshape(5, 2)),
    "FABLE": lambda w: qml.FABLE(np.array([[0.1, 0.2], [0.3, -0.4]]), wires=range(3), tol=0),
    # arithmetic
    "PhaseAdder": lambda w: qml.PhaseAdder(2, x_wires=range(4)),
    "Adder": lambda w: qml.Adder(2, x_wires=range(4)),
    "SemiAdder": lambda w: qml.SemiAdder([0], [1, 2], [3]),
    "OutAdder": lambda w: qml.OutAdder([0], [1], [2, 3]),
    "Multiplier": lambda w: qml.Multiplier(3, x_wires=[0, 1], mod=4, work_wires=[2, 3]),
    "OutMultiplier": lambda w: qml.OutMultiplier([0], [1], [2, 3]),
    "ModExp": lambda w: qml.ModExp([0], [1], 1, 2, [2, 3]),
    "OutPoly": lambda w: qml.OutPoly(lambda x: x**2, input_registers=[[0, 1]], output_wires=[2, 3]),
    "QROM": lambda w: qml.QROM(["01", "10"], control_wires=[0], target_wires=[2, 3], work_wires=None),
    # states as gates
    "AmplitudeEmbedding": lambda w: qml.AmplitudeEmbedding(unit(w[:4]), wires=[3, 0]),
    "StatePrep": lambda w: qml.StatePrep(unit(w[:4]), wires=[3, 0]),
    "BasisState": lambda w: qml.BasisState([1, 0], wires=[3, 0]),
    "BasisEmbedding": lambda w: qml.BasisEmbedding([1, 0], wires=[3, 0]),
    "QubitDensityMatrix": lambda w: qml.QubitDensityMatrix(np.eye(2) / 2, wires=3),
    "MottonenStatePreparation": lambda w: qml.MottonenStatePreparation(STATE_4, wires=[3, 0]),
    "MultiplexerStatePreparation": lambda w: qml.MultiplexerStatePreparation(STATE_4, wires=[3, 0]),
    "ArbitraryStatePreparation": lambda w: qml.ArbitraryStatePreparation(w[:6], wires=[3, 0]),
    "CosineWindow": lambda w: qml.CosineWindow(wires=[3, 0]),
    "Superposition": lambda w: qml.Superposition([0.6, 0.8], [[0, 1], [1, 0]], wires=[0, 1], work_wire=3),
    "QROMStatePreparation": lambda w: qml.QROMStatePreparation(
        np.array([0.6, 0.8]), wires=[0], precision_wires=[1, 2], work_wires=[3]
    ),
    "MPSPrep": lambda w: qml.MPSPrep([np.array([[0.6, 0.0], [0.0, 0.8]]), np.eye(2)], wires=[0, 3], work_wires=[1]),
    # not unitary
    "Hermitian": lambda w: qml.Hermitian(HERMITIAN, wires=[3, 0]),
    "Projector": lambda w: qml.Projector([1, 0], wires=[3, 0]),
    "SparseHamiltonian": lambda w: qml.SparseHamiltonian(
        fixed_hamiltonian().sparse_matrix(wire_order=range(4)), wires=range(4)
    ),
    "MidMeasure": lambda w: qml.measure(3),
    "PauliMeasure": lambda w: qml.pauli_measure("X", wires=[3]),
    "Conditional": lambda w: qml.cond(qml.measure(0), qml.RX)(w[0], wires=3),
    **named("AmplitudeDamping BitFlip DepolarizingChannel PhaseDamping PhaseFlip", 0.1, wires=3),
    "GeneralizedAmplitudeDamping": lambda w: qml.GeneralizedAmplitudeDamping(0.1, 0.2, wires=3),
    "PauliError": lambda w: qml.PauliError("X", 0.1, wires=3),
    "ResetError": lambda w: qml.ResetError(0.1, 0.2, wires=3),
    "ThermalRelaxationError": lambda w: qml.ThermalRelaxationError(0.1, 1.0, 1.0, 0.3, wires=3),
    "QubitChannel": lambda w: qml.QubitChannel(
        [np.sqrt(0.5) * np.eye(2), np.sqrt(0.5) * np.array([[0, 1], [1, 0]])], wires=3
    ),
    # modes of light
    **named("Rotation QuadraticPhase Kerr CubicPhase ThermalState QuadOperator", 0.1, wires=0),
    **named("Squeezing Displacement CoherentState SqueezedState", 0.1, 0.2, wires=0),
    **named("Beamsplitter TwoModeSqueezing", 0.1, 0.2, wires=[0, 1]),
    **named("ControlledAddition ControlledPhase CrossKerr", 0.1, wires=[0, 1]),
    **named("DisplacedSqueezedState", 0.1, 0.2, 0.3, 0.4, wires=0),
    **named("CatState", 0.1, 0.2, 0.3, wires=0),
    **named("NumberOperator QuadX QuadP", wires=0),
    **named("FockState", 1, wires=0),
    **named("FockStateVector", np.array([0.6, 0.8]), wires=0),
    **named("FockDensityMatrix", np.eye(2) / 2, wires=0),
    **named("GaussianState", np.eye(2), np.zeros(2), wires=0),
    **named("InterferometerUnitary", UNITARY_2, wires=[0, 1]),
    **named("TensorN", wires=[0, 1]),
    **named("PolyXP", np.eye(3), wires=0),
    **named("FockStateProjector", np.array([1]), wires=0),
    "Interferometer": lambda w: qml.Interferometer([0.1], [0.2], [0.3, 0.4], wires=[0, 1]),
    "CVNeuralNetLayers": lambda w: qml.CVNeuralNetLayers(
        *(
            w[: 2 * k].reshape(1, 2 * k)[:, :n]
            for n, k in zip((1, 1, 2, 2, 2, 1, 1, 2, 2, 2, 2), [1] * 11, strict=True)
        ),
        wires=[0, 1],
    ),
    "DisplacementEmbedding": lambda w: qml.DisplacementEmbedding(w[:2], wires=[0, 1]),
    "SqueezingEmbedding": lambda w: qml.SqueezingEmbedding(w[:2], wires=[0, 1]),
    # qutrits
    **named("TShift TClock THadamard", wires=0),
    **named("TAdd TSWAP", wires=[0, 1]),
    **named("TRX TRY TRZ", 0.1, wires=0),
    **named("QutritUnitary", np.eye(3), wires=0),
    **named("THermitian", np.eye(3), wires=0),
    "GellMann": lambda w: qml.GellMann(wires=0, index=1),
    **named("QutritDepolarizingChannel", 0.1, wires=0),
    **named("QutritAmplitudeDamping TritFlip", 0.1, 0.1, 0.1, wires=0),
    **named("QutritChannel", [np.eye(3)], wires=0),
    **named("QutritBasisState QutritBasisStatePreparation", [1, 0], wires=[0, 1]),
    "ControlledQutritUnitary": lambda w: qml.ControlledQutritUnitary(np.eye(3), control_wires=[0], wires=[1]),
}
"""By the name of the class."""
